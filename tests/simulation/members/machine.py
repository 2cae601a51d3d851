"""One simulated computer: a disk and keyspaces that survive, and a member that does not."""

import errno
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

from kvstore.apply import Outcome, Reply, attributes_operation
from kvstore.apply.command import OperationKind
from kvstore.auth.passwords import COST_MIN
from kvstore.base.errors import CorruptWal, MemberFailed, MemberRemoved, RpcError
from kvstore.base.ids import ClusterId, MemberId, Term
from kvstore.member import MemberConfig
from kvstore.member.bootstrap import Identity, open_member
from kvstore.member.node import Node
from kvstore.mvcc import Changes
from kvstore.raft.consensus import ConsensusHost, Entry, Membership
from kvstore.raft.pysyncobj_engine import PySyncObjEngine
from kvstore.rpc.call import Method
from kvstore.rpc.header import ResponseHeaders
from kvstore.server.auth_settings import AuthSettings
from kvstore.server.services import Services
from kvstore.wal.recovery import recover
from kvstore.wal.segment import HEADER_BYTES, WalIdentity
from kvstore.wire.pb import raft_pb2
from tests.simulation.members.oracle import Oracle
from tests.simulation.members.profile import Profile
from tests.support.sim_disk import SimDisk
from tests.support.sim_member import PowerCut, SimKeyspaces, SimLinks, SimScheduler, SimWorker
from tests.support.sim_network import SimNetwork
from tests.support.world import DriftingClock, SeededEntropy, World

CLUSTER = ClusterId(0xC1)
_WAL = Path("/member/wal")
_RESTART_S = 0.3
_FULL_DISK_BYTES = 6000
"""What is left on a full disk: a record or two may still fit."""


class _ObservedHost(ConsensusHost):
    """A member, as its engine sees it, with the oracle looking on."""

    def __init__(self, host: ConsensusHost, me: MemberId, oracle: Oracle) -> None:
        self._host = host
        self._me = me
        self._oracle = oracle

    def send(self, member: MemberId, message: bytes) -> None:
        self._host.send(member, message)

    def membership_changed(self, membership: Membership) -> None:
        self._host.membership_changed(membership)

    def apply(self, entries: Sequence[Entry]) -> bool:
        is_taken = self._host.apply(entries)
        if is_taken:
            self._oracle.entries_committed(self._me, entries)
        return is_taken

    def leader_changed(self, leader: MemberId | None, term: Term) -> None:
        if leader == self._me:
            self._oracle.leads(self._me, term)
        self._host.leader_changed(leader, term)

    def snapshot_wanted(self, member: MemberId) -> None:
        self._oracle.note("snapshot wanted")
        self._host.snapshot_wanted(member)


class Machine:
    """See the module. `connections` are what clients hold open to its member."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that a machine is connected to
        self,
        member_id: MemberId,
        world: World,
        network: SimNetwork,
        oracle: Oracle,
        profile: Profile,
        founders: Membership,
        keyspaces: SimKeyspaces | None = None,
    ) -> None:
        self.id = member_id
        self.is_alive = False
        self.is_removed = False
        self.methods: dict[str, Method] = {}
        self.connections: dict[object, Callable[[], None]] = {}
        """Whoever is to be told when the process ends."""
        self._world = world
        self._network = network
        self._oracle = oracle
        self._profile = profile
        self._founders = founders
        self._disk = SimDisk()
        self.keyspaces = keyspaces or SimKeyspaces()
        self._rate = 1.0 + world.dice.uniform(-profile.drift, profile.drift)
        self._life = 0
        self._paused_until = 0.0
        self._held_up: deque[tuple[Callable[..., None], tuple[object, ...]]] = deque()
        self._may_fail = False
        self._is_healed = False
        self._start_cut_after: int | None = None
        self._rot: tuple[Path, int, int] | None = None
        """File, offset and bits that have turned on the disk, until somebody notices."""

    # --- life

    def start(self) -> None:
        """Start the member's process; the power may be cut while it starts."""
        self._life += 1
        dice, profile = self._world.dice, self._profile
        entropy = SeededEntropy(Random(dice.getrandbits(64)))
        if not self._is_healed and dice.random() < profile.start_cuts:
            self._start_cut_after = dice.randint(1, 12)
        self._disk.fault = self._fault
        self._disk.free_bytes = None
        self.keyspaces.fill(is_full=False)
        self.keyspaces.fail_syncs(syncs_fail=False)
        self._may_fail = False
        try:
            self._open(entropy)
        except PowerCut:
            self._oracle.note("power cut while starting")
            self._disk.crash(entropy)
            self.keyspaces.crash()
            self._restart_later()
            return
        except CorruptWal:
            if self._rot is None:
                raise
            self._oracle.note("bit rot found")
            self._repair()
            self._restart_later()
            return
        finally:
            self._start_cut_after = None
        if self._rot is not None:
            self._oracle.fail("corruption_is_found", f"{self.id} starts in spite of {self._rot}")
        self.is_alive = True
        self.node.start()
        if profile.has_operator:
            self.publish_name()
        self._tick()
        self._world.log(self.id, "starts at", self.node.member.machine.applied.index)

    def kill(self) -> None:
        """End the process at once; what the operating system was told stays."""
        self._end()
        self._disk.kill()
        self.keyspaces.kill()

    def cut_power(self) -> None:
        """End everything; what was not synced may be lost, or torn."""
        self._end()
        self._start_cut_after = self._world.dice.randint(1, 4)
        self._log_worker.cut_off()
        self._disk_worker.cut_off()
        self._start_cut_after = None
        self._disk.fault = None
        self._disk.crash(SeededEntropy(self._world.dice))
        self.keyspaces.crash()

    def restart(self) -> None:
        """Start again, unless it runs, or was removed from its cluster."""
        if not (self.is_alive or self.is_removed):
            self.start()

    def publish_name(self) -> None:
        """Let the member tell its cluster its name, as one does when it has started."""
        name = raft_pb2.MemberAttributes(name=f"m{self.id}", birth=self.id)

        def done(outcome: Outcome) -> None:
            if not isinstance(outcome, Reply):
                self.post(1.0, self.publish_name)

        payload = attributes_operation(self.id, name)
        self.node.member.propose(OperationKind.MEMBER_ATTRIBUTES, payload, done)

    def hear_of_removal(self) -> None:
        """Be refused by another member, for good."""
        if not self.is_removed:
            self._stopped(MemberRemoved("refused by a peer"))

    def refuses(self, peer: MemberId) -> bool:
        """Whether its member tells `peer` that it was removed."""
        return self.is_alive and peer in self._links.refused

    def post(self, delay_s: float, action: Callable[..., None], *arguments: object) -> None:
        """Run `action` in this life, in `delay_s`, or when the pause ends."""
        self._world.after(delay_s, self._act, self._life, action, arguments)

    # --- faults

    def pause(self, duration_s: float) -> None:
        """Stop the process without its knowledge; its clock goes on."""
        self._paused_until = max(self._paused_until, self._world.now + duration_s)

    @property
    def is_paused(self) -> bool:
        return self._world.now < self._paused_until

    @property
    def leads(self) -> bool:
        """Whether its member leads, as far as it knows."""
        return self.node.member.is_leader

    def hold_disk(self, duration_s: float) -> None:
        """Let no sync return for some time."""
        until = self._world.now + duration_s
        self._log_worker.held_until = until
        self._disk_worker.held_until = until

    def fail_syncs(self) -> None:
        """Let the next sync fail: the member has to stop."""
        self._may_fail = True
        self.keyspaces.fail_syncs(syncs_fail=True)
        self._disk.fault = _failing_sync

    def fill_disk(self) -> None:
        """Leave hardly any space, until `free_disk` or the next start."""
        self._may_fail = True
        self._disk.free_bytes = self._world.dice.randint(0, _FULL_DISK_BYTES)
        self.keyspaces.fill(is_full=True)

    def free_disk(self) -> None:
        self._disk.free_bytes = None
        self.keyspaces.fill(is_full=False)

    def defragment(self) -> None:
        """Copy the keyspace, and go on with the copy."""

        def done(error: RpcError | None) -> None:
            self._oracle.note("defragmented" if error is None else f"refused: {error.message}")

        if not self.node.defragmentation.is_running:
            self.node.defragmentation.start(done)

    def turn_a_bit(self) -> bool:
        """Turn one bit of what its log, now closed, has promised; return whether there is any."""
        assert not self.is_alive
        names = self._disk.names(_WAL)
        log = recover(_WAL, names, self._disk, WalIdentity(CLUSTER, self.id))
        if log is None or log.watermark <= log.segments[0].start:
            return False
        dice = self._world.dice
        position = dice.randrange(log.segments[0].start, log.watermark)
        segment = next(each for each in log.segments if position < each.end)
        offset = HEADER_BYTES + position - segment.start
        self._rot = (_WAL / segment.name, offset, 1 << dice.randrange(8))
        self._disk.rot(*self._rot)
        return True

    def heal(self) -> None:
        """End all faults for good, but pauses: what has waited must come in its order."""
        self._is_healed = True
        self._repair()
        self.restart()
        self._links.loss = 0.0
        self._log_worker.held_until = self._disk_worker.held_until = 0.0
        self.free_disk()
        self.keyspaces.fail_syncs(syncs_fail=False)
        if self._disk.fault is _failing_sync:
            self._disk.fault = self._fault

    # --- the network's endpoint

    def link_up(self, peer: MemberId) -> None:
        self.post(0.0, self._link_up, peer)

    def link_down(self, peer: MemberId) -> None:
        self.post(0.0, self._link_down, peer)

    def deliver(self, sender: MemberId, message: bytes, *, is_stale: bool) -> None:
        if not is_stale:  # the transport ends a link as a whole
            self.post(0.0, self._receive, sender, message)

    # --- inside

    def _open(self, entropy: SeededEntropy) -> None:
        world, profile, member_id = self._world, self._profile, self.id
        opened = open_member(
            Identity(cluster_id=CLUSTER, member_id=member_id, birth=member_id),
            self.keyspaces,
            _WAL,
            disk=self._disk,
            founders=self._founders,
            limits=profile.limits,
            entropy=entropy,
        )
        self._machine = opened.machine
        self.journal = opened.journal
        clock = DriftingClock(world, rate=self._rate)
        duration = partial(world.dice.uniform, *profile.disk_s)
        self._log_worker = SimWorker(world, self, duration)
        self._disk_worker = SimWorker(world, self, duration)
        self._links = SimLinks(member_id, world, self._network, profile.message_loss)
        headers = ResponseHeaders(CLUSTER, member_id)
        timing = profile.timing
        self.node = Node(
            MemberConfig(
                cluster_id=CLUSTER,
                member_id=member_id,
                name=f"m{member_id}",
                client_urls=(),
                heartbeat_s=timing.heartbeat_s,
                election_timeout_s=timing.election_s,
                watch_progress_interval_s=5.0,
                limits=profile.limits,
            ),
            opened,
            lambda host: PySyncObjEngine(
                member_id,
                opened.journal,
                _ObservedHost(host, member_id, self._oracle),
                clock,
                entropy,
                timing,
                applied=opened.applied,
                limits=profile.limits,
            ),
            incarnation=entropy.bits(63),
            links=self._links,
            scheduler=SimScheduler(self, self._rate, profile.iteration_s),
            log_worker=self._log_worker,
            disk_worker=self._disk_worker,
            clock=clock,
            entropy=entropy,
            header=headers.field,
            stopped=self._stopped,
        )
        self.node.member.publish = self._publish
        self._services = Services(
            self.node,
            headers,
            entropy,
            auth=AuthSettings(bcrypt_cost=COST_MIN, trusts_certificates=True),
            auth_worker=self._disk_worker,
        )
        self.methods = dict(self._services.methods)

    def _publish(self, turn: Sequence[Changes]) -> None:
        self._oracle.revisions_applied(self.id, turn)
        self.node.hub.publish(turn)

    def _tick(self) -> None:
        self.node.tick()
        self._services.tick()
        if self.node.member.machine is not self._machine:
            self._machine = self.node.member.machine
            self._oracle.note("snapshot installed")
            if not self._is_healed and self._world.dice.random() < self._profile.switch_cuts:
                self._oracle.note("fault: power_cut_after_snapshot")
                self.post(self._world.dice.uniform(0.0, 0.3), self._cut_power_by_chance)
        interval = self._profile.timing.heartbeat_s / self._profile.ticks
        self.post(interval / self._rate, self._tick)

    def _act(self, life: int, action: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if life != self._life:
            return
        if self._held_up or self._world.now < self._paused_until:
            if not self._held_up:
                self._world.at(self._paused_until, self._go_on, life)
            self._held_up.append((action, arguments))
            return
        action(*arguments)

    def _go_on(self, life: int) -> None:
        """Do what a pause held up, in the order in which it came; a pause may have grown longer."""
        if life != self._life:
            return
        if self.is_paused:
            self._world.at(self._paused_until, self._go_on, life)
            return
        while self._held_up and life == self._life:
            action, arguments = self._held_up.popleft()
            action(*arguments)

    def _link_up(self, peer: MemberId) -> None:
        self._links.linked.add(peer)
        self.node.member.peer_connected(peer)

    def _link_down(self, peer: MemberId) -> None:
        self._links.linked.discard(peer)
        self.node.member.peer_disconnected(peer)

    def _receive(self, sender: MemberId, message: bytes) -> None:
        self._world.log(sender, "->", self.id, message[0], len(message))
        self.node.member.receive(sender, message[0], message[1:])

    def _stopped(self, failure: BaseException) -> None:
        if isinstance(failure, MemberRemoved):
            self._oracle.note("member removed")
            self._world.log(self.id, "is removed")
            self.is_removed = True
            self.post(0.0, self.kill)
            return
        if not self._may_fail or not isinstance(failure, MemberFailed):
            # Out of the world's own loop: inside the step it would stop the member once more.
            self._world.after(0.0, _raise, failure)
            return
        self._oracle.note("member stopped by its disk")
        self._world.log(self.id, "stops:", failure)
        # The process ends in an orderly way, after the step under way.
        self.post(0.0, self._exit)

    def _repair(self) -> None:
        """Bring the disk back to what it was."""
        if self._rot is not None:
            self._disk.rot(*self._rot)
            self._rot = None

    def _exit(self) -> None:
        self.kill()
        self._restart_later()

    def _cut_power_by_chance(self) -> None:
        if not self._is_healed:
            self.cut_power()
            self._restart_later()

    def _restart_later(self) -> None:
        self._world.after(_RESTART_S * (1 + self._world.dice.random()), self.restart)

    def _end(self) -> None:
        self._life += 1
        self.is_alive = False
        self._paused_until = 0.0
        self._held_up.clear()
        self._network.drop_node(self.id)
        connections, self.connections = self.connections, {}
        for lost in connections.values():
            lost()

    def _fault(self, operation: str, path: Path) -> None:
        if self._start_cut_after is not None:
            self._start_cut_after -= 1
            if self._start_cut_after == 0:
                raise PowerCut


def _raise(failure: BaseException) -> None:
    raise failure


def _failing_sync(operation: str, path: Path) -> None:
    if operation in {"sync", "sync_directory"}:
        raise OSError(errno.EIO, "the simulated sync failed", str(path))
