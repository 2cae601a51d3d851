"""A cluster of real members on this machine, for one test or many, and the faults to give it."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kvstore.client import AsyncClient, Client, Timing
from kvstore.testing.errors import MemberDidNotStart
from kvstore.testing.member import START_TIMEOUT_S, Member, MemberPlan
from kvstore.testing.peer_network import Direction, PeerNetwork
from kvstore.testing.ports import ReservedPorts
from kvstore.testing.program import KVSTORED, Program
from kvstore.testing.waiting import wait_until

QUICK_ELECTIONS = ("--heartbeat-interval=50", "--election-timeout=500")
"""Half of etcd's defaults: a test waits for elections."""
MEMBERS_MAX = 9
_LOG_LINES_SHOWN = 40


class Cluster:
    """Members in a temporary directory, with free ports: as many clusters as you like at once.

        with Cluster(3) as cluster, cluster.client() as client:
            client.put("k", "v")
            cluster.leader().kill()
            client.get("k")

    `async with` does the same, and lets other tasks run while it waits. The directory is removed at
    the end, unless an exception leaves the block: then it is kept and its path printed.
    """

    def __init__(  # noqa: PLR0913 - each a keyword, with a default
        self,
        size: int = 1,
        *,
        program: Program = KVSTORED,
        flags: Sequence[str] = QUICK_ELECTIONS,
        disk_mib: int | None = None,
        own_clocks: bool = False,
        directory: Path | None = None,
    ) -> None:
        """Prepare a cluster; `start` or a `with` block starts it.

        Args:
            size: how many members.
            program: what they run; `etcd()` is a real etcd.
            flags: more flags for each.
            disk_mib: give each a disk of its own of so many MiB, that `fill_disk` can fill. It
                lies in memory. Ours want 256 and more.
            own_clocks: give each a wall clock of its own, that `skew` can change.
            directory: where the temporary directory is made.

        Raises:
            FaultUnavailable: this machine has no such disks or clocks.
        """
        if not 1 <= size <= MEMBERS_MAX:
            raise ValueError(f"a cluster has 1 to {MEMBERS_MAX} members, not {size}")
        self.program = program
        self.directory = Path(
            tempfile.mkdtemp(prefix=f"kvstore-test-{program.name}-", dir=directory)
        )
        self._ports = ReservedPorts(2 * size)
        clients, peers = self._ports.ports[:size], self._ports.ports[size:]
        names = [f"m{number}" for number in range(1, size + 1)]
        self._network = PeerNetwork(names, lambda name: self.member(name).pid)
        urls = {name: f"http://127.0.0.1:{port}" for name, port in self._network.ports.items()}
        shared = (
            f"--initial-cluster={','.join(f'{name}={url}' for name, url in urls.items())}",
            f"--initial-cluster-token={self.directory.name}",
            "--initial-cluster-state=new",
            *flags,
        )
        self.members: list[Member] = []
        try:
            for number, name in enumerate(names):
                plan = MemberPlan(
                    name=name,
                    directory=self.directory / name,
                    client_port=clients[number],
                    peer_port=peers[number],
                    flags=(f"--initial-advertise-peer-urls={urls[name]}", *shared),
                    disk_mib=disk_mib,
                    has_own_clock=own_clocks,
                )
                self.members.append(Member(program, plan))
            self._network.start(dict(zip(names, peers, strict=True)))
        except BaseException:
            self.close()
            raise

    # --- its life

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start every member that does not run, and wait until all are healthy.

        Raises:
            MemberDidNotStart: one was not, in time.
        """
        for member in self.members:
            if not member.is_running:
                member.start()
        for member in self.members:
            member.wait_until_ready(timeout_s)
        self.wait_until_healthy(timeout_s)

    def close(self, *, keep: bool = False) -> None:
        """Kill the members and remove the directory, unless it is to be kept."""
        for member in self.members:
            member.close()
        self._network.close()
        self._ports.release()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._leave(keep=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(keep=kind is not None)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._leave, keep=kind is not None)

    def _leave(self, *, keep: bool) -> None:
        self.close(keep=keep)
        if keep:
            print(f"kept for inspection: {self.directory}", file=sys.stderr)  # noqa: T201

    # --- who is in it

    def member(self, name: str) -> Member:
        """Return the member of that name; they are m1, m2 and so on."""
        return next(member for member in self.members if member.name == name)

    @property
    def endpoints(self) -> list[str]:
        """`host:port` of every member."""
        return [member.endpoint for member in self.members]

    def client(self, *, timing: Timing | None = None) -> Client:
        """Return a new blocking client that knows all members."""
        return Client(self.endpoints, timing=timing)

    def async_client(self, *, timing: Timing | None = None) -> AsyncClient:
        """Return a new asyncio client that knows all members."""
        return AsyncClient(self.endpoints, timing=timing)

    def leader(
        self, *, other_than: Member | None = None, timeout_s: float = START_TIMEOUT_S
    ) -> Member:
        """Return the member that a majority calls its leader; waits until there is one.

        `other_than` is the leader to be succeeded: one that was cut off or paused does not know it.

        Raises:
            TimeoutError: there was none, for `timeout_s`.
        """
        found: list[Member] = []

        def is_found() -> bool:
            leader = self.leader_now()
            found[:] = [] if leader is None or leader is other_than else [leader]
            return bool(found)

        wait_until(is_found, timeout_s=timeout_s, what="a leader")
        return found[0]

    def leader_now(self) -> Member | None:
        """Return the member that leads by its own word and a majority's; None if there is none."""
        answers = {
            member: status
            for member in self.members
            if (status := member.status()) is not None and status.leader
        }
        for member, status in answers.items():
            votes = sum(
                other.leader == status.header.member_id and other.raft_term == status.raft_term
                for other in answers.values()
            )
            if status.leader == status.header.member_id and 2 * votes > len(self.members):
                return member
        return None

    def wait_until_healthy(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until linearizable reads work on every member that runs and is not paused.

        Raises:
            TimeoutError: they did not, for `timeout_s`.
        """
        for member in self.members:
            if member.is_running and not member.is_paused:
                member.wait_until_healthy(timeout_s)

    # --- faults

    def kill(self, *members: Member) -> None:
        """End members as crashes would; all at once, if none is named. `start` brings them back."""
        for member in members or self.members:
            member.kill()

    def pause(self, *members: Member) -> None:
        """Stop members where they are; `heal` or `Member.resume` lets them go on."""
        for member in members:
            member.pause()

    def partition(self, *groups: Member | Iterable[Member]) -> None:
        """Let no group hear of another; who is in no group forms the last one.

        `partition(leader)` cuts the leader off. What was cut before stays cut. Connections stay:
        what is sent is held, and arrives when the partition heals.
        """
        names = [
            [member.name for member in ([group] if isinstance(group, Member) else group)]
            for group in groups
        ]
        self._network.cut(self._network.between(*names))

    def cut(self, source: Member, target: Member) -> None:
        """Hold back what `source` sends to `target`, and nothing else."""
        self._network.cut([(source.name, target.name)])

    @property
    def cuts(self) -> frozenset[Direction]:
        """What is cut, as (sender, receiver) by name."""
        return self._network.cuts

    def skew(self, member: Member, offset_s: float) -> None:
        """Make a member's wall clock jump; see `Member.skew`."""
        member.skew(offset_s)

    def fill_disk(self, member: Member) -> None:
        """Leave a member no space; see `Member.fill_disk`."""
        member.fill_disk()

    def slow_disk(self, member: Member, delay_s: float) -> None:
        """Make a member's syncs slow; see `Member.slow_disk`."""
        member.slow_disk(delay_s)

    def heal(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Undo every fault, start who does not run, and wait until all are healthy.

        Raises:
            MemberDidNotStart, TimeoutError: they were not, for `timeout_s`.
        """
        self._network.heal()
        for member in self.members:
            member.heal()
        for member in self.members:
            try:
                member.wait_until_healthy(timeout_s)
            except MemberDidNotStart:
                # What was done to it may end it only now: its disk was full a moment ago.
                if member.is_running:
                    raise
                member.start()
                member.wait_until_healthy(timeout_s)

    @property
    def is_faulty(self) -> bool:
        """Whether there is anything for `heal` to do."""
        return bool(self.cuts) or any(member.is_faulty for member in self.members)

    # --- what it says

    def logs(self, lines: int = _LOG_LINES_SHOWN) -> str:
        """Return the last lines of every member's log."""
        return "\n".join(
            f"--- {member.name}, {member.log_file}\n"
            + "\n".join(member.log().splitlines()[-lines:])
            for member in self.members
        )
