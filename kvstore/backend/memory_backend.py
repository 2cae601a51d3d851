"""The `Backend` port in memory: snapshots by copy-on-write, and a power cut on demand.

A tree is a list of leaves in key order. Whoever changes a leaf for the first time in its
transaction copies it, so that every reader keeps the leaves that it began with. `crash` is what
simulations are for: it forgets all commits since the last checkpoint that was made durable.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from kvstore.backend.backend import KEY_BYTES_MAX, SLICE
from kvstore.backend.schema import Tree

_LEAF_KEYS_MAX = 64


class _Leaf:
    """Some neighbouring keys, and their values; changed only by the transaction that owns it."""

    __slots__ = ("keys", "owner", "values")

    def __init__(self, owner: object, keys: list[bytes], values: list[bytes]) -> None:
        self.owner = owner
        self.keys = keys
        self.values = values


class _SortedTree:
    """A two-level tree: `firsts[i]` is at or below every key of `leaves[i]`; `firsts[0]` is b""."""

    __slots__ = ("count", "firsts", "leaves", "owner", "size")

    def __init__(
        self, owner: object, firsts: list[bytes], leaves: list[_Leaf], count: int, size: int
    ) -> None:
        self.owner = owner
        self.firsts = firsts
        self.leaves = leaves
        self.count = count
        self.size = size

    def copy(self, owner: object) -> "_SortedTree":
        return _SortedTree(owner, self.firsts[:], self.leaves[:], self.count, self.size)

    def get(self, key: bytes) -> bytes | None:
        leaf = self.leaves[bisect_right(self.firsts, key) - 1]
        index = bisect_left(leaf.keys, key)
        if index < len(leaf.keys) and leaf.keys[index] == key:
            return leaf.values[index]
        return None

    def put(self, key: bytes, value: bytes) -> None:
        position = bisect_right(self.firsts, key) - 1
        leaf = self._own(position)
        index = bisect_left(leaf.keys, key)
        if index < len(leaf.keys) and leaf.keys[index] == key:
            self.size += len(value) - len(leaf.values[index])
            leaf.values[index] = value
            return
        leaf.keys.insert(index, key)
        leaf.values.insert(index, value)
        self.count += 1
        self.size += len(key) + len(value)
        if len(leaf.keys) > _LEAF_KEYS_MAX:
            self._split(position, leaf)

    def delete(self, key: bytes) -> bool:
        position = bisect_right(self.firsts, key) - 1
        leaf = self.leaves[position]
        index = bisect_left(leaf.keys, key)
        if index == len(leaf.keys) or leaf.keys[index] != key:
            return False
        leaf = self._own(position)
        self.count -= 1
        self.size -= len(key) + len(leaf.values[index])
        del leaf.keys[index], leaf.values[index]
        if not leaf.keys and len(self.leaves) > 1:
            del self.leaves[position], self.firsts[position]
            self.firsts[0] = b""
        return True

    def last_key(self) -> bytes:
        keys = self.leaves[-1].keys
        return keys[-1] if keys else b""

    def _own(self, position: int) -> _Leaf:
        leaf = self.leaves[position]
        if leaf.owner is not self.owner:
            leaf = self.leaves[position] = _Leaf(self.owner, leaf.keys[:], leaf.values[:])
        return leaf

    def _split(self, position: int, leaf: _Leaf) -> None:
        # Appends are the rule in one tree, so the last leaf keeps all but its newest key.
        appending = position == len(self.leaves) - 1
        middle = len(leaf.keys) - 1 if appending else len(leaf.keys) // 2
        right = _Leaf(self.owner, leaf.keys[middle:], leaf.values[middle:])
        del leaf.keys[middle:], leaf.values[middle:]
        self.leaves.insert(position + 1, right)
        self.firsts.insert(position + 1, right.keys[0])


_Trees = dict[Tree, _SortedTree]


class _MemoryReader:
    """What read and write transactions share."""

    __slots__ = ("_trees",)

    def __init__(self, trees: _Trees) -> None:
        self._trees = trees

    def get(self, tree: Tree, key: bytes) -> bytes | None:
        """Return the value at `key`, or None."""
        return self._trees[tree].get(key)

    def get_many(self, tree: Tree, keys: Iterable[bytes]) -> list[bytes | None]:
        """Return the value at each of `keys`, or None."""
        return [self._trees[tree].get(key) for key in keys]

    def scan(
        self, tree: Tree, start: bytes = b"", end: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) with key in [start, end), ascending."""
        sorted_tree = self._trees[tree]
        for leaf in sorted_tree.leaves[bisect_right(sorted_tree.firsts, start) - 1 :]:
            low = bisect_left(leaf.keys, start)
            high = len(leaf.keys) if end is None else bisect_left(leaf.keys, end)
            yield from zip(leaf.keys[low:high], leaf.values[low:high], strict=True)
            if high < len(leaf.keys):
                return

    def scan_values(
        self, tree: Tree, start: bytes = b"", end: bytes | None = None
    ) -> Iterator[list[bytes]]:
        """Yield the values with key in [start, end), ascending, in lists of up to `SLICE`."""
        found: list[bytes] = []
        for _key, value in self.scan(tree, start, end):
            found.append(value)
            if len(found) == SLICE:
                yield found
                found = []
        if found:
            yield found

    def scan_back(
        self, tree: Tree, end: bytes | None = None, start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) with key in [start, end), descending."""
        sorted_tree = self._trees[tree]
        last = len(sorted_tree.leaves) if end is None else bisect_left(sorted_tree.firsts, end)
        for leaf in reversed(sorted_tree.leaves[:last]):
            low = bisect_left(leaf.keys, start)
            high = len(leaf.keys) if end is None else bisect_left(leaf.keys, end)
            for index in range(high - 1, low - 1, -1):
                yield leaf.keys[index], leaf.values[index]
            if low > 0:
                return

    def count(self, tree: Tree) -> int:
        """Return the number of keys in `tree`."""
        return self._trees[tree].count


class MemoryReadTxn(_MemoryReader):
    """A snapshot: committed trees are never changed, only replaced."""

    __slots__ = ()

    def close(self) -> None:
        """Forget the snapshot; reading it afterwards is a mistake that shows at once."""
        self._trees = {}


class MemoryWriteTxn(_MemoryReader):
    """The one write transaction: it copies a tree when it first changes it."""

    __slots__ = ("_backend",)

    def __init__(self, backend: "MemoryBackend", trees: _Trees) -> None:
        super().__init__(trees)
        self._backend = backend

    def put(self, tree: Tree, key: bytes, value: bytes) -> None:
        """Set `key`."""
        assert 0 < len(key) <= KEY_BYTES_MAX
        self._changed(tree).put(key, value)

    def put_many(self, tree: Tree, items: list[tuple[bytes, bytes]]) -> None:
        """Set each key."""
        for key, value in items:
            self.put(tree, key, value)

    def append(self, tree: Tree, key: bytes, value: bytes) -> None:
        """Set `key`, the highest of `tree`."""
        assert key > self._trees[tree].last_key(), f"append below the last key of {tree.name}"
        self.put(tree, key, value)

    def append_many(self, tree: Tree, items: list[tuple[bytes, bytes]]) -> None:
        """Set each key, all above the highest of `tree`."""
        for key, value in items:
            self.append(tree, key, value)

    def delete(self, tree: Tree, key: bytes) -> bool:
        """Remove `key`."""
        return self._changed(tree).delete(key)

    def commit(self) -> None:
        """Publish the changes."""
        self._backend.end_write(self._trees)
        self._trees = {}

    def abort(self) -> None:
        """Forget the changes; after the end of the transaction this does nothing."""
        if self._trees:
            self._backend.end_write(None)
            self._trees = {}

    def _changed(self, tree: Tree) -> _SortedTree:
        sorted_tree = self._trees[tree]
        if sorted_tree.owner is not self:
            sorted_tree = self._trees[tree] = sorted_tree.copy(self)
        return sorted_tree


class MemoryCheckpoint:
    """The trees of one commit, on their way to surviving `crash`."""

    def __init__(self, backend: "MemoryBackend", trees: _Trees) -> None:
        self._backend = backend
        self._trees = trees

    def make_durable(self) -> None:
        """From now on a crash goes back to this commit."""
        self._backend.set_durable(self._trees)

    def finish(self) -> None:
        """Nothing is pinned in memory."""


class MemoryBackend:
    """All trees of a member, in dictionaries of nothing but this process."""

    def __init__(self) -> None:
        self._trees: _Trees = {tree: _empty_tree() for tree in Tree}
        self._durable = self._trees
        self._is_writing = False

    def begin_read(self) -> MemoryReadTxn:
        """Return a view of the last commit."""
        return MemoryReadTxn(self._trees)

    def begin_write(self) -> MemoryWriteTxn:
        """Return the write transaction."""
        assert not self._is_writing, "one write transaction at a time"
        self._is_writing = True
        return MemoryWriteTxn(self, dict(self._trees))

    def reserve(self, upcoming_bytes: int, changes: int) -> None:
        """Memory is not a disk: nothing to reserve."""

    def begin_checkpoint(self) -> MemoryCheckpoint:
        """Pin the last commit."""
        return MemoryCheckpoint(self, self._trees)

    @property
    def size_bytes(self) -> int:
        """Bytes of all keys and values; never 0, as no file is."""
        return 1 + sum(tree.size for tree in self._trees.values())

    @property
    def live_bytes(self) -> int:
        """Bytes of all keys and values: there are no free pages."""
        return self.size_bytes

    def take_from(self, other: "MemoryBackend") -> None:
        """Hold, durably, what `other` has committed."""
        txn = other.begin_read()
        copy = self.begin_write()
        for tree in Tree:
            for key, value in txn.scan(tree):
                copy.append(tree, key, value)
        copy.commit()
        txn.close()
        self.set_durable(self._trees)

    def close(self) -> None:
        """Check that no transaction was left open."""
        assert not self._is_writing, "the write transaction is still open"

    def crash(self) -> None:
        """Cut the power: go back to the last checkpoint made durable, or to nothing."""
        self._trees = self._durable
        self._is_writing = False

    def end_write(self, trees: _Trees | None) -> None:
        """For the write transaction: it is over, and `trees` are its outcome if it committed."""
        assert self._is_writing, "the write transaction is over"
        self._is_writing = False
        if trees is not None:
            self._trees = trees

    def set_durable(self, trees: _Trees) -> None:
        """For the checkpoint: `trees` survive a crash."""
        self._durable = trees


def _empty_tree() -> _SortedTree:
    return _SortedTree(None, [b""], [_Leaf(None, [], [])], 0, 0)
