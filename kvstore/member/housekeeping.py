"""What a member does beside its requests: checkpoints, log trimming, removal of the compacted.

All of it runs in steps: the loop starts a step, the disk worker or the next iteration finishes it,
and no step holds the loop for longer than a slice.
"""

import logging
from collections.abc import Callable

from kvstore.backend.backend import WriteTxn
from kvstore.base.errors import StorageFull
from kvstore.base.ids import LogIndex
from kvstore.member.member import Member
from kvstore.member.ports import Worker
from kvstore.mvcc import Removal
from kvstore.raft.journal import Journal
from kvstore.wal import UpkeepJob, WriteAheadLog

logger = logging.getLogger(__name__)

_AGAIN_S = 0.05
_REMOVED_PER_STEP = 100
"""Records removed between two looks at the clock."""
_FULL_DISK_RETRY_S = 1.0


class Housekeeping:
    """One member's background work; `tick` is called a few times per second."""

    def __init__(
        self, member: Member, wal: WriteAheadLog, journal: Journal, disk_worker: Worker
    ) -> None:
        self._member = member
        self._wal = wal
        self._journal = journal
        self._disk = disk_worker
        self._limits = member.config.limits
        self._checkpointed_index = member.machine.applied.index
        self._checkpointed_position = wal.position
        self._checkpointed_at = member.clock.monotonic()
        self._is_checkpointing = False
        self._is_trim_due = False
        self._removal: Removal | None = None
        self._removal_due = False
        self._removing_since: float | None = None
        self._waiting_for_removal: list[Callable[[], None]] = []
        self.holds_log = False
        """Whether a copy of the keyspace needs entries behind the one in force."""
        member.applied_listeners.append(self._look_for_removal)
        self._look_for_removal()

    @property
    def log_bytes(self) -> int:
        """What the log's files hold that is not given up yet."""
        return self._wal.retained_bytes

    def when_removed(self, action: Callable[[], None]) -> None:
        """Call `action` once nothing that is compacted now is left."""
        self._waiting_for_removal.append(action)
        self._look_for_removal()

    def tick(self) -> None:
        """Start what is due."""
        if self._checkpoint_is_due():
            self._begin_checkpoint()
        if self._is_trim_due:
            self._trim()
        job = self._wal.begin_upkeep()
        if job is not None:
            self._disk.submit(job.run, lambda result: self._finish_upkeep(job, result))

    def keyspace_replaced(self, index: LogIndex) -> None:
        """The keyspace is another one, durable up to `index`."""
        self._checkpointed_index = index
        self._removal = None
        self._look_for_removal()

    # --- checkpoints and the log

    def _checkpoint_is_due(self) -> bool:
        if self._is_checkpointing or self._member.machine.applied.index <= self._checkpointed_index:
            return False
        age_s = self._member.clock.monotonic() - self._checkpointed_at
        written = self._wal.position - self._checkpointed_position
        return (
            age_s >= self._limits.checkpoint_interval_s
            or written >= self._limits.checkpoint_wal_bytes
        )

    def _begin_checkpoint(self) -> None:
        machine = self._member.machine
        self._is_checkpointing = True
        self._checkpointed_at = self._member.clock.monotonic()
        self._checkpointed_position = self._wal.position
        index = machine.applied.index
        backend = machine.backend
        checkpoint = backend.begin_checkpoint()

        def finish(result: object) -> None:
            self._is_checkpointing = False
            if isinstance(result, BaseException):
                self._member.stop(result)
                return
            checkpoint.finish()
            if self._member.machine is machine and machine.backend is backend:
                self._checkpointed_index = index
                self._trim()

        self._disk.submit(checkpoint.make_durable, finish)

    def _trim(self) -> None:
        """Forget entries that the durable keyspace holds, but for those that others may need.

        That is what members lack that answer, and a tail for those that do not (ADR 15); but never
        more than the bounds on the log's bytes, on disk and in memory.
        """
        if self.holds_log:
            return
        limits, journal = self._limits, self._journal
        first, upto = journal.first_index, self._checkpointed_index
        files_max = min(limits.wal_retained_bytes_max, 2 * limits.quota_bytes)
        is_long = (
            upto - first >= limits.snapshot_entries
            or journal.bytes_between(first, upto) >= limits.journal_bytes_max
            or self._wal.retained_bytes > files_max
        )
        if not is_long:
            return
        slowest = self._member.consensus.slowest_match()
        self._is_trim_due = False
        point = journal.trim_point(
            upto, entries_max=limits.retained_entries, bytes_max=limits.journal_bytes_max
        )
        if slowest is not None and slowest < point:
            self._is_trim_due = True  # once it has caught up, or answers no more
            bound = journal.trim_point(upto, entries_max=upto, bytes_max=limits.journal_bytes_max)
            point = max(slowest, bound)
        point = max(point, min(LogIndex(self._wal.index_to_retain(files_max)), upto))
        if point > first:
            self._member.consensus.compact(point)

    def _finish_upkeep(self, job: UpkeepJob, result: object) -> None:
        if isinstance(result, StorageFull):
            logger.warning("no room for the next log segment", extra={"why": str(result)})
        elif isinstance(result, BaseException):
            self._member.stop(result)
            return
        self._wal.finish_upkeep(job)

    # --- removal of what is compacted

    def _look_for_removal(self) -> None:
        if self._removal is None:
            self._removal = self._member.machine.store.removal()
        if self._removal is None:
            waiting, self._waiting_for_removal = self._waiting_for_removal, []
            for action in waiting:
                action()
        elif not self._removal_due:
            self._removal_due = True
            self._member.scheduler.soon(self._remove_slice)

    def _remove_slice(self) -> None:
        self._removal_due = False
        if self._removal is None:
            return
        if self._member.is_applying:
            self._member.scheduler.later(_AGAIN_S, self._look_for_removal)
            return
        backend = self._member.machine.backend
        try:
            backend.reserve(0, self._limits.compaction_batch)
        except StorageFull:
            self._member.scheduler.later(_FULL_DISK_RETRY_S, self._look_for_removal)
            return
        clock, meters = self._member.clock, self._member.meters
        started = clock.monotonic()
        if self._removing_since is None:
            self._removing_since = started
        txn = backend.begin_write()
        is_done = self._remove_for_a_slice(self._removal, txn)
        txn.commit()
        self._member.close_view()
        now = clock.monotonic()
        meters.removal_slices_ms.observe(1000 * (now - started))
        if is_done:
            self._removal = None
            meters.removals_ms.observe(1000 * (now - self._removing_since))
            meters.removed_unix_s = clock.unix()
            self._removing_since = None
            logger.info("finished scheduled compaction")
            self._look_for_removal()
        else:
            self._removal_due = True
            self._member.scheduler.soon(self._remove_slice)

    def _remove_for_a_slice(self, removal: Removal, txn: WriteTxn) -> bool:
        """Remove at most a batch of records, for no longer than a slice; return if all are gone."""
        clock = self._member.clock
        deadline = clock.monotonic() + self._limits.slice_s
        for _ in range(0, self._limits.compaction_batch, _REMOVED_PER_STEP):
            self._member.meters.removal_records += _REMOVED_PER_STEP
            if removal.step(txn, _REMOVED_PER_STEP):
                return True
            if clock.monotonic() >= deadline:
                return False
        return False
