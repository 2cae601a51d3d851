"""The contract of the `Backend` port: both backends beside a dictionary."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kvstore.backend.backend import KEY_BYTES_MAX, Backend, Reader, ReadTxn, WriteTxn
from kvstore.backend.lmdb_backend import LmdbBackend
from kvstore.backend.memory_backend import MemoryBackend
from kvstore.backend.schema import Tree

Contents = dict[bytes, bytes]

TREES = st.sampled_from([Tree.KEYS, Tree.REVISIONS])
KEYS = st.one_of(
    st.binary(min_size=1, max_size=2),
    st.integers(0, 999).map(lambda number: b"%03d" % number),
    st.sampled_from([b"\x00", b"\xff" * KEY_BYTES_MAX, b"x" * KEY_BYTES_MAX]),
)
BOUNDS = st.one_of(st.just(b""), KEYS)
ENDS = st.one_of(st.none(), KEYS, st.just(b"z" * 2000))


class BackendMachine(RuleBasedStateMachine):
    """One writer, readers of several commits, and what each of them must see."""

    backend: Backend

    @initialize()
    def start(self) -> None:
        self.committed: dict[Tree, Contents] = {tree: {} for tree in Tree}
        self.written = self.committed
        self.txn: WriteTxn | None = None
        self.readers: list[tuple[ReadTxn, dict[Tree, Contents]]] = []

    def writer(self) -> WriteTxn:
        if self.txn is None:
            self.backend.reserve(1 << 16, 64)
            self.txn = self.backend.begin_write()
            self.written = {tree: dict(contents) for tree, contents in self.committed.items()}
        return self.txn

    @rule(tree=TREES, key=KEYS, value=st.binary(max_size=40))
    def put(self, tree: Tree, key: bytes, value: bytes) -> None:
        self.writer().put(tree, key, value)
        self.written[tree][key] = value

    @rule(tree=TREES, first=st.integers(0, 400), number=st.integers(1, 400))
    def put_many(self, tree: Tree, first: int, number: int) -> None:
        txn = self.writer()
        items = [(b"%03d" % index, b"%d" % number) for index in range(first, first + number)]
        txn.put_many(tree, items)
        self.written[tree] |= dict(items)

    @rule(tree=TREES, value=st.binary(max_size=5000))
    def append(self, tree: Tree, value: bytes) -> None:
        last = max(self.written[tree], default=b"") if self.txn else None
        if last is None:
            last = max(self.committed[tree], default=b"")
        if len(last) < KEY_BYTES_MAX:
            self.writer().append(tree, last + b"\x00", value)
            self.written[tree][last + b"\x00"] = value

    @rule(tree=TREES, number=st.integers(1, 300))
    def append_many(self, tree: Tree, number: int) -> None:
        txn = self.writer()
        last = max(self.written[tree], default=b"")
        if len(last) < KEY_BYTES_MAX - 2:
            items = [(last + b"\x00%c%c" % divmod(index, 256), b"v") for index in range(number)]
            txn.append_many(tree, items)
            self.written[tree] |= dict(items)
            with pytest.raises(AssertionError):
                txn.append_many(tree, items[-1:])

    @rule(tree=TREES, keys=st.lists(KEYS, max_size=5))
    def get_many(self, tree: Tree, keys: list[bytes]) -> None:
        found = self.writer().get_many(tree, keys)
        assert found == [self.written[tree].get(key) for key in keys]

    @rule(tree=TREES, key=KEYS)
    def append_below(self, tree: Tree, key: bytes) -> None:
        txn = self.writer()
        if key <= max(self.written[tree], default=b""):
            with pytest.raises(AssertionError):
                txn.append(tree, key, b"")

    @rule(tree=TREES, key=KEYS)
    def delete(self, tree: Tree, key: bytes) -> None:
        assert self.writer().delete(tree, key) == (self.written[tree].pop(key, None) is not None)

    @rule(tree=TREES, start=BOUNDS, end=ENDS)
    def delete_range(self, tree: Tree, start: bytes, end: bytes | None) -> None:
        txn = self.writer()
        for key, _value in list(txn.scan(tree, start, end)):
            assert txn.delete(tree, key)
            del self.written[tree][key]

    @precondition(lambda self: self.txn)
    @rule(commits=st.booleans())
    def end_write(self, commits: bool) -> None:
        assert self.txn is not None
        if commits:
            self.txn.commit()
            self.committed = self.written
        else:
            self.txn.abort()
        self.txn = None

    @rule()
    def begin_read(self) -> None:
        self.readers.append((self.backend.begin_read(), self.committed))

    @precondition(lambda self: self.readers)
    @rule()
    def close_reader(self) -> None:
        reader, _contents = self.readers.pop(0)
        reader.close()
        reader.close()

    @rule(tree=TREES, start=BOUNDS, end=ENDS, key=KEYS)
    def look(self, tree: Tree, start: bytes, end: bytes | None, key: bytes) -> None:
        views: list[tuple[Reader, dict[Tree, Contents]]] = [*self.readers]
        if self.txn is not None:
            views.append((self.txn, self.written))
        for reader, trees in views:
            contents = trees[tree]
            inside = [
                (k, contents[k])
                for k in sorted(contents)
                if start <= k and (end is None or k < end)
            ]
            assert list(reader.scan(tree, start, end)) == inside
            assert [v for vs in reader.scan_values(tree, start, end) for v in vs] == [
                v for _k, v in inside
            ]
            if end is None or len(end) <= KEY_BYTES_MAX:
                assert list(reader.scan_back(tree, end, start)) == inside[::-1]
            assert reader.get(tree, key) == contents.get(key)
            assert reader.count(tree) == len(contents)

    @invariant()
    def has_a_size(self) -> None:
        assert 0 < self.backend.live_bytes <= self.backend.size_bytes

    def teardown(self) -> None:
        for reader, _contents in self.readers:
            reader.close()
        if self.txn is not None:
            self.txn.abort()
        self.backend.close()


class MemoryMachine(BackendMachine):
    def __init__(self) -> None:
        super().__init__()
        self.backend = MemoryBackend()


class LmdbMachine(BackendMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.backend = LmdbBackend(Path(self.directory.name), quota_bytes=1 << 20)

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "examples"), [(MemoryMachine, 60), (LmdbMachine, 10)])
def test_a_backend_keeps_its_contract(machine: type[BackendMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )


@pytest.fixture(scope="module", params=["memory", "lmdb"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reader]:
    """A view of 1000 keys, so that lists of several slices occur."""
    backend: Backend = MemoryBackend()
    if request.param == "lmdb":
        backend = LmdbBackend(tmp_path_factory.mktemp("filled"), quota_bytes=1 << 20)
    txn = backend.begin_write()
    for number in range(1000):
        txn.append(Tree.KEYS, b"%04d" % number, b"%d" % number)
    txn.commit()
    view = backend.begin_read()
    yield view
    view.close()
    backend.close()


@given(start=st.integers(0, 1001), end=st.integers(0, 1001))
def test_values_come_in_lists_that_end_where_the_range_does(
    filled: Reader, start: int, end: int
) -> None:
    lists = list(filled.scan_values(Tree.KEYS, b"%04d" % start, b"%04d" % end))
    assert all(lists)
    assert [v for values in lists for v in values] == [
        b"%d" % number for number in range(start, min(end, 1000))
    ]
