"""One member of a cluster: what the services above ask of it, and the turn that moves it.

Everything here runs on one loop and never waits. Work arrives by calls (requests, peer messages,
finished syncs) and is done in turns: the requests that came since the last turn become one log
entry, whatever is committed is applied in one transaction, and callers are answered from that
(ADR 1). The order within a turn matters: peer messages are read before time is looked at, and
proposals enter the log before it is sent to peers and handed to the disk thread.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from kvstore.apply import StateMachine, Turn, meta
from kvstore.apply.command import (
    BATCH_OVERHEAD_BYTES,
    batch_id_of,
    count_operations,
    encode_entry,
)
from kvstore.base.clock import Clock
from kvstore.base.errors import (
    MemberRemoved,
    ProposalConnectionLost,
    ProposalLeaderLost,
    ProtocolError,
    SpaceExceeded,
    Stopped,
    StorageFull,
    TooManyRequests,
)
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.member import forwarding
from kvstore.member.changes import applied_changes, shown_learners
from kvstore.member.config import MemberConfig
from kvstore.member.forwarding import Relay
from kvstore.member.guarded import GuardedScheduler, GuardedWorker
from kvstore.member.meters import SLOW_APPLY_S, Meters
from kvstore.member.ports import PeerLinks, Scheduler, Worker
from kvstore.member.proposals import Done, DoneEach, Proposals
from kvstore.member.reads import Read, Reads
from kvstore.mvcc import Changes, ReadView
from kvstore.raft.consensus import Consensus, ConsensusHost, Entry, EntryKind, Membership
from kvstore.raft.membership import decode_membership
from kvstore.raft.peer_session import Channel
from kvstore.wal import SyncJob, WriteAheadLog

logger = logging.getLogger(__name__)

_ANNOUNCE_AFTER_S = 0.002
_SPARE_CHANGES = 1024
"""Room beyond what an entry seems to need, to begin deletes and to let transactions unfold."""

Receive = Callable[[MemberId, bytes], bool | None]
"""Takes a message; False: no turn is needed because of it."""


class Member(ConsensusHost):
    """The one owner of what a member promises: its log, its keyspace and who waits for them."""

    def __init__(  # noqa: PLR0913 - the composition root names each part once
        self,
        config: MemberConfig,
        machine: StateMachine,
        wal: WriteAheadLog,
        consensus: Callable[[ConsensusHost], Consensus],
        *,
        incarnation: int,
        links: PeerLinks,
        scheduler: Scheduler,
        log_worker: Worker,
        clock: Clock,
        stopped: Callable[[BaseException], None],
    ) -> None:
        self.config = config
        self.clock = clock
        self.machine = machine
        self.incarnation = incarnation
        self.links = links
        self.scheduler: Scheduler = GuardedScheduler(scheduler, self)
        self._wal = wal
        self._log_worker = GuardedWorker(log_worker, self)
        self._stopped = stopped
        self._failure: BaseException | None = None
        self._turn_due = False
        self._gathered: list[Callable[[], None]] = []
        self._syncs_in_flight = 0
        self._is_overloaded = False
        self._is_disk_full = False
        """Whether the last look found no room to apply; each tick looks again."""
        self._is_announcement_due = False
        self._owed_commit = LogIndex(0)
        """Followers are to hear of this commit index, at the latest when the timer has run down."""
        self._unapplied: deque[tuple[LogIndex, int, int]] = deque()
        """What this leader proposed: index, bytes, operations; what is applied is dropped later."""
        self._relayed_index = LogIndex(0)
        """The last entry that holds another member's batch: that member waits for its commit."""
        self.is_learner = False
        """Whether this member is a learner to clients: it serves little, and does not vote."""
        self.long_reads = 0
        """How many readers hold views for longer than a request takes: backups."""
        self.linked_since: dict[MemberId, float] = {}
        """Which members this one is connected with, and since when."""
        self._peers: Mapping[MemberId, tuple[str, ...]] = {}
        self._applied_membership = _stored_membership(machine)
        self._leaving: Mapping[MemberId, tuple[str, ...]] = {}
        """Removed members that are still to hear of it."""
        self._view: ReadView | None = None
        self._applying: Iterator[None] | None = None
        self._proposals = Proposals(config.member_id, incarnation, config.limits)
        self._relay = Relay(config.limits.forwarded_bytes_max)
        self._no_leader_since: float | None = clock.monotonic()
        self.leader_changes = 0
        self.meters = Meters()
        self.publish: Callable[[Sequence[Changes]], None] | None = None
        self.leadership_listeners: list[Callable[[bool], None]] = []
        self.applied_listeners: list[Callable[[], None]] = []
        self.removal_listeners: list[Callable[[], None]] = []
        """Called when this member has applied its own removal, shortly before it stops."""
        self.receivers: dict[int, Receive] = {
            Channel.RAFT: self._receive_raft,
            Channel.FORWARD: self._receive_forwarded,
        }
        self.snapshot_requests: Callable[[MemberId], None] | None = None
        self.consensus = consensus(self)
        self._reads = Reads(self.consensus, lambda: self.machine.applied.index)

    # --- what the services ask

    @property
    def id(self) -> MemberId:
        """This member's id."""
        return self.config.member_id

    @property
    def applied_membership(self) -> Membership:
        """Who takes part as of the applied index: committed, unlike the one in force."""
        return self._applied_membership

    @property
    def proposals(self) -> Proposals:
        """The requests on their way through the log."""
        return self._proposals

    @property
    def reads(self) -> Reads:
        """The linearizable reads under way."""
        return self._reads

    @property
    def log_bytes(self) -> int:
        """How many bytes were written to the log since it was opened, and what it held then."""
        return self._wal.position

    @property
    def is_applying(self) -> bool:
        """Whether a write transaction is open, across iterations of the loop."""
        return self._applying is not None

    @property
    def failure(self) -> BaseException | None:
        """What stopped this member, or None."""
        return self._failure

    @property
    def is_leader(self) -> bool:
        """Whether this member leads, as far as it knows; no proof for a read."""
        return self.consensus.is_leader

    def propose(self, kind: int, payload: bytes, done: Done, *, is_leaders: bool = False) -> None:
        """Put a request through the log; `done` is called once, in a later turn or at once.

        `is_leaders`: it follows from what this leader knows, and is not to reach the next one.
        """
        self.propose_each(
            kind, [payload], lambda _, outcomes: done(outcomes[0]), is_leaders=is_leaders
        )

    def propose_each(
        self, kind: int, payloads: list[bytes], done: DoneEach, *, is_leaders: bool = False
    ) -> None:
        """Put requests that came together through the log, as `propose` does for each."""
        if self._failure is not None:
            done(0, [Stopped()] * len(payloads))
            return
        try:
            if self._is_overloaded:
                raise TooManyRequests  # noqa: TRY301 - both refusals are answered below
            deadline = self.clock.monotonic() + self.config.request_timeout_s
            self._proposals.add(kind, payloads, done, deadline=deadline, is_leaders=is_leaders)
        except TooManyRequests as refusal:
            done(0, [refusal] * len(payloads))
            return
        self.schedule_turn()

    def read(self, read: Read) -> None:
        """Call `read` once a look at `view()` is linearizable, or with why it is not."""
        if self._failure is not None:
            read(Stopped())
            return
        self._reads.join(read, deadline=self.clock.monotonic() + self.config.request_timeout_s)
        self.schedule_turn()

    def before_turn(self, hand_over: Callable[[], None]) -> None:
        """Call `hand_over` once at the beginning of the next turn, which takes what it asks for.

        For those who gather what several clients ask for, to ask once.
        """
        if self._failure is not None:
            hand_over()
            return
        self._gathered.append(hand_over)
        self.schedule_turn()

    def view(self) -> ReadView:
        """Return the keyspace as this member has applied it; valid within this step only."""
        if self._view is None:
            self._view = self.machine.store.view()
        return self._view

    def seconds_without_leader(self) -> float:
        """Return for how long no leader has been known here; 0 while one is."""
        if self._no_leader_since is None:
            return 0.0
        return self.clock.monotonic() - self._no_leader_since

    def schedule_turn(self) -> None:
        """See to it that a turn runs in the next iteration of the loop."""
        if not self._turn_due:
            self._turn_due = True
            self.scheduler.soon(self._due_turn)

    # --- the turn

    def tick(self) -> None:
        """Look at the clock: to be called a few times per heartbeat."""
        self.turn()
        if self._applying is None:
            # While a long delete is applied everybody waits for it and nobody in vain: it ends.
            now = self.clock.monotonic()
            self._proposals.expire(now)
            self._reads.expire(now)

    def turn(self, *, lets_disk_go_first: bool = False) -> None:
        """Do everything that can be done now without waiting.

        `lets_disk_go_first`: a follower may put off what is committed until its sync is done.
        """
        if self._failure is not None:
            return
        try:
            if self._gathered:
                self._hand_over()
            self._propose()
            self._reads.begin()
            self.consensus.turn(announces_commit=False)
            self._announce_commit()
            self.links.flush()  # the others work while this member applies
            if not lets_disk_go_first or not self._can_apply_later():
                self.consensus.apply()
            self._reads.serve()
            self._sync_log()
            unapplied = self.consensus.commit_index - self.machine.applied.index
            self._is_overloaded = unapplied > self.config.limits.unapplied_entries_max
        except Exception as failure:  # whatever it is, this member is done
            self.stop(failure)
            return
        if self._has_more_to_do():
            self.schedule_turn()

    def stop(self, failure: BaseException) -> None:
        """End this member: nothing is answered, written or sent from now on."""
        if self._failure is not None:
            return
        self._failure = failure
        self._hand_over()
        self._proposals.fail_all(Stopped())
        self._reads.fail_all(Stopped())
        self.close_view()
        self._stopped(failure)

    def replace_machine(self, machine: StateMachine, membership: Membership) -> None:
        """Go on from another keyspace, which is ahead: a snapshot was installed.

        `membership` is the one at its applied index. Whether what was forwarded is part of it can
        no longer be told.
        """
        self.close_view()
        self.machine = machine
        self._proposals.lose(ProposalConnectionLost)
        self.schedule_turn()
        self._membership_applied(membership)

    def move_machine(self, copy: StateMachine) -> None:
        """Go on in a copy of the keyspace that has applied the same."""
        self.close_view()
        self.machine.move_to(copy)

    def close_view(self) -> None:
        """Let go of the pinned view after a change; the next look opens a fresh one."""
        if self._view is not None:
            self._view.close()
            self._view = None

    def _due_turn(self) -> None:
        self._turn_due = False
        self.turn(lets_disk_go_first=True)

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        was_due, self._turn_due = self._turn_due, True  # by the turn that has begun
        for hand_over in gathered:
            hand_over()
        self._turn_due = was_due

    def _has_more_to_do(self) -> bool:
        """Whether another turn could go on at once, without any news from outside."""
        return (
            (self._proposals.has_waiting and self._can_propose())
            or self._reads.can_begin
            or (
                self._applying is None
                and not self._is_disk_full
                and self.consensus.applied_index < self.consensus.commit_index
                and not self._can_apply_later()
            )
        )

    def _can_apply_later(self) -> bool:
        """Whether the end of a sync, or the next tick, is early enough to apply.

        The leader waits for a follower's acknowledgement, and nobody for what it applies; and the
        log's thread need not fight the loop for the interpreter.
        """
        return (
            (self._syncs_in_flight > 0 or self._wal.has_unsynced)
            and not self.is_leader
            and not self._proposals.pending
            and not self._reads.is_serving
        )

    def _can_propose(self) -> bool:
        if self.is_leader:
            # During a transfer everything waits: for the next leader, or for its failure.
            in_flight = self.consensus.last_index - self.consensus.commit_index
            return (
                self._syncs_in_flight == 0
                and in_flight < self.config.limits.entries_in_flight_max
                and not self.consensus.is_transferring
            )
        leader = self.consensus.leader
        return leader is not None and leader != self.id and self.links.is_linked(leader)

    def _propose(self) -> None:
        if not self.is_leader:
            self._refuse(self._relay.take_all())
        if not (self._proposals.has_waiting or self._relay) or not self._can_propose():
            return
        if self.is_leader:
            self._append_entry()
            return
        leader = self.consensus.leader
        assert leader is not None
        room = self.config.limits.entry_bytes_max
        while (batch := self._proposals.take_batch(leader, room=room)) is not None:
            self.links.send(leader, Channel.FORWARD, forwarding.batch_message(batch))

    def _append_entry(self) -> None:
        room = self.config.limits.entry_bytes_max
        relayed = self._relay.take(room)
        room -= sum(map(len, relayed))
        own = None
        if not relayed or room > BATCH_OVERHEAD_BYTES:
            own = self._proposals.take_batch(self.id, room=room)
        entry = encode_entry(relayed if own is None else [*relayed, own])
        try:
            needs = self._reserve_for(entry)
            index = self.consensus.propose(entry)
            self._unapplied.append((index, *needs))
            if relayed:
                self._relayed_index = index
        except StorageFull:
            self._refuse(relayed)
            if own is not None:
                self._proposals.reject(batch_id_of(own).sequence, SpaceExceeded())
            logger.exception("disk full: writes are refused, and somebody else should lead")
            if any(map(self.links.is_linked, self.consensus.membership.voters - {self.id})):
                self.consensus.transfer_leadership()

    def _reserve_for(self, entry: bytes) -> tuple[int, int]:
        """Make sure that `entry`, and those on their way, can be applied; return what it needs.

        More than that, because some requests turn out to need more than they look.

        Raises:
            StorageFull: the disk has no room for it.
        """
        unapplied, applied = self._unapplied, self.machine.applied.index
        while unapplied and unapplied[0][0] <= applied:
            unapplied.popleft()
        needs = size, changes = len(entry), count_operations(entry)
        for _, other_size, other_changes in unapplied:
            size += other_size
            changes += other_changes
        self.machine.backend.reserve(size, changes + _SPARE_CHANGES)
        return needs

    def _announce_commit(self) -> None:
        """Tell the followers what is committed: at once if one of them waits, else a bit later.

        The next append tells them too, so under load no message of its own is needed for it.
        """
        commit, owed = self.consensus.commit_index, self._owed_commit
        if commit == owed or not self._peers or not self.is_leader:
            return
        if self._relayed_index > owed:
            self._owed_commit = commit
            self.consensus.announce_commit()
        elif not self._is_announcement_due:
            self._owed_commit = commit
            self._is_announcement_due = True
            self.scheduler.later(_ANNOUNCE_AFTER_S, self._announce_owed)

    def _announce_owed(self) -> None:
        self._is_announcement_due = False
        if not self.is_leader:
            return
        announced = self.consensus.announced_commit
        if announced < self._owed_commit:
            self.consensus.announce_commit()
            self.links.flush()
        else:
            self._owed_commit = announced
            self._announce_commit()

    def _refuse(self, batches: Sequence[bytes]) -> None:
        for batch in batches:
            origin, _, sequence = batch_id_of(batch)
            self.links.send(origin, Channel.FORWARD, forwarding.refusal_message(sequence))

    def _sync_log(self) -> None:
        if self._syncs_in_flight:
            return  # what is appended meanwhile shares the next one
        job = self._wal.begin_sync()
        if job is not None:
            self._syncs_in_flight += 1
            self._log_worker.submit(
                partial(_timed, job, self.clock), partial(self._log_synced, job)
            )

    def _log_synced(self, job: SyncJob, result: float | BaseException) -> None:
        self._syncs_in_flight -= 1
        if self._failure is not None:
            return
        if isinstance(result, BaseException):
            self.stop(result)
            return
        self.meters.wal_sync.observe(result)
        self._wal.finish_sync(job)
        is_turn_due = self.consensus.log_durable()
        self.links.flush()
        if is_turn_due or self._wal.has_unsynced or self._has_more_to_do():
            self.turn()

    # --- what peers send

    def receive(self, sender: MemberId, channel: int, message: bytes) -> None:
        """Take a message of another member.

        Raises:
            ProtocolError: it is none of ours; the link is to be closed.
        """
        if self._failure is not None:
            return
        receiver = self.receivers.get(channel)
        if receiver is None:
            raise ProtocolError(f"message on unknown channel {channel}")
        try:
            is_turn_due = receiver(sender, message) is not False
        except ProtocolError:
            raise
        except Exception as failure:  # whatever it is, this member is done
            self.stop(failure)
            return
        if is_turn_due:
            self.schedule_turn()

    def peer_connected(self, member: MemberId) -> None:
        """A link to `member` is up."""
        self.linked_since[member] = self.clock.monotonic()
        self.consensus.peer_connected(member)
        self.schedule_turn()

    def peer_disconnected(self, member: MemberId) -> None:
        """The link to `member` is down: what was forwarded over it may or may not have arrived."""
        self.linked_since.pop(member, None)
        self.meters.lost_links[member] += 1
        self.consensus.peer_disconnected(member)
        self._proposals.lose(ProposalConnectionLost, sent_to=member)

    def _receive_raft(self, sender: MemberId, message: bytes) -> bool:
        if self.consensus.receive(sender, message):
            return True
        # Of a ReadIndex round, then: whoever it was for need not wait for a turn.
        self._reads.serve()
        return self._reads.can_begin

    def _receive_forwarded(self, sender: MemberId, message: bytes) -> None:
        received = forwarding.decode(sender, message)
        if isinstance(received, int):
            self._proposals.refused(received)
        elif not self.is_leader or not self._relay.add(received):
            self._refuse([received])

    # --- what the engine tells (ConsensusHost)

    def apply(self, entries: Sequence[Entry]) -> bool:
        """Begin to apply committed entries, in one transaction; most turns end here too."""
        if self._applying is not None:
            return False
        try:
            turn = self._begin_turn(entries)
        except StorageFull:
            if not self._is_disk_full:
                logger.exception("disk full: nothing is applied until space is free")
            self._is_disk_full = True
            return False
        self._is_disk_full = False
        self._applying = self._apply_steps(turn, entries)
        self._go_on_applying()
        return True

    def _begin_turn(self, entries: Sequence[Entry]) -> Turn:
        size = operations = 0
        for entry in entries:
            size += len(entry.data)
            if entry.kind is EntryKind.COMMAND:
                operations += count_operations(entry.data)
        return self.machine.begin_turn(size, operations)

    def _go_on_applying(self) -> None:
        """Apply for one slice; the rest follows in the next iteration of the loop."""
        assert self._applying is not None
        deadline = self.clock.monotonic() + self.config.limits.slice_s
        for _ in self._applying:
            if self.clock.monotonic() >= deadline:
                self.scheduler.soon(self._due_slice)
                return
        self._applying = None

    def _due_slice(self) -> None:
        if self._failure is not None:
            return
        try:
            self._go_on_applying()
        except Exception as failure:  # whatever it is, this member is done
            self.stop(failure)
            return
        if self._applying is None:
            self.schedule_turn()

    def _apply_steps(self, turn: Turn, entries: Sequence[Entry]) -> Iterator[None]:
        membership = None
        clock, meters = self.clock.monotonic, self.meters
        started = clock()
        for entry in entries:
            if entry.kind is EntryKind.COMMAND:
                yield from turn.apply(entry.index, entry.term, entry.data)
                continue
            if entry.kind is EntryKind.MEMBERSHIP:
                membership = decode_membership(entry.data)
                meta.set_membership(turn.txn, entry.data)
                turn.forget(membership.removed)
            turn.skip(entry.index, entry.term)
        committing = clock()
        applied = turn.commit()
        now = clock()
        meters.backend_commit.observe(now - committing)
        meters.apply.observe(now - started)
        meters.slow_applies += now - started > SLOW_APPLY_S
        meters.counts.add(applied.counts)
        for ttl_s in applied.granted_ttls_s:
            meters.lease_ttl.observe(ttl_s)
        self.close_view()
        if membership is not None:
            self._membership_applied(membership)
        if applied.events and self.publish is not None:
            self.publish(applied.events)
        for batch_id, outcomes in applied.batches:
            self._proposals.applied(batch_id, outcomes)
        for listener in self.applied_listeners:
            listener()

    def send(self, member: MemberId, message: bytes) -> None:
        """Carry a message of the engine."""
        if not self.links.send(member, Channel.RAFT, message):
            self.meters.dropped_messages += 1

    def leader_changed(self, leader: MemberId | None, term: Term) -> None:
        """Give up what was sent to the former leader, and take up or lay down a leader's duties."""
        logger.info("leader changed", extra={"leader": leader and f"{leader:x}", "term": term})
        if leader is None:
            if self._no_leader_since is None:
                self._no_leader_since = self.clock.monotonic()
        else:
            self._no_leader_since = None
            self.leader_changes += 1
        self._proposals.lose(ProposalLeaderLost)
        self._unapplied.clear()
        if not self.is_leader:
            self._proposals.withdraw()
        for listener in self.leadership_listeners:
            listener(leader == self.id)
        self.schedule_turn()

    def membership_changed(self, membership: Membership) -> None:
        """Keep links to the members in force, and for a while to those that left."""
        self.is_learner = self.id in shown_learners(membership)
        peers: Mapping[MemberId, tuple[str, ...]] = {
            member: membership.peer_urls.get(member, ())
            for member in membership.members
            if member != self.id
        }
        leaving = {
            member: urls for member, urls in self._peers.items() if member in membership.removed
        }
        self._peers = peers
        if leaving:
            self._leaving = {**self._leaving, **leaving}
            self.scheduler.later(2 * self.config.election_timeout_s, self._let_go)
        self.links.set_peers({**self._leaving, **peers})

    def _let_go(self) -> None:
        self._leaving = {}
        self.links.set_peers(self._peers)

    def _membership_applied(self, membership: Membership) -> None:
        """Who is removed for good is refused from now on; this member stops, if it is the one."""
        for what, member in applied_changes(self._applied_membership, membership):
            logger.info(what, extra={"member": f"{member:x}"})
        self._applied_membership = membership
        self.links.refuse(membership.removed)
        if self.id in membership.removed:
            for listener in self.removal_listeners:
                listener()
            # Not at once: whoever asked is still to be answered.
            self.scheduler.later(self.config.heartbeat_s, self._stop_removed)

    def _stop_removed(self) -> None:
        self.stop(MemberRemoved("this member was removed from the cluster"))

    def snapshot_wanted(self, member: MemberId) -> None:
        """The log no longer holds what `member` needs."""
        if self.snapshot_requests is not None:
            self.snapshot_requests(member)


def _timed(job: SyncJob, clock: Clock) -> float:
    """Do a job of the log, in its thread; return how long that took, in seconds."""
    started = clock.monotonic()
    job.run()
    return clock.monotonic() - started


def _stored_membership(machine: StateMachine) -> Membership:
    """Return the membership at the applied index; an empty one for a keyspace that knows none."""
    stored = machine.backend.begin_read()
    try:
        encoded = meta.membership(stored)
    finally:
        stored.close()
    return decode_membership(encoded) if encoded else Membership()
