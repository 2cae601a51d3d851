"""Defragmentation: the keyspace moves into a compact copy of itself, and nobody waits for it.

A worker writes the copy, as the next generation beside the present one, from one pinned commit.
Then the copy applies, in slices, what the log has brought since; it is made durable, catches up
again, and one record of the log names it (ADR 12). A crash before finds the old keyspace, a crash
after it the new one, each whole. The log is not trimmed meanwhile: the copy needs its entries.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial

from kvstore.apply import StateMachine, meta
from kvstore.apply.command import count_operations
from kvstore.backend.backend import Backend
from kvstore.base import failpoint
from kvstore.base.errors import RpcError, SpaceExceeded, Stopped, StorageFull, Unavailable
from kvstore.base.ids import LogIndex
from kvstore.base.limits import MIB
from kvstore.member.housekeeping import Housekeeping
from kvstore.member.member import Member
from kvstore.member.ports import Keyspaces, Worker
from kvstore.member.snapshots import Snapshots
from kvstore.raft.consensus import EntryKind
from kvstore.raft.journal import Journal
from kvstore.raft.membership import decode_membership

logger = logging.getLogger(__name__)

_AGAIN_S = 0.005
"""Between two slices of catching up: requests come first."""
_SLICE_S = 0.003
_ENTRIES_BYTES = 1 * MIB

Done = Callable[[RpcError | None], None]


class Superseded(Unavailable):
    """Another member's snapshot replaces the keyspace that was being copied."""

    message = "etcdserver: defragmentation was given up: a snapshot is being received"


class Defragmentation:
    """At most one at a time; whoever asks meanwhile waits for the same one."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a member that it touches
        self,
        member: Member,
        keyspaces: Keyspaces,
        journal: Journal,
        snapshots: Snapshots,
        housekeeping: Housekeeping,
        disk_worker: Worker,
        copy_worker: Worker,
    ) -> None:
        self._member = member
        self._keyspaces = keyspaces
        self._journal = journal
        self._snapshots = snapshots
        self._housekeeping = housekeeping
        self._disk = disk_worker
        self._copier = copy_worker
        self._waiting: list[Done] = []
        self._started = 0.0
        self._generation = 0
        self._former_bytes = 0
        self._copy: StateMachine | None = None
        self._applying: Iterator[None] | None = None
        self._durable_index = LogIndex(0)
        self._is_given_up = False
        snapshots.before_receiving = self._give_up

    @property
    def is_running(self) -> bool:
        """Whether a copy is being made."""
        return bool(self._generation)

    def start(self, done: Done) -> None:
        """Begin, or join the one under way; `done` is called once, when the copy is in force."""
        if self._member.failure is not None:
            done(Stopped())
            return
        if self._snapshots.is_receiving:
            done(Superseded())
            return
        self._waiting.append(done)
        if self.is_running:
            return
        self._started = self._member.clock.monotonic()
        backend = self._member.machine.backend
        self._generation = self._snapshots.next_generation()
        self._former_bytes = backend.size_bytes
        self._durable_index = LogIndex(0)
        self._is_given_up = False
        self._housekeeping.holds_log = True
        logger.info(
            "starting to defragment",
            extra={"bytes": self._former_bytes, "in use": backend.live_bytes},
        )
        generation = self._generation
        self._keyspaces.remove(generation)
        self._copier.submit(partial(self._keyspaces.copy, backend, generation), self._copied)

    def _copied(self, result: Backend | BaseException) -> None:
        if isinstance(result, StorageFull):
            self._end(SpaceExceeded(str(result)), None)
        elif isinstance(result, BaseException):
            self._member.stop(result)
        elif self._member.failure is not None or self._is_given_up:
            self._end(Superseded() if self._is_given_up else Stopped(), result)
        else:
            logger.info("the copy is written, and catches up", extra={"bytes": result.size_bytes})
            self._copy = StateMachine(result)
            self._catch_up()

    # --- catching up

    def _catch_up(self) -> None:
        """Apply one slice of what the copy lacks; go on when there is nothing left."""
        member, copy = self._member, self._copy
        assert copy is not None
        if member.failure is not None or self._is_given_up:
            self._end(Superseded() if self._is_given_up else Stopped(), copy.backend)
            return
        try:
            is_level = self._apply_slice(copy)
        except StorageFull as problem:
            self._end(SpaceExceeded(str(problem)), copy.backend)
            return
        if not is_level or member.is_applying:
            member.scheduler.later(_AGAIN_S, self._catch_up_guarded)
        elif self._durable_index:
            self._switch(copy)
        else:
            self._make_durable(copy)

    def _catch_up_guarded(self) -> None:
        try:
            self._catch_up()
        except Exception as failure:  # whatever it is, this member is done
            self._member.stop(failure)

    def _apply_slice(self, copy: StateMachine) -> bool:
        """Apply to the copy for one slice; whether it is level with the keyspace in force."""
        deadline = self._member.clock.monotonic() + _SLICE_S
        while copy.applied.index < self._member.machine.applied.index:
            if self._applying is None:
                self._applying = self._apply_steps(copy)
            for _ in self._applying:
                if self._member.clock.monotonic() >= deadline:
                    return False
            self._applying = None
        return self._applying is None

    def _apply_steps(self, copy: StateMachine) -> Iterator[None]:
        since, upto = LogIndex(copy.applied.index + 1), self._member.machine.applied.index
        entries = self._journal.batch(since, _ENTRIES_BYTES, upto=upto)
        size = sum(len(entry.data) for entry in entries)
        commands = [entry.data for entry in entries if entry.kind is EntryKind.COMMAND]
        turn = copy.begin_turn(size, sum(map(count_operations, commands)))
        for entry in entries:
            if entry.kind is EntryKind.COMMAND:
                yield from turn.apply(entry.index, entry.term, entry.data)
            else:
                if entry.kind is EntryKind.MEMBERSHIP:
                    meta.set_membership(turn.txn, entry.data)
                    turn.forget(decode_membership(entry.data).removed)
                turn.skip(entry.index, entry.term)
            yield
        turn.commit()

    # --- the switch

    def _make_durable(self, copy: StateMachine) -> None:
        index = copy.applied.index
        checkpoint = copy.backend.begin_checkpoint()

        def finished(result: object) -> None:
            if isinstance(result, BaseException):
                self._member.stop(result)
                return
            checkpoint.finish()
            self._durable_index = index
            self._catch_up_guarded()

        self._disk.submit(checkpoint.make_durable, finished)

    def _switch(self, copy: StateMachine) -> None:
        member = self._member
        former = member.machine.backend
        failpoint.hit("defragmentation_before_switch")
        self._journal.switch_generation(self._generation)
        failpoint.hit("defragmentation_after_switch")
        member.move_machine(copy)
        self._snapshots.moved_to(self._generation, former)
        self._housekeeping.keyspace_replaced(self._durable_index)
        logger.info(
            "finished defragmenting directory",
            extra={"bytes": copy.backend.size_bytes, "before": self._former_bytes},
        )
        self._end(None, None)

    def _give_up(self) -> None:
        """Make room for another member's snapshot, which will be the next generation."""
        if self.is_running:
            self._is_given_up = True  # the next step removes the copy

    def _end(self, error: RpcError | None, unused: Backend | None) -> None:
        if unused is not None:
            unused.close()
            self._keyspaces.remove(self._generation)
        now = self._member.clock.monotonic()
        self._member.meters.defragmentation.observe(now - self._started)
        if error is not None:
            logger.warning("defragmentation ended", extra={"why": str(error)})
        self._generation = 0
        self._copy = None
        self._applying = None
        self._housekeeping.holds_log = False
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(error)
