"""The keyspace beside its model, over both backends, with compaction, removal and crashes."""

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kvstore.backend.backend import Backend
from kvstore.backend.lmdb_backend import LmdbBackend
from kvstore.backend.memory_backend import MemoryBackend
from kvstore.backend.schema import Tree
from kvstore.base.errors import Compacted, FutureRevision
from kvstore.base.key_range import ALL_KEYS_FROM, KeyRange
from kvstore.mvcc.hash import HashResult
from kvstore.mvcc.key_value import key_of
from kvstore.mvcc.layout import HEAD, HISTORY_BYTES, scan_heads
from kvstore.mvcc.range import RangeQuery, RangeResult
from kvstore.mvcc.read_view import ReadView
from kvstore.mvcc.store import Store
from tests.support.keyspace_model import KeyspaceModel

_LONG = b"k" * 480
_STEMS = [
    b"a", b"a\x00", b"a\x00\x00", b"b", b"\x00", b"\xff", b"\xff\xff",
    _LONG[:-1], _LONG, _LONG + b"\x00", _LONG + b"\xff", _LONG[:-1] + b"l",
    _LONG + _LONG[:-1], _LONG * 2, _LONG * 2 + b"\xff", _LONG * 4 + b"x" * 200, _LONG * 5,
]  # fmt: skip


def _stem(number: int) -> bytes:
    return _STEMS[number]


# By number, so that a printed example stays readable.
KEYS = st.integers(0, len(_STEMS) - 1).map(_stem)
RANGES = st.one_of(
    KEYS.map(KeyRange.single),
    st.builds(KeyRange, KEYS, KEYS),
    st.builds(KeyRange, KEYS, st.none()),
    st.just(KeyRange.of(b"\x00", ALL_KEYS_FROM)),
)
LEASES = st.sampled_from([0, 0, 7, 2**63 - 1, -1])
PUTS = st.tuples(st.just("put"), KEYS.map(KeyRange.single), st.binary(max_size=3), LEASES)
DELETES = st.tuples(st.just("delete"), RANGES, st.just(b""), st.just(0))
REQUESTS = st.lists(st.one_of(PUTS, PUTS, DELETES), max_size=4)
REVISIONS = st.integers(0, 12)
QUERIES = st.builds(
    RangeQuery,
    keys=RANGES,
    limit=st.integers(-1, 6),
    sort_order=st.integers(0, 2),
    sort_target=st.integers(0, 4),
    keys_only=st.booleans(),
    count_only=st.sampled_from([False, False, False, True]),
    min_mod_revision=st.one_of(st.just(0), REVISIONS),
    max_mod_revision=st.one_of(st.just(0), REVISIONS),
    min_create_revision=st.one_of(st.just(0), REVISIONS),
    max_create_revision=st.one_of(st.just(0), REVISIONS),
)
BACK = st.integers(0, 1000)


class KeyspaceMachine(RuleBasedStateMachine):
    """`Store` and model side by side."""

    backend: Backend

    @initialize()
    def start(self) -> None:
        self.store = Store(self.backend)
        self.model = KeyspaceModel()
        self.views: list[tuple[ReadView, KeyspaceModel]] = []

    @rule(requests=st.lists(REQUESTS, min_size=1, max_size=3), commits=st.integers(0, 9))
    def write(self, requests: list[Any], commits: int) -> None:
        """A turn of several requests; now and then its transaction is given up."""
        model = self.model.copy()
        before = model.revision
        txn = self.backend.begin_write()
        writer = self.store.begin(txn)
        for request in requests:
            replaced = []
            for kind, keys, value, lease in request:
                if kind == "put":
                    previous = writer.put(keys.start, value, lease)
                    replaced.append([previous.key_value] if previous else [])
                else:
                    replaced.append([item.key_value for item in writer.delete_range(keys)])
            assert replaced == model.apply(request)
            assert writer.revision == model.revision
            everything = RangeQuery(keys=KeyRange(b"\x00", None))
            assert tuple(writer.range(everything))[:3] == model.range(everything)
            assert writer.end_request() == model.revision
        assert writer.events == [
            (main, model.events[main]) for main in range(before + 1, model.revision + 1)
        ]
        if commits:
            writer.finish()
            txn.commit()
            self.store.commit(writer)
            self.model = model
        else:
            txn.abort()

    @rule(back=BACK)
    def compact(self, back: int) -> None:
        revision = self.model.revision + 1 - back % (self.model.revision + 2)
        txn = self.backend.begin_write()
        writer = self.store.begin(txn)
        if revision <= self.model.compact_revision:
            with pytest.raises(Compacted):
                writer.compact(revision)
            txn.abort()
        elif revision > self.model.revision:
            with pytest.raises(FutureRevision):
                writer.compact(revision)
            txn.abort()
        else:
            writer.compact(revision)
            writer.finish()
            txn.commit()
            self.store.commit(writer)
            self.model.compact_revision = revision

    @rule(batch=st.integers(1, 5), commits=st.booleans())
    def remove(self, batch: int, commits: bool) -> None:
        removal = self.store.removal()
        if removal is None:
            return
        txn = self.backend.begin_write()
        removal.step(txn, batch)
        if commits:
            txn.commit()
        else:
            txn.abort()

    @rule()
    def remove_all(self) -> None:
        """After a complete removal the trees hold exactly what the model keeps."""
        removal = self.store.removal()
        while removal is not None:
            txn = self.backend.begin_write()
            done = removal.step(txn, 3)
            txn.commit()
            removal = self.store.removal()
            assert done == (removal is None)
        view = self.backend.begin_read()
        stored = {place for place, _record in view.scan(Tree.REVISIONS)}
        kept = {
            record.main.to_bytes(8) + record.sub.to_bytes(8)
            for record in self.model.after_compaction()
        }
        assert stored == kept
        heads = [head for heads in scan_heads(view, b"\x00", None) for head in heads]
        assert all(
            view.get(Tree.REVISIONS, b"%b%b" % (main.to_bytes(8), sub.to_bytes(8)))
            for _kind, main, sub, *_ in map(HEAD.unpack_from, heads)
        )
        records = [record for _place, record in view.scan(Tree.REVISIONS)]
        assert {key_of(head[HEAD.size :]) for head in heads} == {
            key_of(record[HISTORY_BYTES:]) for record in records
        }
        view.close()

    @rule()
    def open_view(self) -> None:
        self.views.append((self.store.view(), self.model.copy()))

    @precondition(lambda self: self.views)
    @rule()
    def close_view(self) -> None:
        self.views.pop(0)[0].close()

    @rule(query=QUERIES, back=BACK, which=BACK)
    def read(self, query: RangeQuery, back: int, which: int) -> None:
        with self._a_view(which) as (view, model):
            revision = model.revision + 1 - back % (model.revision + 2)
            asked = _at(query, revision)
            if revision > model.revision:
                with pytest.raises(FutureRevision):
                    view.range(asked)
            elif 0 < revision < model.compact_revision:
                with pytest.raises(Compacted):
                    view.range(asked)
            else:
                _check_range(view.range(asked), model, asked)

    @rule(keys=RANGES, back=BACK, which=BACK, revisions_max=st.integers(1, 4))
    def replay(self, keys: KeyRange, back: int, which: int, revisions_max: int) -> None:
        with self._a_view(which) as (view, model):
            since = model.revision + 1 - back % (model.revision + 2)
            if since < model.compact_revision:
                with pytest.raises(Compacted):
                    view.changes(keys, since, model.revision, revisions_max)
                return
            found = []
            at = since
            while at <= model.revision:
                some, following = view.changes(keys, at, model.revision, revisions_max)
                assert following > at
                assert all(at <= main < following for main, _events in some)
                found += some
                at = following
            assert found == model.changes(keys, since, model.revision)

    @rule(back=BACK, which=BACK)
    def hash_all(self, back: int, which: int) -> None:
        with self._a_view(which) as (view, model):
            oldest = max(model.compact_revision, 1)
            revision = model.revision - back % (model.revision - oldest + 1)
            assert _hash(view, revision) == HashResult(
                model.hash_kv(revision), model.compact_revision, revision
            )

    @rule(key=KEYS, which=BACK)
    def get(self, key: bytes, which: int) -> None:
        with self._a_view(which) as (view, model):
            fields = model.states[-1].get(key)
            found = view.get(key)
            assert (found is None) == (fields is None)
            if found is not None and fields is not None:
                assert found.version == fields.version
                assert found.create_revision == fields.create_revision
                assert found.mod_revision == fields.mod_revision
                assert found.lease == fields.lease

    @rule()
    def reopen(self) -> None:
        self.store = Store(self.backend)

    @invariant()
    def stands_where_the_model_does(self) -> None:
        assert self.store.revision == self.model.revision
        assert self.store.compact_revision == self.model.compact_revision

    def teardown(self) -> None:
        for view, _model in self.views:
            view.close()

    @contextlib.contextmanager
    def _a_view(self, which: int) -> Any:
        """One of the open views, or one of now."""
        if self.views and which % 2:
            yield self.views[which // 2 % len(self.views)]
            return
        view = self.store.view()
        yield view, self.model
        view.close()


class MemoryMachine(KeyspaceMachine):
    """With power cuts, which the twin can do in an instant."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryBackend()
        self.backend = self.memory
        self.durable = KeyspaceModel()

    @rule()
    def checkpoint(self) -> None:
        checkpoint = self.memory.begin_checkpoint()
        checkpoint.make_durable()
        checkpoint.finish()
        self.durable = self.model.copy()

    @rule()
    def crash(self) -> None:
        for view, _model in self.views:
            view.close()
        self.views = []
        self.memory.crash()
        self.store = Store(self.memory)
        self.model = self.durable.copy()


class LmdbMachine(KeyspaceMachine):
    """On disk, closed and opened again."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.open()

    def open(self) -> None:
        self.backend = LmdbBackend(Path(self.directory.name), quota_bytes=1 << 30)
        self.backend.reserve(1 << 20, 64)

    @rule()
    def restart(self) -> None:
        for view, _model in self.views:
            view.close()
        self.views = []
        self.backend.close()
        self.open()
        self.store = Store(self.backend)

    def teardown(self) -> None:
        super().teardown()
        self.backend.close()
        self.directory.cleanup()


def _at(query: RangeQuery, revision: int) -> RangeQuery:
    fields = {name: getattr(query, name) for name in RangeQuery.__slots__}
    return RangeQuery(**fields | {"revision": revision})


def _check_range(found: RangeResult, model: KeyspaceModel, query: RangeQuery) -> None:
    kvs, count, more = model.range(query)
    assert (found.count, found.more, found.revision) == (count, more, model.revision)
    assert found.kvs == kvs


def _hash(view: ReadView, revision: int) -> HashResult:
    slices = view.hash_kv(revision)
    while True:
        try:
            next(slices)
        except StopIteration as stop:
            result: HashResult = stop.value
            return result


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "examples"), [(MemoryMachine, 80), (LmdbMachine, 6)])
def test_the_keyspace_does_what_its_model_does(
    machine: type[KeyspaceMachine], examples: int
) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )
