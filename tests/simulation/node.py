"""One simulated machine: a disk that survives, and a member that does not.

`HashChainMember` is the smallest one: a real engine, journal and log, and a state machine that is
nothing but a hash of its history. Its public methods are all that workloads and faults use.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from kvstore.base.errors import BadLeaderTransferee, NotLeader, RpcError, TooManyRequests
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.base.limits import Limits
from kvstore.raft import peer_message as wire
from kvstore.raft.consensus import Entry, EntryKind, Membership, Role
from kvstore.raft.journal import Applied, Journal
from kvstore.raft.membership import decode_membership, encode_membership
from kvstore.raft.pysyncobj_engine import PySyncObjEngine
from kvstore.raft.timing import RaftTiming
from kvstore.wal.jobs import SyncJob
from tests.simulation.checkers import Checkers
from tests.simulation.disks import NodeDisk, PowerCut
from tests.simulation.profile import Profile
from tests.support.sim_network import SimNetwork
from tests.support.world import DriftingClock, SeededEntropy, World

_SNAPSHOT = b"S"
_RAFT = b"R"
_SNAPSHOT_EVERY_S = 1.0
_BUSY = 0.02
"""Chance that the member cannot take committed entries just now."""


@dataclass(frozen=True, slots=True)
class State:
    """The state machine: where it stands, and the hash of how it came there."""

    index: LogIndex
    term: Term
    chain: int
    membership: Membership


@dataclass(slots=True)
class _Read:
    acknowledged_before: int
    index: LogIndex


class _ObservedJournal(Journal):
    """A journal that tells the oracle of each entry."""

    observer: Callable[[Entry, Term], None]

    def append(self, entry: Entry) -> None:
        self.observer(entry, self.last_term)
        super().append(entry)


class HashChainMember:
    """See the module. Its generations stand for keyspace directories: durable, all or nothing."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that a machine is connected to
        self,
        node_id: MemberId,
        world: World,
        network: SimNetwork,
        checkers: Checkers,
        profile: Profile,
        first_membership: Membership,
        disk: NodeDisk,
    ) -> None:
        self.node_id = node_id
        self.is_alive = False
        self.is_removed = False
        self.rate = 1.0 + world.dice.uniform(-profile.drift, profile.drift)
        self._world = world
        self._network = network
        self._checkers = checkers
        self._profile = profile
        self._first_membership = first_membership
        self._disk = disk
        self._generations = {1: State(LogIndex(1), Term(0), 0, first_membership)}
        self._incarnation = 0
        self._paused_until = 0.0
        self._disk_stalled_until = 0.0
        self.on_crash: Callable[[HashChainMember, str], None] = lambda member, why: None
        self.on_commit: Callable[[HashChainMember], None] = lambda member: None

    # --- life

    def start(self) -> None:
        world, profile = self._world, self._profile
        self._incarnation += 1
        self.is_alive = True
        wal, recovered = self._disk.open()
        if recovered.base.index == 0:
            recovered = Journal.begin_new(wal, self._first_membership, generation=1)
        self._wal = wal
        self._generation = recovered.base.generation
        self.state = self._generations[self._generation]
        self.journal = _ObservedJournal(wal, recovered)
        self.journal.observer = lambda entry, before: self._checkers.entry_appended(
            self.node_id, entry, before
        )
        self._disk.check_recovery(self.journal, self._checkers)
        self._pending: dict[LogIndex, tuple[Term, bytes]] = {}
        self._reads: list[_Read] = []
        self._snapshot_after: dict[MemberId, float] = {}
        self._held_up: deque[tuple[MemberId, bytes, bool]] = deque()
        self._is_turn_due = False
        self._last_sync_at = 0.0
        self._under_way: list[SyncJob] = []
        self._commit_seen = LogIndex(1)
        self._led_term = Term(0)
        self.engine = PySyncObjEngine(
            self.node_id,
            self.journal,
            self,
            DriftingClock(world, rate=self.rate),
            SeededEntropy(Random(world.dice.getrandbits(64))),
            RaftTiming(heartbeat_s=profile.heartbeat_s, election_s=profile.election_s),
            applied=Applied(
                self.state.index, self.state.term, self.state.membership, self._generation
            ),
            limits=Limits(
                peer_window_bytes=profile.window_bytes, peer_frame_bytes_max=profile.message_bytes
            ),
        )
        world.log(self.node_id, "starts at", self.state.index, "log to", self.journal.last_index)
        world.after(world.dice.random() * profile.tick_s, self._tick, self._incarnation)
        self._after_step()

    def crash(self) -> None:
        if not self.is_alive:
            return
        self._world.log(self.node_id, "crashes, durable to", self.journal.durable_index)
        self.is_alive = False
        self._disk.crash(self.journal, self._under_way[0] if self._under_way else None)
        self._network.drop_node(self.node_id)
        self.on_crash(self, f"crash of {self.node_id}")

    def pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, self._world.now + seconds)

    def stall_disk(self, seconds: float) -> None:
        self._disk_stalled_until = self._world.now + seconds

    def heal(self) -> None:
        """End what was done to this machine."""
        self._paused_until = self._disk_stalled_until = 0.0

    @property
    def is_paused(self) -> bool:
        return self._paused_until > self._world.now

    # --- what is so

    @property
    def is_leader(self) -> bool:
        return self.engine.role is Role.LEADER

    @property
    def backlog(self) -> int:
        """How many entries are not committed."""
        return self.engine.last_index - self.engine.commit_index

    @property
    def applied_index(self) -> LogIndex:
        return self.state.index

    @property
    def membership(self) -> Membership:
        return self.engine.membership

    def describe(self) -> str:
        """Say where this machine stands, for a failure's text."""
        if not self.is_alive:
            return f"{self.node_id}: {'removed' if self.is_removed else 'down'}"
        engine, journal = self.engine, self.journal
        return (
            f"{self.node_id}: {engine.role.value} of {engine.leader} in {engine.term}, log "
            f"{journal.first_index}-{journal.last_index}, commit {engine.commit_index}, "
            f"applied {engine.applied_index}, voters {sorted(engine.membership.voters)}"
        )

    def holds(self, index: LogIndex, term: Term) -> bool:
        """Whether this machine certainly has a committed entry, even if it crashes now."""
        if self._generations[self._generation].index >= index:
            return True
        return self._disk.holds(self.journal, index, term)

    # --- clients

    def propose(self, command: bytes) -> None:
        try:
            index = self.engine.propose(command)
        except NotLeader:
            return
        self._pending[index] = (self.engine.term, command)
        self._turn_soon()

    def propose_membership(self, membership: Membership) -> bool:
        try:
            self.engine.propose_membership(membership)
        except (BadLeaderTransferee, NotLeader, TooManyRequests):
            return False
        self._after_step()
        self._turn_soon()
        return True

    def hand_over(self) -> bool:
        """Start a transfer of leadership."""
        try:
            self.engine.transfer_leadership()
        except (NotLeader, BadLeaderTransferee):
            return False
        self._turn_soon()
        return True

    def read(self) -> None:
        before = self._checkers.acknowledged_index
        incarnation = self._incarnation

        def done(outcome: LogIndex | RpcError) -> None:
            if isinstance(outcome, RpcError):
                self._checkers.note(f"read failed: {type(outcome).__name__}")
            elif incarnation == self._incarnation:
                self._reads.append(_Read(before, outcome))
                self._turn_soon()

        self.engine.read_index(done)
        self._turn_soon()

    # --- the machine's keyspace

    def checkpoint(self) -> None:
        """Make the keyspace durable as it is."""
        self._generations[self._generation] = self.state

    def compact(self, retained: int) -> None:
        durable = self._generations[self._generation].index
        if durable - retained > self.journal.first_index:
            self._checkers.note("compaction")
        self.engine.compact(LogIndex(max(durable - retained, 1)))
        self._sync_soon()

    # --- ConsensusHost

    def apply(self, entries: Sequence[Entry]) -> bool:
        checkers, dice = self._checkers, self._world.dice
        if dice.random() < _BUSY:
            self._turn_soon()
            return False
        for entry in entries:
            state = self.state
            chain = checkers.applies(self.node_id, entry, state.chain)
            membership = state.membership
            if entry.kind is EntryKind.MEMBERSHIP:
                membership = decode_membership(entry.data)
                checkers.note("membership change")
            self.state = State(entry.index, entry.term, chain, membership)
            pending = self._pending.pop(entry.index, None)
            if pending is not None and pending[0] == entry.term:
                checkers.acknowledges(self.node_id, pending[1])
            if dice.random() < self._profile.checkpoint:
                self.checkpoint()
        return True

    def send(self, member: MemberId, message: bytes) -> None:
        kind = message[0]
        if kind in _VOTING:
            match wire.decode(message):
                case wire.Vote(term=term):
                    self._checkers.vote_sent(self.node_id, term, member)
                case wire.VoteRequest(term=term):
                    self._checkers.vote_sent(self.node_id, term, self.node_id)
                case _:
                    pass
            if self._world.dice.random() < self._profile.vote_crashes:
                delay = self._world.dice.uniform(0.0, 2 * self._profile.disk_s[1])
                self._world.after(delay, self._crash_after_vote, self._incarnation)
        self._network.send(self.node_id, member, _RAFT + message)

    def leader_changed(self, leader: MemberId | None, term: Term) -> None:
        self._world.log(self.node_id, "follows", leader, "in term", term)

    def membership_changed(self, membership: Membership) -> None:
        self._world.log(self.node_id, "members", sorted(membership.voters), membership.learners)

    def snapshot_wanted(self, member: MemberId) -> None:
        now = self._world.now
        if now < self._snapshot_after.get(member, 0.0):
            return
        self._snapshot_after[member] = now + _SNAPSHOT_EVERY_S
        state = self.state
        content = b"".join(
            number.to_bytes(8, "little") for number in (state.index, state.term, state.chain)
        ) + encode_membership(state.membership)
        delay = self._world.dice.uniform(0.005, 0.4)
        self._network.send_aside(self.node_id, member, _SNAPSHOT + content, delay)

    # --- Endpoint

    def link_up(self, peer: MemberId) -> None:
        self.engine.peer_connected(peer)

    def link_down(self, peer: MemberId) -> None:
        self.engine.peer_disconnected(peer)

    def deliver(self, sender: MemberId, message: bytes, *, is_stale: bool) -> None:
        self._deliver(sender, message, is_stale, self._incarnation)

    def _deliver(self, sender: MemberId, message: bytes, is_stale: bool, incarnation: int) -> None:
        if not self.is_alive or incarnation != self._incarnation:
            return
        if self._held_up or self.is_paused:
            if not self._held_up:
                self._world.at(self._paused_until, self._go_on, incarnation)
            self._held_up.append((sender, message, is_stale))
            return
        self._take(sender, message, is_stale=is_stale)

    def _go_on(self, incarnation: int) -> None:
        """Take what a pause held up, in the order in which it came."""
        if incarnation != self._incarnation:
            return
        if self.is_paused:
            self._world.at(self._paused_until, self._go_on, incarnation)
            return
        while self._held_up and self.is_alive:
            sender, message, is_stale = self._held_up.popleft()
            self._take(sender, message, is_stale=is_stale)

    def _take(self, sender: MemberId, message: bytes, *, is_stale: bool) -> None:
        if is_stale and not self._profile.unordered:
            return  # PeerTransport ends a link as a whole
        kind, content = message[:1], message[1:]
        if self._world.trace is not None and kind == _RAFT:
            self._world.log(sender, "->", self.node_id, wire.decode(content))
        try:
            if kind == _RAFT:
                self.engine.receive(sender, content)
            else:
                self._install(content)
        except PowerCut:
            self._checkers.note("power cut inside an installation")
            self.crash()
            self._world.after(0.05 + self._world.dice.random(), self._restart)
            return
        self._after_step()
        self._turn_soon()

    def _install(self, content: bytes) -> None:
        index, term, chain = (
            int.from_bytes(content[start : start + 8], "little") for start in (0, 8, 16)
        )
        membership = decode_membership(content[24:])
        state = State(LogIndex(index), Term(term), chain, membership)
        generation = max(self._generations) + 1
        self._crash_point()
        self._generations[generation] = state
        self._crash_point()
        if not self.engine.install_snapshot(state.index, state.term, membership, generation):
            del self._generations[generation]
            return
        self._checkers.note("snapshot installed")
        self._generation = generation  # the log names it: a restart takes it
        self._crash_point()
        self.state = state
        for older in [known for known in self._generations if known < generation]:
            del self._generations[older]

    def _crash_point(self) -> None:
        if self._world.dice.random() < self._profile.crash_points:
            raise PowerCut

    def _crash_after_vote(self, incarnation: int) -> None:
        if self.is_alive and incarnation == self._incarnation:
            self._checkers.note("fault: crash after a vote")
            self.crash()
            self._world.after(0.05 * self._world.dice.random(), self._restart)

    def _restart(self) -> None:
        if not self.is_alive and not self.is_removed:
            self.start()

    # --- turns

    def _tick(self, incarnation: int) -> None:
        if not self.is_alive or incarnation != self._incarnation:
            return
        pause = self._profile.tick_s * self._world.dice.uniform(0.7, 1.3)
        self._world.after(pause, self._tick, incarnation)
        self._turn()

    def _turn_soon(self) -> None:
        if not self._is_turn_due:
            self._is_turn_due = True
            self._world.after(self._profile.turn_s, self._turn_due, self._incarnation)

    def _turn_due(self, incarnation: int) -> None:
        if self.is_alive and incarnation == self._incarnation:
            self._is_turn_due = False
            self._turn()

    def _turn(self) -> None:
        if self.is_paused:
            return
        self.engine.turn()
        self.engine.apply()
        if self.engine.applied_index < self.engine.commit_index:
            self._turn_soon()
        if self._reads:
            self._answer_reads()
        self._after_step()

    def _answer_reads(self) -> None:
        ready = [read for read in self._reads if read.index <= self.state.index]
        self._reads = [read for read in self._reads if read.index > self.state.index]
        for read in ready:
            self._checkers.reads(self.node_id, self.state.index, read.acknowledged_before)

    # --- disk

    def _sync_soon(self) -> None:
        while (job := self._wal.begin_sync()) is not None:
            world = self._world
            begun = max(world.now, self._disk_stalled_until, self._last_sync_at)
            self._last_sync_at = begun + world.dice.uniform(*self._profile.disk_s)
            self._under_way.append(job)
            world.at(self._last_sync_at, self._synced, job, self._incarnation)

    def _synced(self, job: SyncJob, incarnation: int) -> None:
        if not self.is_alive or incarnation != self._incarnation:
            return
        self._under_way.remove(job)
        job.run()
        self._wal.finish_sync(job)
        self.engine.log_durable()
        self._after_step()
        self._turn_soon()

    # --- judged after each step

    def _after_step(self) -> None:
        engine, checkers, journal = self.engine, self._checkers, self.journal
        if engine.term != self._led_term and engine.role is Role.LEADER:
            self._led_term = engine.term
            committed = checkers.committed
            is_behind_base = committed.index < journal.first_index
            term = committed.term if is_behind_base else journal.term_at(committed.index)
            checkers.leads(self.node_id, engine.term, term)
        commit = engine.commit_index
        if commit < self._commit_seen:
            checkers.fail("commit_safety", f"{self.node_id} went back to {commit}")
        if engine.applied_index > commit:
            checkers.fail("commit_safety", f"{self.node_id} applied beyond {commit}")
        if commit > self._commit_seen:
            self._judge_commit(commit)
        self._sync_soon()

    def _judge_commit(self, commit: LogIndex) -> None:
        engine, checkers, journal = self.engine, self._checkers, self.journal
        is_new = False
        for index in range(max(self._commit_seen + 1, journal.first_index), commit + 1):
            term = journal.term_at(LogIndex(index))
            assert term is not None
            is_new |= checkers.commits(
                self.node_id,
                LogIndex(index),
                term,
                node_term=engine.term,
                voters=engine.membership.voters,
            )
        self._commit_seen = commit
        if is_new:
            self.on_commit(self)


_VOTING = {
    wire.encode(wire.Vote(Term(0)))[0],
    wire.encode(wire.VoteRequest(Term(0), LogIndex(0), Term(0)))[0],
}
