"""A `Disk` in memory that keeps only what it promised when the power is cut.

Files are sectors of 512 bytes. A write lands in the page cache; until the file is synced a power
cut may keep, of each sector, any version written since the last sync or the one before. Names made,
changed or removed are kept or lost one operation at a time until their directory is synced. A sync
that fails leaves the page cache as it is and calls it clean, as Linux does.
"""

import errno
from collections.abc import Callable
from pathlib import Path

from kvstore.base.entropy import Entropy

SECTOR = 512


class _Inode:
    """A file's content in the page cache, on the disk, and in between."""

    def __init__(self) -> None:
        self.live = bytearray()
        self.durable = bytearray()
        self.allocated = 0
        self.pending: dict[int, list[bytes]] = {}
        """Versions of each sector written since the last sync."""

    def sector(self, number: int) -> bytes:
        return bytes(self.live[number * SECTOR : (number + 1) * SECTOR])

    def write(self, data: bytes, offset: int) -> None:
        end = offset + len(data)
        if end > len(self.live):
            self.live.extend(bytes(end - len(self.live)))
        self.live[offset:end] = data
        for number in range(offset // SECTOR, -(-end // SECTOR)):
            self.pending.setdefault(number, []).append(self.sector(number))

    def settle(self) -> None:
        """Bring to the disk what is dirty; what an earlier failure left clean stays lost."""
        del self.durable[len(self.live) :]
        self.durable.extend(bytes(len(self.live) - len(self.durable)))
        for number in self.pending:
            start = number * SECTOR
            self.durable[start : start + SECTOR] = self.sector(number)
        self.pending.clear()

    def cut(self, entropy: Entropy) -> None:
        """Lose any part of what was not synced, the file's length included."""
        image = bytearray(self.durable)
        if len(self.live) != len(self.durable) and entropy.fraction() < 0.5:
            image.extend(bytes(max(0, len(self.live) - len(image))))
        for number, versions in sorted(self.pending.items()):
            choice = entropy.bits(32) % (len(versions) + 1)
            if choice:
                start = number * SECTOR
                version = versions[choice - 1][: max(0, len(image) - start)]
                image[start : start + len(version)] = version
        self.live = image
        self.durable = bytearray(image)
        self.pending.clear()


class SimFile:
    """An open file; of no use any more once its process or the power is gone."""

    def __init__(self, disk: "SimDisk", path: Path, inode: _Inode) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode
        self._epoch = disk.epoch
        self._is_open = True

    def allocate(self, size: int) -> None:
        self._step("allocate")
        self._disk.take(self._inode, size)
        if size > len(self._inode.live):
            self._inode.live.extend(bytes(size - len(self._inode.live)))

    def write(self, data: bytes, offset: int) -> None:
        self._step("write")
        self._disk.take(self._inode, offset + len(data))
        self._inode.write(data, offset)

    def write_durably(self, data: bytes, offset: int) -> None:
        self.write(data, offset)
        self.sync()

    def write_zeros(self, offset: int, size: int) -> None:
        self._step("write_zeros")
        self._disk.take(self._inode, offset + size)
        self._inode.write(bytes(size), offset)

    def sync(self) -> None:
        try:
            self._step("sync")
        except OSError:
            self._inode.pending.clear()
            raise
        self._inode.settle()

    def close(self) -> None:
        self._is_open = False

    def _step(self, operation: str) -> None:
        if not self._is_open or self._epoch != self._disk.epoch:
            raise OSError(errno.EBADF, "the file is closed", str(self._path))
        self._disk.step(operation, self._path)


class SimDisk:
    """The `Disk` of one simulated machine."""

    def __init__(self) -> None:
        self.epoch = 0
        self.operations = 0
        """Operations that changed something or waited, so far."""
        self.fault: Callable[[str, Path], None] | None = None
        """Called before each such operation with its name; may raise."""
        self.free_bytes: int | None = None
        """What can still be allocated; None: no end to it."""
        self.sync_s = 0.0005
        """How long a sync takes, for whoever plays the thread that waits for it."""
        self.is_held = False
        """Whether syncs do not return for now, likewise."""
        self._names: dict[Path, _Inode] = {}
        self._durable_names: dict[Path, _Inode] = {}
        self._changes: list[dict[Path, _Inode | None]] = []

    # --- the port

    def make_directory(self, directory: Path) -> None:
        """Directories are nothing but prefixes here."""

    def names(self, directory: Path) -> list[str]:
        return sorted(path.name for path in self._names if path.parent == directory)

    def read(self, path: Path) -> bytes:
        return bytes(self._find(path).live)

    def create(self, path: Path) -> SimFile:
        self.step("create", path)
        inode = _Inode()
        self._change({path: inode})
        return SimFile(self, path, inode)

    def open(self, path: Path) -> SimFile:
        return SimFile(self, path, self._find(path))

    def rename(self, old: Path, new: Path) -> None:
        self.step("rename", old)
        self._change({old: None, new: self._find(old)})

    def unlink(self, path: Path) -> None:
        self.step("unlink", path)
        inode = self._find(path)
        self._change({path: None})
        if self.free_bytes is not None:
            self.free_bytes += inode.allocated

    def sync_directory(self, directory: Path) -> None:
        self.step("sync_directory", directory)
        kept = []
        for change in self._changes:
            if any(path.parent == directory for path in change):
                _apply(self._durable_names, change)
            else:
                kept.append(change)
        self._changes = kept

    # --- faults

    def kill(self) -> None:
        """End the process: its files are closed, the page cache stays."""
        self.epoch += 1

    def crash(self, entropy: Entropy) -> None:
        """Cut the power: keep what was synced, and any part of the rest."""
        self.epoch += 1
        for change in self._changes:
            if entropy.fraction() < 0.5:
                _apply(self._durable_names, change)
        self._changes = []
        self._names = dict(self._durable_names)
        for inode in {id(inode): inode for inode in self._names.values()}.values():
            inode.cut(entropy)

    def rot(self, path: Path, offset: int, mask: int = 0xFF) -> None:
        """Flip bits of one byte, on the disk and in the cache."""
        assert mask
        inode = self._find(path)
        inode.live[offset] ^= mask
        inode.durable = bytearray(inode.live)
        inode.pending.clear()

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file short, as no crash would."""
        inode = self._find(path)
        del inode.live[size:]
        inode.settle()

    def copy(self) -> "SimDisk":
        """Return another disk with the same content, cached and durable."""
        twin = SimDisk()
        inodes: dict[int, _Inode] = {}

        def cloned(inode: _Inode) -> _Inode:
            if id(inode) not in inodes:
                clone = inodes[id(inode)] = _Inode()
                clone.live = bytearray(inode.live)
                clone.durable = bytearray(inode.durable)
                clone.allocated = inode.allocated
                clone.pending = {number: list(each) for number, each in inode.pending.items()}
            return inodes[id(inode)]

        twin._names = {path: cloned(inode) for path, inode in self._names.items()}
        twin._durable_names = {path: cloned(inode) for path, inode in self._durable_names.items()}
        twin._changes = [
            {path: None if inode is None else cloned(inode) for path, inode in change.items()}
            for change in self._changes
        ]
        return twin

    # --- inside

    def step(self, operation: str, path: Path) -> None:
        self.operations += 1
        if self.fault is not None:
            self.fault(operation, path)

    def take(self, inode: _Inode, size: int) -> None:
        """Give `inode` blocks for `size` bytes."""
        wanted = size - inode.allocated
        if wanted <= 0:
            return
        if self.free_bytes is not None:
            if wanted > self.free_bytes:
                raise OSError(errno.ENOSPC, "no space left on the simulated disk")
            self.free_bytes -= wanted
        inode.allocated = size

    def _change(self, change: dict[Path, _Inode | None]) -> None:
        self._changes.append(change)
        _apply(self._names, change)

    def _find(self, path: Path) -> _Inode:
        inode = self._names.get(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return inode


def _apply(names: dict[Path, _Inode], change: dict[Path, _Inode | None]) -> None:
    for path, inode in change.items():
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode
