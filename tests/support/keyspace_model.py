"""A keyspace that a child could check: every revision's whole state, and every record ever made.

Slow and obvious on purpose. Its range and hash follow etcd's documentation word by word.
"""

from dataclasses import dataclass, field, replace

import google_crc32c

from kvstore.base.key_range import KeyRange
from kvstore.mvcc.event import Event
from kvstore.mvcc.key_value import KeyValue, key_field_of
from kvstore.mvcc.range import RangeQuery
from kvstore.wire.pb import kv_pb2


def encode(fields: KeyValue) -> bytes:
    """Return the protobuf runtime's bytes for these fields."""
    return bytes(kv_pb2.KeyValue(**fields._asdict()).SerializeToString())


@dataclass(frozen=True)
class Record:
    """One change: a tombstone has version 0."""

    main: int
    sub: int
    fields: KeyValue

    @property
    def is_tombstone(self) -> bool:
        return self.fields.version == 0


@dataclass
class KeyspaceModel:
    """`states[r]` is the live keyspace after revision `r`."""

    states: list[dict[bytes, KeyValue]] = field(default_factory=lambda: [{}, {}])
    records: list[Record] = field(default_factory=list)
    events: dict[int, list[Event]] = field(default_factory=dict)
    compact_revision: int = -1

    def copy(self) -> "KeyspaceModel":
        return replace(
            self, states=self.states[:], records=self.records[:], events=dict(self.events)
        )

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    def apply(self, operations: list[tuple[str, KeyRange, bytes, int]]) -> list[list[bytes]]:
        """Execute one request of (put or delete, keys, value, lease); return what was replaced."""
        main = self.revision + 1
        before = self.states[-1]
        state = dict(before)
        replaced: list[list[bytes]] = []
        records: list[Record] = []
        for kind, keys, value, lease in operations:
            if kind == "put":
                key = keys.start
                old = state.get(key)
                create, version = (old.create_revision, old.version + 1) if old else (main, 1)
                replaced.append([encode(old)] if old else [])
                state[key] = KeyValue(key, create, main, version, value, lease)
                records.append(Record(main, len(records), state[key]))
            else:
                gone = sorted(key for key in state if key in keys)
                replaced.append([encode(state.pop(key)) for key in gone])
                for key in gone:
                    fields = KeyValue(key, mod_revision=main)
                    records.append(Record(main, len(records), fields))
        if records:
            self.states.append(state)
            self.records += records
            self.events[main] = [_event(record, before) for record in records]
        return replaced

    def range(self, query: RangeQuery) -> tuple[list[bytes], int, bool]:
        """Return (encoded KeyValues, count, more); ties of a sort are in key order."""
        at = query.revision if query.revision > 0 else self.revision
        state = self.states[at]
        found = [state[key] for key in sorted(state) if key in query.keys]
        count = len(found)
        if query.count_only:
            return [], count, False
        limit = max(query.limit, 0)
        if limit and not query.sort_order and not query.has_filters:
            found = found[: limit + 1]
        if query.max_mod_revision:
            found = [kv for kv in found if kv.mod_revision <= query.max_mod_revision]
        if query.min_mod_revision:
            found = [kv for kv in found if kv.mod_revision >= query.min_mod_revision]
        if query.max_create_revision:
            found = [kv for kv in found if kv.create_revision <= query.max_create_revision]
        if query.min_create_revision:
            found = [kv for kv in found if kv.create_revision >= query.min_create_revision]
        fields = ["key", "version", "create_revision", "mod_revision", "value"]
        target = fields[query.sort_target]
        found.sort(key=lambda kv: getattr(kv, target), reverse=query.sort_order == 2)
        more = bool(limit) and len(found) > limit
        if more:
            found = found[:limit]
        if query.keys_only:
            found = [kv._replace(value=b"") for kv in found]
        return [encode(kv) for kv in found], count, more

    def changes(self, keys: KeyRange, since: int, until: int) -> list[tuple[int, list[Event]]]:
        """Return what a watcher of `keys` sees; what stood before a change may be compacted."""
        found = []
        for main in range(since, until + 1):
            events = [
                event if main > self.compact_revision else event._replace(previous=None)
                for event in self.events.get(main, [])
                if event.key in keys
            ]
            if events:
                found.append((main, events))
        return found

    def hash_kv(self, revision: int) -> int:
        """Hash as etcd does once the physical compaction is complete."""
        at = self.compact_revision
        survivors = self._newest(at)
        stored = [r for r in self.records if r.main > at or r in survivors]
        keep = self._newest(revision)
        crc = google_crc32c.value(b"key")
        for record in stored:
            if record.main > revision:
                continue
            if record.main <= at and keep and record not in keep:
                continue
            key = record.main.to_bytes(8) + b"_" + record.sub.to_bytes(8)
            value = encode(record.fields)
            if record.is_tombstone:
                key, value = key + b"t", key_field_of(value)
            crc = google_crc32c.extend(crc, key + value)
        return int(crc)

    def after_compaction(self) -> list[Record]:
        """Return what is stored once the physical compaction is complete."""
        at = self.compact_revision
        kept = self._newest(at)
        return [record for record in self.records if record.main >= at or record in kept]

    def _newest(self, revision: int) -> list[Record]:
        newest = {r.fields.key: r for r in self.records if r.main <= revision}
        return [record for record in newest.values() if not record.is_tombstone]


def _event(record: Record, before: dict[bytes, KeyValue]) -> Event:
    fields = record.fields
    is_create = not record.is_tombstone and fields.create_revision == record.main
    old = None if is_create else before.get(fields.key)
    return Event(
        is_delete=record.is_tombstone,
        key=fields.key,
        key_value=encode(fields),
        previous=encode(old) if old else None,
        is_create=is_create,
    )
