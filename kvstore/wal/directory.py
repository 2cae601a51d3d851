"""The log's directory, and the finality of its first failure."""

from pathlib import Path

from kvstore.base.errors import WalFailed
from kvstore.wal.disk import Disk

FAILURE_NAME = "failed"
"""Its presence says that a write or a sync failed; its text says which."""


class LogDirectory:
    """Where the files are. Once `fail` was called, `check_usable` raises for ever.

    After a failed sync the kernel may drop the dirty pages and call the next sync a success, so a
    retry would prove nothing: the member stops, and recovers from what is known durable.
    """

    __slots__ = ("disk", "failure", "path")

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self.disk = disk
        self.failure = ""

    def check_usable(self) -> None:
        """Raise WalFailed if a write or a sync has failed."""
        if self.failure:
            raise WalFailed(self.failure)

    def fail(self, error: OSError) -> WalFailed:
        """Note, here and on the disk, that it failed; return what to raise. Any thread."""
        failure = f"{self.path}: {error}"
        if not self.failure:
            self.failure = failure
            try:
                note_failure(self.disk, self.path, failure)
            except OSError as second:
                failure = f"{failure} (and it could not be noted: {second})"
        return WalFailed(failure)

    def noted_failure(self) -> str:
        """Return the failure that an earlier run noted, or an empty text."""
        if FAILURE_NAME not in self.disk.names(self.path):
            return ""
        text = self.disk.read(self.path / FAILURE_NAME).decode(errors="replace")
        return text or "a failure whose text was lost"

    def forget_failure(self) -> None:
        """Remove the note."""
        self.disk.unlink(self.path / FAILURE_NAME)
        self.disk.sync_directory(self.path)


def note_failure(disk: Disk, directory: Path, text: str) -> None:
    """Leave a durable note in `directory` that a write or a sync there failed."""
    file = disk.create(directory / FAILURE_NAME)
    try:
        file.write(text.encode(), 0)
        file.sync()
    finally:
        file.close()
    disk.sync_directory(directory)
