"""A cluster of real engines whose every message and every sync a test delivers by hand."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import Random

from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.base.limits import Limits
from kvstore.raft import peer_message as wire
from kvstore.raft.consensus import Entry, EntryKind, Membership, Role
from kvstore.raft.journal import Applied, Journal
from kvstore.raft.pysyncobj_engine import PySyncObjEngine
from kvstore.raft.timing import RaftTiming
from tests.support.memory_log import Image, MemoryLog
from tests.support.world import SeededEntropy

TIMING = RaftTiming(heartbeat_s=0.1, election_s=1.0)


class LabClock:
    """One clock for all members, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return self.now


class LabMember:
    """An engine, its log, and what it did."""

    def __init__(self, lab: "Lab", member: MemberId, image: Image, first: Membership) -> None:
        self.lab = lab
        self.id = member
        self.image = image
        self.applied: list[Entry] = []
        self.snapshots_wanted: list[MemberId] = []
        self.on_apply: Callable[[Sequence[Entry]], None] = lambda entries: None
        self.log = MemoryLog(image)
        recovered = self.log.recovered()
        if recovered.base.index == 0:
            recovered = Journal.begin_new(self.log, first, generation=1)  # type: ignore[arg-type]
        self.journal = Journal(self.log, recovered)  # type: ignore[arg-type]  # its twin
        base = recovered.base
        self.engine = PySyncObjEngine(
            member,
            self.journal,
            self,
            lab.clock,
            SeededEntropy(Random(member)),
            TIMING,
            applied=Applied(
                LogIndex(base.index),
                Term(base.term),
                self.journal.membership_at(LogIndex(base.index)),
                base.generation,
            ),
            limits=lab.limits,
        )

    # --- ConsensusHost

    def apply(self, entries: Sequence[Entry]) -> bool:
        self.on_apply(entries)
        self.applied += entries
        return True

    def send(self, member: MemberId, message: bytes) -> None:
        if member in self.engine.linked:
            self.lab.queue(self.id, member).append(message)

    def leader_changed(self, leader: MemberId | None, term: Term) -> None: ...

    def membership_changed(self, membership: Membership) -> None: ...

    def snapshot_wanted(self, member: MemberId) -> None:
        self.snapshots_wanted.append(member)

    # --- what tests ask

    @property
    def leads(self) -> bool:
        return self.engine.role is Role.LEADER

    @property
    def commands(self) -> list[bytes]:
        """What was applied."""
        return [entry.data for entry in self.applied if entry.kind is EntryKind.COMMAND]

    @property
    def log_commands(self) -> list[bytes]:
        """What is in the log."""
        return [item[0].data for item in self.journal[1:] if item[0].kind is EntryKind.COMMAND]

    def turn(self, *, announces_commit: bool = True) -> None:
        """Let the engine do what is due, and apply."""
        self.engine.turn(announces_commit=announces_commit)
        self.engine.apply()

    def sync(self) -> None:
        """Let the disk finish."""
        self.log.sync()
        self.engine.log_durable()


class Lab:
    """Members 1 to n."""

    def __init__(
        self, members: int = 3, *, limits: Limits | None = None, syncs: bool = True
    ) -> None:
        self.clock = LabClock()
        self.limits = limits or Limits()
        self.syncs = syncs
        """Whether `flow` and `settle` let disks finish after each message."""
        self.ids = [MemberId(number + 1) for number in range(members)]
        self.first = Membership(voters=frozenset(self.ids))
        self.members: dict[MemberId, LabMember] = {}
        self._queues: dict[tuple[MemberId, MemberId], deque[bytes]] = {}
        for member in self.ids:
            self.start(member)
        for member in self.ids:
            self.link(member)

    def __getitem__(self, member: int) -> LabMember:
        return self.members[MemberId(member)]

    def start(self, member: MemberId, image: Image | None = None) -> LabMember:
        """Start a member, or start it again from what its disk holds."""
        self.members[member] = LabMember(self, member, image or Image(), self.first)
        return self.members[member]

    def join(self, member: int) -> LabMember:
        """Start a member that knows nothing yet."""
        joiner = MemberId(member)
        self.members[joiner] = LabMember(self, joiner, Image(), Membership())
        self.link(joiner)
        return self.members[joiner]

    def link(self, member: MemberId) -> None:
        """Connect a member with all others."""
        for other in self.members:
            if other != member:
                self.members[member].engine.peer_connected(other)
                self.members[other].engine.peer_connected(member)

    def queue(self, sender: int, receiver: int) -> deque[bytes]:
        """Return what is under way."""
        return self._queues.setdefault((MemberId(sender), MemberId(receiver)), deque())

    def lose(self, sender: int, *receivers: int) -> None:
        """Lose what is under way."""
        for receiver in receivers:
            self.queue(sender, receiver).clear()

    def flow(self, sender: int, receiver: int, count: int | None = None) -> int:
        """Deliver messages, and give the receiver a turn; returns how many."""
        queue = self.queue(sender, receiver)
        delivered = 0
        while queue and delivered != count:
            self[receiver].engine.receive(MemberId(sender), queue.popleft())
            delivered += 1
        self.turn(receiver)
        return delivered

    def say(self, sender: int, receiver: int, message: wire.PeerMessage) -> None:
        """Deliver a message that the sender never sent, or sent long ago."""
        self[receiver].engine.receive(MemberId(sender), wire.encode(message))

    def turn(self, *members: int) -> None:
        """Give members a turn."""
        for member in members:
            self[member].turn()
            if self.syncs:
                self[member].sync()
                self[member].turn()

    def pass_time(self, seconds: float) -> None:
        """Let time go by, unseen."""
        self.clock.now += seconds

    def settle(self, members: Iterable[int] | None = None, *, periods: int = 6) -> None:
        """Let heartbeats pass with perfect delivery among `members`."""
        present = sorted(members or self.members)
        for _ in range(periods):
            self.pass_time(0.11)
            self.turn(*present)
            for _ in range(6):
                for sender in present:
                    for receiver in present:
                        if sender != receiver:
                            self.flow(sender, receiver)

    def elect(self, candidate: int, voters: Iterable[int] | None = None) -> LabMember:
        """Let `candidate` be elected by exactly `voters` (and itself); nobody hears more of it."""
        others = [member for member in self.members if member != candidate]
        chosen = list(voters if voters is not None else others)
        self.pass_time(2.5)
        for member in others:
            self.lose(candidate, member)
            self.lose(member, candidate)
        leader = self[candidate]
        for _ in range(3):
            self.turn(candidate)
            for voter in chosen:
                self.flow(candidate, voter)
                self.flow(voter, candidate)
            if leader.leads:
                break
        assert leader.leads, f"member {candidate} is not elected"
        for member in others:
            self.lose(candidate, member)
            self.lose(member, candidate)
        return leader

    def put(self, leader: int, *commands: str) -> None:
        """Propose commands, one entry each, and let the leader send."""
        for command in commands:
            self[leader].engine.propose(command.encode())
        self.turn(leader)
