"""The `Backend` port over LMDB 0.9: a memory-mapped copy-on-write B+ tree, one writer.

Commits are not synced: they survive the death of the process, and a checkpoint makes them survive
a power cut. The map is opened once, far larger than the quota, and never resized: resizing drops
the page pin of open readers without a word, and the pin is what makes checkpoints sound.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import lmdb

from kvstore.backend.backend import SLICE
from kvstore.backend.checkpoint import (
    Checkpointer,
    PinnedCheckpoint,
    adopt,
    begin_directory,
    restore,
)
from kvstore.backend.directory_lock import lock_directory
from kvstore.backend.disk_space import allocate, can_allocate, require_free
from kvstore.backend.lmdb_file import DATA_FILE, read_metas
from kvstore.backend.schema import Tree
from kvstore.base.errors import StorageFull
from kvstore.base.limits import GIB, MIB

_ENGINE = 0
"""`lib_version` of LMDB 0.9: the 1.0 engine that py-lmdb also carries fails under writemap."""

_MAP_BYTES_MIN = 64 * GIB
_QUOTAS_PER_MAP = 4
_READERS_MAX = 4096
_SPARE_TXNS = 64
_FIRST_SLICE = 16
_SLICE_BYTES_MAX = 256 << 10
"""A list of more bytes is followed by shorter ones."""

_ALLOCATION_STRIDE = 64 * MIB
"""Allocated beyond what is asked for, so that most turns find their blocks already there."""

_PAGES_PER_CHANGE = 8
"""In each of two or three trees a leaf, a branch that no other change shares, and a split."""
_PAGES_PER_TRANSACTION = 16
"""The roots and the lists of freed pages."""

_Trees = dict[Tree, lmdb._Database]  # noqa: SLF001 - the binding has no public name for it


class _LmdbReader:
    """What read and write transactions share."""

    __slots__ = ("_get", "_trees", "_txn")

    def __init__(self, txn: "lmdb.Transaction[bytes]", trees: _Trees) -> None:
        self._txn = txn
        self._trees = trees
        self._get = txn.get

    def get(self, tree: Tree, key: bytes) -> bytes | None:
        """Return the value at `key`, or None."""
        return self._get(key, None, self._trees[tree])

    def get_many(self, tree: Tree, keys: Iterable[bytes]) -> list[bytes | None]:
        """Return the value at each of `keys`, or None."""
        get, database = self._get, self._trees[tree]
        return [get(key, None, database) for key in keys]

    def scan(
        self, tree: Tree, start: bytes = b"", end: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) with key in [start, end), ascending."""
        cursor = self._txn.cursor(self._trees[tree])
        if not (cursor.set_range(start) if start else cursor.first()):
            return
        if end is None:
            yield from cursor
            return
        for item in cursor:
            if item[0] >= end:
                return
            yield item

    def scan_values(
        self, tree: Tree, start: bytes = b"", end: bytes | None = None
    ) -> Iterator[list[bytes]]:
        """Yield the values with key in [start, end), ascending, in lists that grow up to `SLICE`.

        Values come out of the engine in bulk; the end is looked for once a list, by its last key.
        """
        database = self._trees[tree]
        cursor = self._txn.cursor(database)
        if not (cursor.set_range(start) if start else cursor.first()):
            return
        values = cursor.iternext(keys=False, values=True)
        size = _FIRST_SLICE
        first_key = cursor.key()
        while found := list(islice(values, size)):
            if end is not None:
                last_key = cursor.key() or self._last_key(database)
                if last_key >= end:
                    if inside := self._count_below(database, first_key, end, len(found)):
                        yield found[:inside]
                    return
            yield found
            if len(found) < size:
                return
            # Of values of 64 KiB, 256 would be 16 MiB, for each of many readers.
            is_large = sum(map(len, found)) > _SLICE_BYTES_MAX
            size = max(size // 4, _FIRST_SLICE) if is_large else min(size * 4, SLICE)
            # The iterator moves on at its next step, so do as much by hand for the key only.
            ahead = self._txn.cursor(database)
            ahead.set_range(cursor.key())
            if not ahead.next():
                return
            first_key = ahead.key()

    def scan_back(
        self, tree: Tree, end: bytes | None = None, start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) with key in [start, end), descending."""
        cursor = self._txn.cursor(self._trees[tree])
        if end is None:
            if not cursor.last():
                return
        elif not (cursor.prev() if cursor.set_range(end) else cursor.last()):
            return
        for item in cursor.iterprev():
            if item[0] < start:
                return
            yield item

    def count(self, tree: Tree) -> int:
        """Return the number of keys in `tree`."""
        return self._txn.stat(self._trees[tree])["entries"]

    def _last_key(self, database: lmdb._Database) -> bytes:
        cursor = self._txn.cursor(database)
        cursor.last()
        return cursor.key()

    def _count_below(
        self, database: lmdb._Database, first_key: bytes, end: bytes, most: int
    ) -> int:
        """Return how many of the `most` keys from `first_key` on are below `end`."""
        cursor = self._txn.cursor(database)
        cursor.set_range(first_key)
        return bisect_left(list(islice(cursor.iternext(keys=True, values=False), most)), end)


class LmdbReadTxn(_LmdbReader):
    """A pinned snapshot."""

    __slots__ = ()

    def close(self) -> None:
        """Let go of the snapshot's pages."""
        self._txn.abort()


class LmdbWriteTxn(_LmdbReader):
    """The one write transaction."""

    __slots__ = ("_put",)

    def __init__(self, txn: "lmdb.Transaction[bytes]", trees: _Trees) -> None:
        super().__init__(txn, trees)
        self._put = txn.put

    def put(self, tree: Tree, key: bytes, value: bytes) -> None:
        """Set `key`."""
        self._put(key, value, db=self._trees[tree])

    def put_many(self, tree: Tree, items: list[tuple[bytes, bytes]]) -> None:
        """Set each key."""
        self._txn.cursor(self._trees[tree]).putmulti(items, dupdata=False)

    def append(self, tree: Tree, key: bytes, value: bytes) -> None:
        """Set `key`, the highest of `tree`."""
        appended = self._put(key, value, append=True, db=self._trees[tree])
        assert appended, f"append below the last key of {tree.name}"

    def append_many(self, tree: Tree, items: list[tuple[bytes, bytes]]) -> None:
        """Set each key, all above the highest of `tree`."""
        _, appended = self._txn.cursor(self._trees[tree]).putmulti(items, append=True)
        assert appended == len(items), f"append below the last key of {tree.name}"

    def delete(self, tree: Tree, key: bytes) -> bool:
        """Remove `key`."""
        return self._txn.delete(key, db=self._trees[tree])

    def commit(self) -> None:
        """Publish the changes, unsynced."""
        self._txn.commit()

    def abort(self) -> None:
        """Forget the changes."""
        self._txn.abort()


class LmdbBackend:
    """A keyspace directory, open for this process alone."""

    def __init__(self, directory: Path, *, quota_bytes: int, reserve_bytes: int = 0) -> None:
        """Open `directory`, made if it is missing, and hold its lock until `close`.

        `reserve_bytes` of the disk are left to others, who must be able to write when we cannot.

        Brought back to its checkpoint first if a power cut may have damaged it. Waits for the disk.

        Raises:
            KeyspaceInUse: another process has it open.
            CorruptKeyspace: the data file is none of LMDB 0.9's, or cannot be restored.
            StorageFull: there is no space for even an empty keyspace.
        """
        self.directory = directory
        with ExitStack() as opened:
            self._open(quota_bytes, reserve_bytes, opened)
            self._opened = opened.pop_all()

    def _open(self, quota_bytes: int, reserve_bytes: int, opened: ExitStack) -> None:
        directory = self.directory
        directory.mkdir(parents=True, exist_ok=True)
        opened.callback(os.close, lock_directory(directory))
        restore(directory, sync_failed=False)
        begin_directory(directory)
        data_file = directory / DATA_FILE
        if data_file.exists() and data_file.stat().st_size:
            read_metas(data_file)
        self._file = os.open(data_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        opened.callback(os.close, self._file)
        self.can_preallocate = can_allocate(self._file)
        """Whether the filesystem allocates ahead; without it the map is not written through."""
        self._map_bytes = max(_MAP_BYTES_MIN, _QUOTAS_PER_MAP * quota_bytes)
        self.env = lmdb.open(
            str(directory),
            map_size=self._map_bytes,
            mode=0o600,
            writemap=self.can_preallocate,
            sync=False,
            metasync=False,
            max_readers=_READERS_MAX,
            max_dbs=len(Tree),
            max_spare_txns=_SPARE_TXNS,
            lib_version=_ENGINE,
        )
        opened.callback(self.env.close)
        # A reader slot of a process that died would hold its pages for ever.
        self.env.reader_check()
        self._page_bytes = self.env.stat()["psize"]
        self._reserve_bytes = reserve_bytes
        self._allocated_bytes = 0
        # Before the trees are made, which writes: the last run's pins ended with it.
        self._checkpointer = Checkpointer(directory, self.env, self._file)
        opened.callback(self._checkpointer.close)
        if self.env.stat()["entries"] < len(Tree):
            # Only then is anything written: a full disk keeps no one from opening what is there.
            self.reserve(0, len(Tree))
        self._trees: _Trees = {tree: self.env.open_db(tree.value) for tree in Tree}

    def begin_read(self) -> LmdbReadTxn:
        """Return a view of the last commit."""
        return LmdbReadTxn(self.env.begin(), self._trees)

    def begin_write(self) -> LmdbWriteTxn:
        """Return the write transaction."""
        return LmdbWriteTxn(self.env.begin(write=True), self._trees)

    def begin_checkpoint(self) -> PinnedCheckpoint:
        """Pin the last commit, between two write transactions."""
        return self._checkpointer.begin()

    def reserve(self, upcoming_bytes: int, changes: int) -> None:
        """Allocate up to the last page in use plus all that the next transaction could add.

        Raises:
            StorageFull: the filesystem refused, or the map would be full.
        """
        size = self.size_bytes
        needed = size + self._page_bytes * self._worst_case_pages(upcoming_bytes, changes)
        if needed > self._map_bytes:
            raise StorageFull(f"{needed} bytes needed, map of {self._map_bytes}")
        if not self.can_preallocate:
            require_free(self._file, needed - size + self._reserve_bytes)
        elif needed > self._allocated_bytes:
            self._allocate(size, needed)

    @property
    def size_bytes(self) -> int:
        """Bytes up to the last page that was ever used."""
        return (self.env.info()["last_pgno"] + 1) * self._page_bytes

    @property
    def live_bytes(self) -> int:
        """Bytes of the pages that hold trees, without free ones."""
        pages = 2
        with self.env.begin() as txn:
            for stat in (self.env.stat(), *(txn.stat(tree) for tree in self._trees.values())):
                pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return pages * self._page_bytes

    def copy_to(self, directory: Path) -> None:
        """Write the last commit to an empty directory, durably and without the free pages.

        Waits for the disk, and needs no turn on the event loop: meanwhile the environment is read
        and written as ever. What the copy holds is pinned until it is done.

        Raises:
            StorageFull: the disk has no room for it.
        """
        directory.mkdir(parents=True)
        require_free(self._file, self.live_bytes + self._reserve_bytes)
        self.env.copy(str(directory), compact=True)
        adopt(directory)

    def close(self) -> None:
        """Close the environment and let others have it."""
        self._opened.close()

    def _allocate(self, size: int, needed: int) -> None:
        """Give the file blocks up to `needed`, and some to spare if the disk has them."""
        # What is in use has its blocks, unless the file was copied with holes: so from the start.
        start = self._allocated_bytes
        stride = min(needed + _ALLOCATION_STRIDE, self._map_bytes)
        missing = needed - max(start, size)
        try:
            require_free(self._file, missing + stride - needed + self._reserve_bytes)
        except StorageFull:
            # A failing `fallocate` keeps what it has got so far, so it is not to be tried in vain.
            require_free(self._file, missing + self._reserve_bytes)
            stride = needed
        allocate(self._file, start, stride - start)
        self._allocated_bytes = stride

    def _worst_case_pages(self, upcoming_bytes: int, changes: int) -> int:
        """Return how many pages a transaction could take from the file's end.

        Every page that it touches is copied once, and nothing freed may be in reach: each change
        copies a path in some trees, and its bytes are stored twice, on pages that may be half
        empty.
        """
        copied = _PAGES_PER_TRANSACTION + changes * _PAGES_PER_CHANGE
        return copied + 4 * upcoming_bytes // self._page_bytes
