"""Writing the keyspace: many requests in one backend transaction, each a revision of its own."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import cast

from kvstore.backend.backend import SLICE, WriteTxn
from kvstore.backend.schema import KEYS, REVISIONS
from kvstore.base.errors import Compacted, FutureRevision
from kvstore.base.key_range import KeyRange
from kvstore.mvcc import meta
from kvstore.mvcc.conditional_put import Conditional, ConditionalPut, holds
from kvstore.mvcc.counts import Counts
from kvstore.mvcc.event import Changes, Event, Previous
from kvstore.mvcc.history import find_key_value, point_read
from kvstore.mvcc.key_value import encode_key_value, encode_tombstone, key_of
from kvstore.mvcc.layout import (
    CHUNK_BYTES,
    HEAD,
    HEAD_BYTES,
    HISTORY,
    LIVE,
    TOMBSTONE,
    get_head,
    put_head,
    scan_heads,
)
from kvstore.mvcc.range import RangeQuery, RangeResult, RangeSlices, range_slices, run_range
from kvstore.mvcc.revision import encode_revision
from kvstore.wire.protobuf import encode_varint, encode_varints

_pack_head = HEAD.pack
_unpack_head = HEAD.unpack_from
_pack_history = HISTORY.pack
_new = tuple.__new__
"""Makes a named tuple in less than half the time that calling its class takes."""


class KeyspaceWriter:
    """Applies requests, one after the other, each between two calls of `end_request`.

    Writes never refuse: the caller has checked all of a request before its first write. Reads see
    the writes made so far. Nothing outlives the transaction unless it commits, and then
    `Store.commit` publishes it.
    """

    __slots__ = (
        "_events",
        "_main",
        "_main_varint",
        "_start",
        "_sub",
        "_txn",
        "compact_revision",
        "counts",
        "events",
    )

    def __init__(self, txn: WriteTxn, *, revision: int, compact_revision: int) -> None:
        self._txn = txn
        self._start = (revision, compact_revision)
        self._main = revision + 1
        self._main_varint = encode_varint(self._main)
        self._sub = 0
        self._events: list[Event] = []
        self.compact_revision = compact_revision
        self.counts = Counts()
        self.events: list[Changes] = []
        """What the ended requests changed, in the order of revisions."""

    @property
    def revision(self) -> int:
        """The store's revision as this request sees it: its own, once it has written."""
        return self._main if self._sub else self._main - 1

    def put(self, key: bytes, value: bytes, lease: int) -> Previous | None:
        """Set `key`; return what it was, if it was live."""
        txn = self._txn
        main = self._main
        sub = self._sub
        is_short = len(key) < CHUNK_BYTES
        head = txn.get(KEYS, key) if is_short else get_head(txn, key)
        previous: Previous | None = None
        before: bytes | None = None
        old_main = old_sub = 0
        create = main
        version = 1
        if head is not None:
            kind, old_main, old_sub, old_create, old_version, old_lease = _unpack_head(head)
            if kind == LIVE:
                create = old_create
                version = old_version + 1
                before = head[HEAD_BYTES:]
                found = (key, before, old_create, old_main, old_version, old_lease)
                previous = _new(Previous, found)
            if old_main == main:
                before = find_key_value(txn, old_main, old_sub, main - 1)
        varint = self._main_varint
        create_varint = varint if create == main else encode_varint(create)
        key_value = encode_key_value(key, create_varint, varint, version, value, lease)
        new_head = _pack_head(LIVE, main, sub, create, version, lease) + key_value
        if is_short:
            txn.put(KEYS, key, new_head)
        else:
            put_head(txn, key, new_head)
        record = _pack_history(LIVE, old_main, old_sub) + key_value
        txn.append(REVISIONS, encode_revision(main, sub), record)
        is_create = create == main
        event = (False, key, key_value, None if is_create else before, is_create)
        self._events.append(_new(Event, event))
        self._sub = sub + 1
        counts = self.counts
        counts.puts += 1
        counts.put_bytes += len(key) + len(value)
        return previous

    def put_each(self, puts: list[tuple[bytes, bytes]]) -> tuple[int, list[tuple[int, bytes]]]:
        """Set each (key, value), without a lease, in a request of its own.

        Return the first one's revision, and (lease, key) of what was attached to one before. Keys
        are shorter than `CHUNK_BYTES`, values than 16 KiB. As a loop over `put` and `end_request`,
        the model, at half the cost: a key that is put several times is read and stored once.
        """
        assert self._sub == 0, "a request was not ended"
        first = self._main
        after = first + len(puts)
        heads = dict.fromkeys(key for key, _ in puts)
        heads.update(zip(heads, self._txn.get_many(KEYS, heads), strict=True))
        records: list[tuple[bytes, bytes]] = []
        events = self.events
        detached: list[tuple[int, bytes]] = []
        revisions = range(first, after)
        for main, varint, (key, value) in zip(
            revisions, encode_varints(revisions), puts, strict=True
        ):
            head = heads[key]
            before: bytes | None = None
            old_main = old_sub = 0
            create, create_varint, version = main, varint, 1
            if head is not None:
                kind, old_main, old_sub, old_create, old_version, lease = _unpack_head(head)
                if kind == LIVE:
                    create, create_varint = old_create, encode_varint(old_create)
                    version = old_version + 1
                    before = head[HEAD_BYTES:]
                    if lease:
                        detached.append((lease, key))
            key_value = encode_key_value(key, create_varint, varint, version, value, 0)
            heads[key] = _pack_head(LIVE, main, 0, create, version, 0) + key_value
            record = _pack_history(LIVE, old_main, old_sub) + key_value
            records.append((encode_revision(main, 0), record))
            events.append((main, [_new(Event, (False, key, key_value, before, before is None))]))
        self._txn.put_many(KEYS, cast("list[tuple[bytes, bytes]]", list(heads.items())))
        self._txn.append_many(REVISIONS, records)
        self._main = after
        self._main_varint = encode_varint(after)
        self.counts.puts += len(puts)
        self.counts.put_bytes += sum(map(len, chain.from_iterable(puts)))
        return first, detached

    def put_each_if(
        self, puts: Sequence[ConditionalPut]
    ) -> tuple[list[Conditional], list[tuple[int, bytes]]]:
        """Do conditional puts, each a request of its own, one after the other in effect.

        Return what became of each, and (lease, key) of what was attached to a lease before. Keys
        are shorter than `CHUNK_BYTES`. Cheap for the same reason as `put_each`.
        """
        assert self._sub == 0, "a request was not ended"
        heads: dict[bytes, bytes | None] = {}
        for put in puts:
            heads[put.compared] = heads[put.key] = None
            if put.otherwise is not None:
                heads[put.otherwise] = None
        heads.update(zip(heads, self._txn.get_many(KEYS, heads), strict=True))
        changed: dict[bytes, bytes] = {}
        records: list[tuple[bytes, bytes]] = []
        written: list[bytes] = []
        outcomes: list[Conditional] = []
        detached: list[tuple[int, bytes]] = []
        main = self._main
        for put in puts:
            if not holds(put, heads[put.compared]):
                head = None if put.otherwise is None else heads[put.otherwise]
                found = None if head is None or head[0] != LIVE else head[HEAD_BYTES:]
                self.counts.ranges += put.otherwise is not None
                outcomes.append(_new(Conditional, (main - 1, False, found)))
                continue
            key, head = put.key, heads[put.key]
            varint = encode_varint(main)
            before: bytes | None = None
            old_main = old_sub = 0
            create, create_varint, version = main, varint, 1
            if head is not None:
                kind, old_main, old_sub, old_create, old_version, lease = _unpack_head(head)
                if kind == LIVE:
                    create, create_varint = old_create, encode_varint(old_create)
                    version = old_version + 1
                    before = head[HEAD_BYTES:]
                    if lease:
                        detached.append((lease, key))
            key_value = encode_key_value(key, create_varint, varint, version, put.value, 0)
            new_head = _pack_head(LIVE, main, 0, create, version, 0) + key_value
            heads[key] = changed[key] = new_head
            record = _pack_history(LIVE, old_main, old_sub) + key_value
            records.append((encode_revision(main, 0), record))
            event = _new(Event, (False, key, key_value, before, before is None))
            self.events.append((main, [event]))
            outcomes.append(_new(Conditional, (main, True, None)))
            written += (key, put.value)
            main += 1
        self.counts.puts += len(records)
        self.counts.put_bytes += sum(map(len, written))
        self._txn.put_many(KEYS, list(changed.items()))
        self._txn.append_many(REVISIONS, records)
        self._main = main
        self._main_varint = encode_varint(main)
        return outcomes, detached

    def delete_range(self, keys: KeyRange) -> list[Previous]:
        """Delete the live keys of `keys`; return what they were, in key order."""
        deleted: list[Previous] = []
        for some in self.delete_slices(keys):
            deleted += some
        return deleted

    def delete_slices(self, keys: KeyRange) -> Iterator[list[Previous]]:
        """As `delete_range`, in slices: the request is over when the iterator is."""
        self.counts.deletes += 1
        start, end = keys
        while not KeyRange(start, end).is_empty:
            heads: list[bytes] = []
            for some in scan_heads(self._txn, start, end):
                heads += some
                if len(heads) >= SLICE:
                    break
            if not heads:
                return
            start = key_of(heads[-1][HEAD_BYTES:]) + b"\x00"
            yield [self._delete(head) for head in heads if head[0] == LIVE]
            if len(heads) < SLICE:
                return

    def get(self, key: bytes) -> Previous | None:
        """Return the live `key`, or None."""
        return point_read(self._txn, key)

    def range(self, query: RangeQuery) -> RangeResult:
        """Execute a range, at a revision that the caller has checked."""
        self.counts.ranges += 1
        return run_range(self._txn, query, self.revision)

    def range_slices(self, query: RangeQuery) -> RangeSlices:
        """Execute a range in slices; no write may come in between."""
        self.counts.ranges += 1
        return range_slices(self._txn, query, self.revision)

    def compact(self, revision: int) -> None:
        """Make all below `revision` unreadable from now on; `Store.removal` frees its space.

        Raises:
            Compacted, FutureRevision: it is no progress, or not there yet; nothing was written.
        """
        if revision <= self.compact_revision:
            raise Compacted(self.compact_revision)
        if revision > self.revision:
            raise FutureRevision
        self.compact_revision = revision
        meta.put(self._txn, meta.COMPACT_REVISION, revision)

    def end_request(self) -> int:
        """Close a request: its changes become one revision. Return the store's revision."""
        if self._sub:
            self.events.append((self._main, self._events))
            self._events = []
            self._main += 1
            self._main_varint = encode_varint(self._main)
            self._sub = 0
        return self._main - 1

    def finish(self) -> None:
        """Write the new revision; what remains is to commit the transaction."""
        assert self._sub == 0, "a request was not ended"
        if self.revision != self._start[0]:
            meta.put(self._txn, meta.REVISION, self.revision)

    def _delete(self, head: bytes) -> Previous:
        txn = self._txn
        main, sub = self._main, self._sub
        _kind, old_main, old_sub, create, version, lease = _unpack_head(head)
        before: bytes | None = head[HEAD_BYTES:]
        assert before is not None
        key = key_of(before)
        previous = Previous(key, before, create, old_main, version, lease)
        if old_main == main:
            before = find_key_value(txn, old_main, old_sub, main - 1)
        key_value = encode_tombstone(key, self._main_varint)
        put_head(txn, key, _pack_head(TOMBSTONE, main, sub, 0, 0, 0) + key_value)
        record = _pack_history(TOMBSTONE, old_main, old_sub) + key_value
        txn.append(REVISIONS, encode_revision(main, sub), record)
        self._events.append(Event(True, key, key_value, before, False))  # noqa: FBT003
        self._sub = sub + 1
        return previous
