"""Many puts in one step must leave what the same puts leave one after the other."""

from hypothesis import given
from hypothesis import strategies as st

from kvstore.backend.memory_backend import MemoryBackend
from kvstore.backend.schema import Tree
from kvstore.mvcc.event import Changes
from tests.support.keyspace import Keyspace

KEYS = st.sampled_from([b"a", b"b", b"c", b"d" * 127])
PUTS = st.lists(st.tuples(KEYS, st.binary(max_size=200)), min_size=1, max_size=20)
EARLIER = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.integers(0, 3)),
        st.tuples(st.just("delete"), KEYS, st.just(0)),
    ),
    max_size=10,
)


def keyspace_after(earlier: list[tuple[str, bytes, int]], idle_revisions: int) -> Keyspace:
    keyspace = Keyspace(MemoryBackend())
    for _ in range(idle_revisions):
        keyspace.put(b"other")
    for what, key, lease in earlier:
        if what == "put":
            keyspace.put(key, b"old", lease)
        else:
            keyspace.delete(key)
    return keyspace


def contents(keyspace: Keyspace) -> list[list[tuple[bytes, bytes]]]:
    txn = keyspace.backend.begin_read()
    return [list(txn.scan(tree)) for tree in Tree]


@given(EARLIER, PUTS, st.sampled_from([0, 120]))
def test_puts_in_one_step_leave_the_same_trees_events_and_answers(
    earlier: list[tuple[str, bytes, int]], puts: list[tuple[bytes, bytes]], idle_revisions: int
) -> None:
    together, apart = (keyspace_after(earlier, idle_revisions) for _ in range(2))
    events: list[list[Changes]] = []
    with together.request() as writer:
        first, detached = writer.put_each(puts)
        events.append(writer.events)
        assert writer.revision == first + len(puts) - 1
    expected_detached = []
    with apart.request() as writer:
        revisions = []
        for key, value in puts:
            previous = writer.put(key, value, 0)
            if previous is not None and previous.lease:
                expected_detached.append((previous.lease, key))
            revisions.append(writer.end_request())
        events.append(writer.events)

    assert contents(together) == contents(apart)
    assert events[0] == events[1]
    assert list(range(first, first + len(puts))) == revisions
    assert detached == expected_detached
    assert together.store.revision == apart.store.revision


def test_requests_after_many_puts_go_on_from_the_last_of_them() -> None:
    keyspace = Keyspace(MemoryBackend())
    with keyspace.request() as writer:
        first, _ = writer.put_each([(b"a", b"1"), (b"a", b"2")])
        previous = writer.put(b"a", b"3", 0)
        writer.end_request()

    assert previous is not None
    assert (previous.mod_revision, previous.version) == (first + 1, 2)
    assert keyspace.store.revision == first + 2
