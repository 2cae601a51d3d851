"""What the log does to the disk away from the event loop, packed into jobs.

A job is made on the loop, run once in another thread (or inline), and finished on the loop. It owns
what it carries: the loop never touches the bytes or the files of a job before it is finished.
"""

import errno
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from kvstore.base import failpoint
from kvstore.base.errors import StorageFull
from kvstore.wal.directory import LogDirectory
from kvstore.wal.segment import Segment, blank_again, make_blank

BLANK_SUFFIX = ".blank"
_FRESH_NAME = f"fresh{BLANK_SUFFIX}"


@dataclass(slots=True)
class Piece:
    """Consecutive record bytes for one segment."""

    segment: Segment
    offset: int
    buffers: list[bytes] = field(default_factory=list)
    is_new: bool = False
    """Whether the segment's file must be made first."""
    spare: Path | None = None
    """A blank file to make it from."""


class SyncJob:
    """Writes what was appended up to `sequence`, and makes it durable.

    Jobs run in the order in which they were begun. Running one twice is harmless: `sync` on the
    loop may overtake the thread.
    """

    __slots__ = (
        "_directory",
        "_disk",
        "_fail",
        "_lock",
        "_pieces",
        "_state",
        "position",
        "sequence",
    )

    def __init__(
        self,
        directory: LogDirectory,
        lock: Lock,
        pieces: list[Piece],
        *,
        sequence: int,
        position: int,
    ) -> None:
        self._directory = directory
        self._lock = lock
        self._pieces = pieces
        self._state = 0
        self.sequence = sequence
        self.position = position

    @property
    def is_written(self) -> bool:
        """Whether the operating system has the bytes: they survive the end of this process."""
        return self._state >= 1

    @property
    def is_durable(self) -> bool:
        """Whether the bytes survive a power cut."""
        return self._state >= 2  # noqa: PLR2004 - begun, written, durable

    def run(self) -> None:
        """Write and sync. Waits for the disk.

        Raises:
            WalFailed: it failed, now or before; the member must stop.
        """
        with self._lock:
            if not self.is_written:
                self._write(is_durable=True)
            elif not self.is_durable:
                self._sync()

    def write(self) -> None:
        """Do the first half only; for a simulation that lets time pass before `run`."""
        with self._lock:
            if not self.is_written:
                self._write(is_durable=False)

    def _write(self, *, is_durable: bool) -> None:
        try:
            for piece in self._pieces:
                if piece.is_new:
                    self._create(piece)
                data = b"".join(piece.buffers)
                failpoint.hit("wal_before_write")
                if not is_durable:
                    piece.segment.write(data, piece.offset)
                    continue
                failpoint.hit("wal_before_sync")
                piece.segment.write_durably(data, piece.offset)
                failpoint.hit("wal_after_sync")
        except OSError as error:
            raise self._directory.fail(error) from error
        self._state = 2 if is_durable else 1

    def _sync(self) -> None:
        try:
            for piece in self._pieces:
                failpoint.hit("wal_before_sync")
                piece.segment.sync()
                failpoint.hit("wal_after_sync")
        except OSError as error:
            raise self._directory.fail(error) from error
        self._state = 2

    def _create(self, piece: Piece) -> None:
        blank = piece.spare
        if blank is None:
            failpoint.hit("wal_before_create")
            blank = self._directory.path / _FRESH_NAME
            make_blank(self._directory.disk, blank, piece.segment.capacity)
        piece.segment.create(self._directory.disk, self._directory.path, blank)


class UpkeepJob:
    """Removes segments that are no longer needed, and keeps one zeroed file ready as the next."""

    __slots__ = ("_capacity", "_directory", "_retired", "_spare_path", "_wants_spare", "spare")

    def __init__(
        self,
        directory: LogDirectory,
        *,
        retired: list[Segment],
        wants_spare: bool,
        number: int,
        capacity: int,
    ) -> None:
        self._directory = directory
        self._retired = retired
        self._wants_spare = wants_spare
        # A name of its own: a sync job that still waits may be about to use the spare before.
        self._spare_path = directory.path / f"spare.{number}{BLANK_SUFFIX}"
        self._capacity = capacity
        self.spare: Path | None = None

    def run(self) -> None:
        """Do it; may take as long as writing a whole segment. Not in the thread that syncs.

        Raises:
            StorageFull: no room for the next segment; everything else is done, try again later.
            WalFailed: something failed for good; the member must stop.
        """
        try:
            for segment in self._retired:
                self._retire(segment)
            if self._wants_spare and self.spare is None:
                self._make_spare()
        except OSError as error:
            raise self._directory.fail(error) from error

    def _retire(self, segment: Segment) -> None:
        disk, directory = self._directory.disk, self._directory.path
        path = directory / segment.name
        segment.close()
        failpoint.hit("wal_before_release")
        if self._wants_spare and self.spare is None and segment.capacity == self._capacity:
            spare = self._spare_path
            # Durable under its new name before it is zeroed: a `.wal` file is never found blank.
            disk.rename(path, spare)
            disk.sync_directory(directory)
            failpoint.hit("wal_before_truncate")
            blank_again(disk, spare, self._capacity)
            self.spare = spare
        else:
            disk.unlink(path)
            # One by one, oldest first, so that a crash leaves no gap.
            disk.sync_directory(directory)
        failpoint.hit("wal_after_release")

    def _make_spare(self) -> None:
        disk, spare = self._directory.disk, self._spare_path
        try:
            failpoint.hit("wal_before_create")
            make_blank(disk, spare, self._capacity)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            disk.unlink(spare)
            raise StorageFull(f"{spare}: no room for {self._capacity} bytes") from error
        self.spare = spare
