"""Which key ranges hold a key: single keys by dictionary, others by sorted blocks."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Generic, TypeVar

from kvstore.base.key_range import KeyRange

_BLOCK_MAX = 128

Item = TypeVar("Item")


class RangeIndex(Generic[Item]):
    """One item per key range.

    `matching` costs a dictionary look-up, plus, where there are ranges of more than one key, a
    comparison per block of 64 to 128 of them and a scan of each block that may hold a match. There
    is nothing to rebuild, so no change is ever slow.
    """

    def __init__(self) -> None:
        self._single: dict[bytes, Item] = {}
        self._bounded: dict[KeyRange, Item] = {}
        self._blocks: list[_Block[Item]] = []
        self._block_starts: list[tuple[bytes, bytes]] = []
        self._unbounded: dict[bytes, Item] = {}
        self._unbounded_starts: list[bytes] = []

    def __len__(self) -> int:
        """Return the number of ranges."""
        return len(self._single) + len(self._bounded) + len(self._unbounded)

    def items(self) -> Iterator[Item]:
        """Yield every item."""
        yield from self._single.values()
        yield from self._bounded.values()
        yield from self._unbounded.values()

    def get(self, keys: KeyRange) -> Item | None:
        """Return the item of exactly this range."""
        if keys.end is None:
            return self._unbounded.get(keys.start)
        if keys.is_single:
            return self._single.get(keys.start)
        return self._bounded.get(keys)

    def add(self, keys: KeyRange, item: Item) -> None:
        """Add an item for a range that has none and is not empty."""
        assert self.get(keys) is None
        assert not keys.is_empty
        start, end = keys
        if end is None:
            self._unbounded[start] = item
            insort(self._unbounded_starts, start)
        elif keys.is_single:
            self._single[start] = item
        else:
            self._bounded[keys] = item
            self._add_bounded(start, end, item)

    def remove(self, keys: KeyRange) -> None:
        """Remove the item of a range that has one."""
        start, end = keys
        if end is None:
            del self._unbounded[start]
            del self._unbounded_starts[bisect_left(self._unbounded_starts, start)]
        elif keys.is_single:
            del self._single[start]
        else:
            del self._bounded[keys]
            self._remove_bounded(start, end)

    def matching(self, key: bytes) -> list[Item]:
        """Return the items of all ranges that hold `key`."""
        single = self._single.get(key)
        found = [] if single is None else [single]
        if self._blocks:
            # `key` plus a zero byte is the least start above it: blocks from there begin too late.
            count = bisect_right(self._block_starts, (key + b"\x00", b""))
            for block in self._blocks[:count]:
                if block.highest_end > key:
                    block.collect(key, found)
        if self._unbounded_starts:
            unbounded = self._unbounded
            count = bisect_right(self._unbounded_starts, key)
            found.extend([unbounded[start] for start in self._unbounded_starts[:count]])
        return found

    def _add_bounded(self, start: bytes, end: bytes, item: Item) -> None:
        if not self._blocks:
            self._blocks.append(_Block([(start, end, item)]))
            self._block_starts.append((start, end))
            return
        position = max(0, bisect_right(self._block_starts, (start, end)) - 1)
        block = self._blocks[position]
        block.add(start, end, item)
        self._block_starts[position] = block.first
        if len(block.entries) > _BLOCK_MAX:
            upper = block.split()
            self._blocks.insert(position + 1, upper)
            self._block_starts.insert(position + 1, upper.first)

    def _remove_bounded(self, start: bytes, end: bytes) -> None:
        position = bisect_right(self._block_starts, (start, end)) - 1
        block = self._blocks[position]
        block.remove(start, end)
        if block.entries:
            self._block_starts[position] = block.first
        else:
            del self._blocks[position]
            del self._block_starts[position]


class _Block(Generic[Item]):
    """Neighbouring ranges, by (start, end), and the highest end among them."""

    __slots__ = ("entries", "highest_end")

    def __init__(self, entries: list[tuple[bytes, bytes, Item]]) -> None:
        self.entries = entries
        self.highest_end = max(end for _, end, _ in entries)

    @property
    def first(self) -> tuple[bytes, bytes]:
        return self.entries[0][:2]

    def add(self, start: bytes, end: bytes, item: Item) -> None:
        self.entries.insert(self._position(start, end), (start, end, item))
        self.highest_end = max(end, self.highest_end)

    def remove(self, start: bytes, end: bytes) -> None:
        position = self._position(start, end)
        assert self.entries[position][:2] == (start, end)
        del self.entries[position]
        if end == self.highest_end:
            self.highest_end = max((end for _, end, _ in self.entries), default=b"")

    def split(self) -> "_Block[Item]":
        middle = len(self.entries) // 2
        upper = _Block(self.entries[middle:])
        del self.entries[middle:]
        self.highest_end = max(end for _, end, _ in self.entries)
        return upper

    def collect(self, key: bytes, found: list[Item]) -> None:
        for start, end, item in self.entries:
            if start > key:
                return
            if end > key:
                found.append(item)

    def _position(self, start: bytes, end: bytes) -> int:
        return bisect_left(self.entries, (start, end), key=_order)


def _order(entry: tuple[bytes, bytes, object]) -> tuple[bytes, bytes]:
    return entry[:2]
