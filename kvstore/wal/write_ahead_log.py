"""The write-ahead log of one member: entries, term and vote, durable before promised.

Appending only encodes into memory. `begin_sync` packs what was appended into a job for the thread
that waits for the disk; `finish_sync`, on the loop, moves `durable_sequence`. Several jobs may be
outstanding; they are run in order.
"""

from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from kvstore.base import failpoint
from kvstore.base.entropy import Entropy
from kvstore.base.limits import Limits
from kvstore.wal.directory import LogDirectory
from kvstore.wal.disk import Disk
from kvstore.wal.jobs import BLANK_SUFFIX, Piece, SyncJob, UpkeepJob
from kvstore.wal.record import HEAD_BYTES, RecordType, State, encode, encode_state, sealable
from kvstore.wal.recovery import NO_BASE, Recovery, WalBase, WalEntry, lower_last_index, recover
from kvstore.wal.segment import HEADER_BYTES, SUFFIX, Segment, WalIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a log held when it was opened; all of it is durable."""

    base: WalBase
    entries: list[WalEntry]
    """Those above the base, without gaps."""
    term: int
    vote: int
    """0: none in `term`."""
    is_new: bool
    """The directory held no log; an empty one was made."""
    failure: str
    """The noted failure of an earlier run, or empty. See `WriteAheadLog.forget_failure`."""
    notes: list[str]
    """What an operator should know: torn tails that were cut."""


class WriteAheadLog:
    """The log. Every method belongs to the event loop; the jobs it hands out do not.

    Invariants: positions and sequences only grow; `durable_sequence` and the durable position
    never pass what a finished sync covered; after the first failed write or sync every call raises.
    """

    def __init__(
        self,
        directory: LogDirectory,
        limits: Limits,
        identity: WalIdentity,
        entropy: Entropy,
    ) -> None:
        """Prepare an unopened log; use `open`."""
        self._directory = directory
        self._limits = limits
        self._identity = identity
        self._entropy = entropy
        self._io_lock = Lock()
        self._base = NO_BASE
        self._term = 0
        self._vote = 0
        self._last_index = 0
        self._segments: list[Segment] = []
        self._crc = 0
        self._sequence = 0
        self._durable_sequence = 0
        self._durable_position = 0
        self._pieces: list[Piece] = []
        self._buffers: list[bytes] = []
        self._outstanding: deque[SyncJob] = deque()
        self._released: deque[tuple[int, Segment]] = deque()
        self._retired: list[Segment] = []
        self._spare: Path | None = None
        self._upkeep: UpkeepJob | None = None
        self._upkeeps = 0

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        disk: Disk,
        limits: Limits,
        identity: WalIdentity,
        entropy: Entropy,
    ) -> "tuple[WriteAheadLog, Recovered]":
        """Open the log in `directory`, or make an empty one. Waits for the disk.

        Cuts a torn tail, and makes everything that is left durable.

        Raises:
            CorruptWal: promised records are damaged; names file and offset. Nothing was changed.
            WrongDataDirectory: another cluster's, member's or format version's log.
            WalFailed: the disk failed.
        """
        place = LogDirectory(directory, disk)
        wal = cls(place, limits, identity, entropy)
        try:
            return wal, wal._open()
        except OSError as error:
            raise place.fail(error) from error

    # --- appending

    def append_entry(self, index: int, term: int, kind: int, data: bytes) -> int:
        """Append an entry, the next one; return its sequence."""
        assert index == self._last_index + 1, (index, self._last_index)
        sequence = self._append(RecordType.ENTRY, kind, index, term, data)
        self._last_index = index
        return sequence

    def append_truncation(self, index: int) -> int:
        """Forget the entries from `index` on; the caller truncates only above the commit index."""
        assert self._base.index < index <= self._last_index, (index, self._last_index)
        sequence = self._append(RecordType.TRUNCATION, 0, index, 0, b"")
        self._last_index = index - 1
        lower_last_index(self._segments, index - 1)
        return sequence

    def append_hard_state(self, term: int, vote: int) -> int:
        """Set the term and the vote in it (0: none)."""
        assert term >= self._term
        sequence = self._append(RecordType.HARD_STATE, 0, vote, term, b"")
        self._term, self._vote = term, vote
        return sequence

    def append_reset(self, index: int, term: int, membership: bytes, generation: int) -> int:
        """Replace the whole log by a base: the keyspace `generation` stands at (index, term)."""
        base = WalBase(index, term, membership, generation)
        sequence = self._append_state(RecordType.RESET, base)
        self._last_index = index
        lower_last_index(self._segments, 0)
        self._release_segments()
        return sequence

    def append_generation(self, generation: int) -> int:
        """Name the keyspace directory that is in force, the log staying as it is."""
        return self._append_state(RecordType.STATE, replace(self._base, generation=generation))

    def release(self, index: int, term: int, membership: bytes) -> int:
        """Move the base up: entries at or below `index` are in the durable keyspace.

        `term` and `membership` are those at `index`. Once the record is durable, `begin_upkeep`
        removes the segments that hold nothing else.
        """
        assert self._base.index <= index <= self._last_index, (index, self._last_index)
        base = WalBase(index, term, membership, self._base.generation)
        sequence = self._append_state(RecordType.STATE, base)
        self._release_segments()
        return sequence

    # --- syncing

    def begin_sync(self) -> SyncJob | None:
        """Return a job for what was appended; None if there is nothing, or enough is under way."""
        self._directory.check_usable()
        if len(self._outstanding) >= self._limits.entries_in_flight_max:
            return None
        return self._begin_sync()

    def finish_sync(self, job: SyncJob) -> None:
        """Take note of a job that was run: all up to `job.sequence` is durable.

        Raises:
            WalFailed: it, or one before it, failed.
        """
        self._directory.check_usable()
        assert job.is_durable
        if job.position <= self._durable_position:
            return  # `sync` has overtaken it
        while self._outstanding and self._outstanding[0].position <= job.position:
            assert self._outstanding.popleft().is_durable
        self._durable_sequence = job.sequence
        self._durable_position = job.position
        while self._released and self._released[0][0] <= job.sequence:
            self._retired.append(self._released.popleft()[1])

    def sync(self) -> None:
        """Make everything appended durable before returning, whatever jobs are under way."""
        self._directory.check_usable()
        self._begin_sync()
        while self._outstanding:
            job = self._outstanding[0]
            job.run()
            self.finish_sync(job)

    @property
    def has_unsynced(self) -> bool:
        """Whether anything was appended that no job holds yet."""
        return bool(self._pieces)

    @property
    def sequence(self) -> int:
        """The last sequence handed out."""
        return self._sequence

    @property
    def durable_sequence(self) -> int:
        """Everything appended up to this sequence survives a power cut."""
        return self._durable_sequence

    # --- space

    def begin_upkeep(self) -> UpkeepJob | None:
        """Return a job that removes and prepares segments; None if nothing is to be done.

        At most one is under way. Without upkeep released segments stay, and a new segment is made
        while an append waits for it.
        """
        self._directory.check_usable()
        if self._upkeep is not None or not (self._retired or self._spare is None):
            return None
        self._upkeeps += 1
        self._upkeep = UpkeepJob(
            self._directory,
            retired=self._retired,
            wants_spare=self._spare is None,
            number=self._upkeeps,
            capacity=self._limits.wal_segment_bytes,
        )
        self._retired = []
        return self._upkeep

    def finish_upkeep(self, job: UpkeepJob) -> None:
        """Take note of an upkeep job that was run, with or without `StorageFull`."""
        self._directory.check_usable()
        assert job is self._upkeep
        self._upkeep = None
        if job.spare is not None:
            self._spare = job.spare

    @property
    def position(self) -> int:
        """Bytes appended since the log was first made."""
        return self._segments[-1].end

    @property
    def retained_bytes(self) -> int:
        """Bytes between the oldest segment that is kept and the end."""
        return self._segments[-1].end - self._segments[0].start

    def index_to_retain(self, bytes_max: int) -> int:
        """Return the lowest index to `release` so that at most `bytes_max` are retained.

        At or below the present base if nothing needs to go. The last segment always stays.
        """
        end = self._segments[-1].end
        for segment in self._segments:
            if end - segment.start <= bytes_max:
                return segment.last_index_before
        return self._segments[-1].last_index_before

    # --- the end

    def forget_failure(self) -> None:
        """Remove the note of an earlier run's failure, once the keyspace has been restored."""
        try:
            self._directory.forget_failure()
        except OSError as error:
            raise self._directory.fail(error) from error

    def close(self) -> None:
        """Release the files. Does not sync: what was appended since the last sync may be lost."""
        for segment in [*self._segments, *self._retired, *(each for _, each in self._released)]:
            segment.close()

    # --- inside: appending

    def _append(self, record_type: int, kind: int, index: int, term: int, data: bytes) -> int:
        if self._directory.failure:
            self._directory.check_usable()
        segment = self._segments[-1]
        size = HEAD_BYTES + len(data)
        if segment.used + size > segment.capacity:
            segment = self._begin_segment(size)
        self._encode(segment, record_type, kind, index, term, data)
        self._sequence += 1
        return self._sequence

    def _encode(  # noqa: PLR0913, PLR0917 - hot, and these are a record's fields
        self, segment: Segment, record_type: int, kind: int, index: int, term: int, data: bytes
    ) -> None:
        head, self._crc = encode(
            segment.seal, record_type, kind, index, term, data, self._crc, self._durable_position
        )
        if not self._pieces:
            self._pieces.append(Piece(segment, segment.used))
            self._buffers = self._pieces[-1].buffers
        buffers = self._buffers
        buffers.append(head)
        if data:
            buffers.append(data)
        segment.used += HEAD_BYTES + len(data)

    def _append_state(self, record_type: RecordType, base: WalBase) -> int:
        last_index = self._last_index
        state = State(base.generation, self._term, self._vote, last_index, base.membership)
        sequence = self._append(record_type, 0, base.index, base.term, encode_state(state))
        self._base = base
        return sequence

    def _begin_segment(self, size: int) -> Segment:
        """Go on in a new segment with room for a record of `size` bytes behind its state."""
        base = self._base
        state = encode_state(
            State(base.generation, self._term, self._vote, self._last_index, base.membership)
        )
        older = self._segments[-1] if self._segments else None
        capacity = max(self._limits.wal_segment_bytes, HEAD_BYTES + len(state) + size)
        segment = Segment(
            identity=self._identity,
            sequence=older.sequence + 1 if older is not None else 1,
            segment_id=sealable(self._entropy.bits(64)),
            start=older.end if older is not None else 0,
            previous=self._crc,
            capacity=capacity,
            last_index_before=self._last_index,
        )
        spare = None
        if capacity == self._limits.wal_segment_bytes:
            spare, self._spare = self._spare, None
        self._segments.append(segment)
        self._pieces.append(Piece(segment, 0, is_new=True, spare=spare))
        self._buffers = self._pieces[-1].buffers
        self._encode(segment, RecordType.STATE, 0, base.index, base.term, state)
        return segment

    def _release_segments(self) -> None:
        """Set aside the oldest segments whose entries the base covers, until that is durable."""
        segments = self._segments
        while len(segments) > 1 and segments[1].last_index_before <= self._base.index:
            self._released.append((self._sequence, segments.pop(0)))

    # --- inside: syncing

    def _begin_sync(self) -> SyncJob | None:
        if not self._pieces:
            return None
        job = SyncJob(
            self._directory,
            self._io_lock,
            self._pieces,
            sequence=self._sequence,
            position=self._segments[-1].end,
        )
        self._pieces = []
        self._outstanding.append(job)
        return job

    # --- inside: opening

    def _open(self) -> Recovered:
        disk, directory = self._directory.disk, self._directory.path
        disk.make_directory(directory)
        names = disk.names(directory)
        failure = self._directory.noted_failure()
        recovery = recover(directory, names, disk, self._identity)
        for name in names:
            if name.endswith(BLANK_SUFFIX):
                disk.unlink(directory / name)  # how far it was zeroed is not known
        if recovery is None:
            self._make_first(names)
        else:
            self._settle(recovery, rewrite=bool(failure))
        return Recovered(
            base=self._base,
            entries=recovery.entries if recovery is not None else [],
            term=self._term,
            vote=self._vote,
            is_new=recovery is None,
            failure=failure,
            notes=recovery.notes if recovery is not None else [],
        )

    def _make_first(self, names: list[str]) -> None:
        disk, directory = self._directory.disk, self._directory.path
        for name in names:
            if name.endswith(SUFFIX):
                disk.unlink(directory / name)  # a first segment, never completed
        disk.sync_directory(directory)
        self._begin_segment(0)
        self.sync()

    def _settle(self, recovery: Recovery, *, rewrite: bool) -> None:
        """Cut what was not promised, and make the rest durable."""
        disk, directory = self._directory.disk, self._directory.path
        self._segments = recovery.segments
        self._crc = recovery.last_crc
        self._base = recovery.base
        self._term, self._vote = recovery.term, recovery.vote
        self._last_index = recovery.last_index
        for path in reversed(recovery.dropped):
            failpoint.hit("wal_before_drop")
            disk.unlink(path)
            disk.sync_directory(directory)
        for segment in recovery.segments:
            if segment.end > recovery.watermark or segment is recovery.segments[-1]:
                self._settle_segment(segment, recovery, rewrite=rewrite)
        self._durable_position = self._segments[-1].end
        self._release_segments()
        while self._released:
            self._retired.append(self._released.popleft()[1])

    def _settle_segment(self, segment: Segment, recovery: Recovery, *, rewrite: bool) -> None:
        disk, path = self._directory.disk, self._directory.path / segment.name
        file = segment.file = disk.open(path)
        if rewrite:
            # After a failed sync the page cache may hold what the disk does not, and call it clean.
            promised = max(0, recovery.watermark - segment.start)
            start, end = HEADER_BYTES + promised, HEADER_BYTES + segment.used
            file.write(disk.read(path)[start:end], start)
        if segment is recovery.segments[-1]:
            size = HEADER_BYTES + segment.capacity
            file.allocate(size)
            dirty = max(recovery.dirty_until, 0) - segment.used
            if dirty > 0:
                failpoint.hit("wal_before_truncate")
                file.write_zeros(HEADER_BYTES + segment.used, dirty)
            if recovery.missing_bytes:
                file.write_zeros(size - recovery.missing_bytes, recovery.missing_bytes)
        failpoint.hit("wal_before_sync")
        file.sync()
        failpoint.hit("wal_after_sync")
