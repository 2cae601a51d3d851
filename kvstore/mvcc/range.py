"""Range, with every field of etcd's request and each of its quirks.

Source: rpc.proto RangeRequest, and etcd's txn/range.go for what the fields do together.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from kvstore.backend.backend import SLICE, Reader
from kvstore.base.key_range import KeyRange
from kvstore.mvcc.history import key_values_at
from kvstore.mvcc.key_value import KeyValue, decode_key_value, without_value
from kvstore.mvcc.layout import HEAD_BYTES, LIVE, get_head, scan_heads


class SortOrder(IntEnum):
    """rpc.proto RangeRequest.SortOrder."""

    NONE = 0
    ASCEND = 1
    DESCEND = 2


class SortTarget(IntEnum):
    """rpc.proto RangeRequest.SortTarget."""

    KEY = 0
    VERSION = 1
    CREATE = 2
    MOD = 3
    VALUE = 4


_SORT_KEYS: dict[int, Callable[[KeyValue], bytes | int]] = {
    SortTarget.KEY: lambda fields: fields.key,
    SortTarget.VERSION: lambda fields: fields.version,
    SortTarget.CREATE: lambda fields: fields.create_revision,
    SortTarget.MOD: lambda fields: fields.mod_revision,
    SortTarget.VALUE: lambda fields: fields.value,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeQuery:
    """A validated RangeRequest; zero has the meaning that it has there."""

    keys: KeyRange
    revision: int = 0
    """At or below 0: the current one."""
    limit: int = 0
    """At or below 0: none."""
    sort_order: int = SortOrder.NONE
    sort_target: int = SortTarget.KEY
    keys_only: bool = False
    count_only: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0

    @property
    def has_filters(self) -> bool:
        """Whether keys are dropped by their revisions."""
        return bool(
            self.min_mod_revision
            or self.max_mod_revision
            or self.min_create_revision
            or self.max_create_revision
        )

    @property
    def is_sorted(self) -> bool:
        """Whether the answer is in another order than that of the keys."""
        if self.sort_target == SortTarget.KEY:
            return self.sort_order == SortOrder.DESCEND
        return True


class RangeResult(NamedTuple):
    """A page of encoded KeyValues; `count` is of all keys of the range, whatever the limit."""

    kvs: list[bytes]
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    more: bool
    revision: int
    """The store's current revision, whichever one was read."""


class RangeTail(NamedTuple):
    """What is known at the end of a range that is read in slices."""

    count: int  # type: ignore[assignment]  # as above
    more: bool


RangeSlices = Generator[list[bytes], None, RangeTail]
"""Yields lists of encoded KeyValues, empty ones as mere pauses; returns the tail."""


def range_slices(txn: Reader, query: RangeQuery, current: int) -> RangeSlices:
    """Execute `query`, whose revision is readable, on a store that stands at `current`."""
    found = _live_key_values(txn, query.keys, query.revision, current)
    if query.count_only:
        return _count(found)
    if query.is_sorted or query.has_filters:
        return _ordered(found, query)
    return _plain(found, query)


def run_range(txn: Reader, query: RangeQuery, current: int) -> RangeResult:
    """Execute `query` in one step."""
    kvs: list[bytes] = []
    slices = range_slices(txn, query, current)
    while True:
        try:
            kvs += next(slices)
        except StopIteration as stop:
            tail: RangeTail = stop.value
            return RangeResult(kvs, tail.count, tail.more, current)


def _live_key_values(
    txn: Reader, keys: KeyRange, revision: int, current: int
) -> Iterator[list[bytes]]:
    if keys.is_empty:
        return
    if 0 < revision < current:
        yield from key_values_at(txn, keys, revision)
    elif keys.is_single:
        head = get_head(txn, keys.start)
        if head is not None and head[0] == LIVE:
            yield [head[HEAD_BYTES:]]
    else:
        for heads in scan_heads(txn, keys.start, keys.end):
            yield [head[HEAD_BYTES:] for head in heads if head[0] == LIVE]


def _count(found: Iterator[list[bytes]]) -> RangeSlices:
    count = 0
    for kvs in found:
        count += len(kvs)
        yield []
    return RangeTail(count, more=False)


def _plain(found: Iterator[list[bytes]], query: RangeQuery) -> RangeSlices:
    count = 0
    limit = max(query.limit, 0)
    left = limit
    for kvs in found:
        count += len(kvs)
        page = kvs
        if limit:
            page = kvs[:left]
            left -= len(page)
        yield [without_value(kv) for kv in page] if query.keys_only else page
    return RangeTail(count, more=0 < limit < count)


def _ordered(found: Iterator[list[bytes]], query: RangeQuery) -> RangeSlices:
    """Filter and sort. All that is needed must be held: a sort knows its first at the end."""
    count = 0
    limit = max(query.limit, 0)
    # etcd reads only limit + 1 keys if neither an order nor a filter is asked for, and then sorts
    # those few by a target that was: a quirk that its clients see.
    fetch_max = limit + 1 if limit and not query.sort_order and not query.has_filters else None
    fetched: list[tuple[KeyValue, bytes]] = []
    for kvs in found:
        count += len(kvs)
        wanted = kvs if fetch_max is None else kvs[: max(fetch_max - len(fetched), 0)]
        fetched += ((fields, kv) for kv in wanted if _passes(fields := decode_key_value(kv), query))
        yield []
    if query.is_sorted:
        sort_key = _SORT_KEYS[query.sort_target]
        descending = query.sort_order == SortOrder.DESCEND
        fetched.sort(key=lambda item: sort_key(item[0]), reverse=descending)
    more = 0 < limit < len(fetched)
    page = [kv for _fields, kv in (fetched[:limit] if more else fetched)]
    for start in range(0, len(page), SLICE):
        kvs = page[start : start + SLICE]
        yield [without_value(kv) for kv in kvs] if query.keys_only else kvs
    return RangeTail(count, more)


def _passes(fields: KeyValue, query: RangeQuery) -> bool:
    mod, create = fields.mod_revision, fields.create_revision
    return not (
        (query.max_mod_revision and mod > query.max_mod_revision)
        or (query.min_mod_revision and mod < query.min_mod_revision)
        or (query.max_create_revision and create > query.max_create_revision)
        or (query.min_create_revision and create < query.min_create_revision)
    )
