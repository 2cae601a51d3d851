"""The `Disk` port: the few file operations that the log and the checkpoint side files need.

What the callers rely on, and what `tests/support/sim_disk.py` takes away where it is not promised:

* written bytes survive a power cut only after `DiskFile.sync` returned; before that any subset of
  the 512-byte sectors touched may have reached the disk;
* a name made, changed or removed survives only after `sync_directory` returned; before that any
  subset of the changes may have;
* after a failed `sync` nothing is known, and a later one that succeeds proves nothing.
"""

import errno
import os
from pathlib import Path
from typing import Protocol

_ZEROS = bytes(64 * 1024)
"""A write makes page cache folios of its size, and each later write into one dirties and accounts
for all of it: zeros come in pieces far smaller than a segment."""
_DSYNC: int = getattr(os, "RWF_DSYNC", 0)
_NO_SUCH_FLAG = (errno.EOPNOTSUPP, errno.ENOSYS)
"""What kernels and filesystems say that do not know it; nothing is written then."""
_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600


class DiskFile(Protocol):
    """An open file, written by position. Errors are `OSError`."""

    def allocate(self, size: int) -> None:
        """Reserve blocks for the bytes [0, size), and make the file at least that long."""
        ...

    def write(self, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        ...

    def write_durably(self, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`, and wait until it and the file's length survive."""
        ...

    def write_zeros(self, offset: int, size: int) -> None:
        """Write `size` zero bytes at `offset`."""
        ...

    def sync(self) -> None:
        """Wait until what was written, and the length of the file, survive a power cut."""
        ...

    def close(self) -> None:
        """Release the descriptor; does not sync. Closing twice is harmless."""
        ...


class Disk(Protocol):
    """A place for files. Errors are `OSError`."""

    def make_directory(self, directory: Path) -> None:
        """Make `directory` and its parents where they are missing."""
        ...

    def names(self, directory: Path) -> list[str]:
        """Return the names in `directory`, sorted."""
        ...

    def read(self, path: Path) -> bytes:
        """Return the whole content of a file."""
        ...

    def create(self, path: Path) -> DiskFile:
        """Open an empty file for writing; what had that name is emptied."""
        ...

    def open(self, path: Path) -> DiskFile:
        """Open an existing file for writing in place."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, replacing what had it."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        ...

    def sync_directory(self, directory: Path) -> None:
        """Wait until the names in `directory` survive a power cut."""
        ...


class RealDisk:
    """The `Disk` of the operating system."""

    def make_directory(self, directory: Path) -> None:
        """Make `directory` and its parents, for the owner only."""
        directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)

    def names(self, directory: Path) -> list[str]:
        """Return the names in `directory`, sorted."""
        return sorted(path.name for path in directory.iterdir())

    def read(self, path: Path) -> bytes:
        """Return the whole content of a file."""
        return path.read_bytes()

    def create(self, path: Path) -> "RealFile":
        """Open an empty file for writing."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return RealFile(os.open(path, flags, _FILE_MODE))

    def open(self, path: Path) -> "RealFile":
        """Open an existing file for writing in place."""
        return RealFile(os.open(path, os.O_RDWR | os.O_CLOEXEC))

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name."""
        old.replace(new)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def sync_directory(self, directory: Path) -> None:
        """Sync the directory itself."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class RealFile:
    """The `DiskFile` of the operating system."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def allocate(self, size: int) -> None:
        """Reserve blocks; an empty or sparse file would need a journal commit at each sync."""
        os.posix_fallocate(self._descriptor, 0, size)

    def write(self, data: bytes, offset: int) -> None:
        """Write all of `data`; the kernel may take several calls for it."""
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(self._descriptor, memoryview(data)[written:], offset + written)

    def write_durably(self, data: bytes, offset: int) -> None:
        """Write and sync in one call, where there is one: the interpreter's lock is left once."""
        if _DSYNC:
            try:
                if os.pwritev(self._descriptor, [data], offset, _DSYNC) == len(data):
                    return
            except OSError as error:
                if error.errno not in _NO_SUCH_FLAG:
                    raise
        self.write(data, offset)
        self.sync()

    def write_zeros(self, offset: int, size: int) -> None:
        """Write zeros, a bounded buffer at a time."""
        end = offset + size
        while offset < end:
            chunk = _ZEROS[: end - offset]
            self.write(chunk, offset)
            offset += len(chunk)

    def sync(self) -> None:
        """Sync data and length; times of access and change may stay behind."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the descriptor once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
