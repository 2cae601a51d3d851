"""A keyspace driven request by request, each in a transaction of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from kvstore.backend.backend import Backend
from kvstore.base.key_range import KeyRange
from kvstore.mvcc.event import Changes
from kvstore.mvcc.hash import HashResult
from kvstore.mvcc.key_value import KeyValue, decode_key_value
from kvstore.mvcc.range import RangeQuery, RangeResult
from kvstore.mvcc.store import Store
from kvstore.mvcc.write_txn import KeyspaceWriter

EVERYTHING = KeyRange(b"\x00", None)


class Keyspace:
    """Short names for what tests do; every write returns the store's revision after it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.store = Store(backend)

    def put(self, key: bytes, value: bytes = b"v", lease: int = 0) -> int:
        with self.request() as writer:
            writer.put(key, value, lease)
        return self.store.revision

    def delete(self, key: bytes, range_end: bytes = b"") -> int:
        with self.request() as writer:
            writer.delete_range(KeyRange.of(key, range_end))
        return self.store.revision

    def compact(self, revision: int) -> None:
        with self.request() as writer:
            writer.compact(revision)

    def remove(self) -> None:
        """Free all that compaction left."""
        while (removal := self.store.removal()) is not None:
            txn = self.backend.begin_write()
            removal.step(txn, 3)
            txn.commit()

    def range(self, keys: KeyRange = EVERYTHING, **fields: int) -> RangeResult:
        view = self.store.view()
        try:
            return view.range(RangeQuery(keys=keys, **fields))  # type: ignore[arg-type]
        finally:
            view.close()

    def live(self, keys: KeyRange = EVERYTHING, **fields: int) -> list[KeyValue]:
        return [decode_key_value(kv) for kv in self.range(keys, **fields).kvs]

    def keys(self, **fields: int) -> list[bytes]:
        return [kv.key for kv in self.live(**fields)]

    def changes(self, since: int, keys: KeyRange = EVERYTHING) -> list[Changes]:
        view = self.store.view()
        try:
            return view.changes(keys, since, self.store.revision, 1000)[0]
        finally:
            view.close()

    def hash(self, revision: int = 0) -> HashResult:
        view = self.store.view()
        slices = view.hash_kv(revision)
        try:
            while True:
                next(slices)
        except StopIteration as stop:
            result: HashResult = stop.value
            return result
        finally:
            view.close()

    @contextmanager
    def request(self) -> Iterator[KeyspaceWriter]:
        """One request of any operations."""
        txn = self.backend.begin_write()
        writer = self.store.begin(txn)
        try:
            yield writer
            writer.end_request()
            writer.finish()
        except BaseException:
            txn.abort()
            raise
        txn.commit()
        self.store.commit(writer)
