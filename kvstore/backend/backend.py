"""The port to ordered storage: `lmdb_backend` is the adapter, `memory_backend` its twin."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from kvstore.backend.schema import Tree

KEY_BYTES_MAX = 511
"""Longest key of a tree (LMDB 0.9); the shortest is one byte."""

SLICE = 256
"""Longest list that one step of `scan_values` yields: a fraction of a millisecond's work."""


class Reader(Protocol):
    """What both kinds of transaction can read."""

    def get(self, tree: Tree, key: bytes) -> bytes | None:
        """Return the value at `key`, or None."""
        ...

    def get_many(self, tree: Tree, keys: Iterable[bytes]) -> list[bytes | None]:
        """Return what `get` returns for each of `keys`: half the cost a key."""
        ...

    def scan(
        self, tree: Tree, start: bytes = b"", end: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) with key in [start, end), ascending; `end` None means no end."""
        ...

    def scan_values(
        self, tree: Tree, start: bytes = b"", end: bytes | None = None
    ) -> Iterator[list[bytes]]:
        """Yield the values whose key is in [start, end), ascending, in lists of up to `SLICE`.

        A fraction of the cost of `scan` where the keys are not needed.
        """
        ...

    def scan_back(
        self, tree: Tree, end: bytes | None = None, start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) with key in [start, end), descending."""
        ...

    def count(self, tree: Tree) -> int:
        """Return the number of keys in `tree`, without a scan."""
        ...


class ReadTxn(Reader, Protocol):
    """A frozen view of every tree; cheap to open, and to be closed soon: it pins old pages."""

    def close(self) -> None:
        """Let go of the view. Closing twice is harmless."""
        ...


class WriteTxn(Reader, Protocol):
    """The one writer: sees its own changes; nothing is visible to others before `commit`.

    A tree must not be changed while one of its scans is under way.
    """

    def put(self, tree: Tree, key: bytes, value: bytes) -> None:
        """Set `key`, replacing what was there."""
        ...

    def put_many(self, tree: Tree, items: list[tuple[bytes, bytes]]) -> None:
        """Set each key, as `put` does, in one step."""
        ...

    def append(self, tree: Tree, key: bytes, value: bytes) -> None:
        """Set `key`, which must be above every key of `tree`: cheaper than `put`."""
        ...

    def append_many(self, tree: Tree, items: list[tuple[bytes, bytes]]) -> None:
        """Set each key, as `append` does, in one step; they must ascend."""
        ...

    def delete(self, tree: Tree, key: bytes) -> bool:
        """Remove `key`; return whether it was there."""
        ...

    def commit(self) -> None:
        """Make the changes visible to new read transactions. Not yet durable: see `Checkpoint`."""
        ...

    def abort(self) -> None:
        """Forget the changes."""
        ...


class Checkpoint(Protocol):
    """One step towards making the commits so far survive a power cut."""

    def make_durable(self) -> None:
        """Write and sync. Waits for the disk: run it off the event loop.

        Raises:
            MemberFailed: the first failed write or sync; the member must stop.
        """
        ...

    def finish(self) -> None:
        """On the loop, after `make_durable` returned: unpin the previous checkpoint."""
        ...


class Backend(Protocol):
    """A set of ordered trees in one place, with one writer and any number of readers."""

    def begin_read(self) -> ReadTxn:
        """Return a view of the last commit."""
        ...

    def begin_write(self) -> WriteTxn:
        """Return the write transaction; there is at most one at a time."""
        ...

    def reserve(self, upcoming_bytes: int, changes: int) -> None:
        """Make sure that a transaction cannot run out of disk.

        It makes `changes` of single keys, or of one key in several trees, and writes
        `upcoming_bytes`; what is appended in order counts by its bytes alone.

        Raises:
            StorageFull: the filesystem refused; nothing was written.
        """
        ...

    def begin_checkpoint(self) -> Checkpoint:
        """Pin the last commit, between two write transactions; at most one is under way."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes that the trees occupy on disk, free pages included."""
        ...

    @property
    def live_bytes(self) -> int:
        """Bytes of pages in use."""
        ...

    def close(self) -> None:
        """Release everything. Transactions must be closed before."""
        ...
