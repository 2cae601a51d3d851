"""Puts, deletes and the revisions they take."""

from kvstore.backend.schema import Tree
from kvstore.base.key_range import KeyRange
from kvstore.mvcc.event import Event
from kvstore.mvcc.key_value import KeyValue, decode_key_value
from kvstore.mvcc.range import RangeQuery
from kvstore.mvcc.store import Store
from tests.support.keyspace import EVERYTHING, Keyspace


def test_a_fresh_store_stands_at_revision_1_and_was_never_compacted(keyspace: Keyspace) -> None:
    assert (keyspace.store.revision, keyspace.store.compact_revision) == (1, -1)


def test_versions_count_within_a_generation_and_a_delete_ends_it(keyspace: Keyspace) -> None:
    keyspace.put(b"k")
    keyspace.put(b"k", b"w", lease=7)
    assert keyspace.live() == [KeyValue(b"k", 2, 3, 2, b"w", 7)]
    keyspace.delete(b"k")
    keyspace.put(b"k", b"")
    assert keyspace.live() == [KeyValue(b"k", 5, 5, 1, b"", 0)]
    assert keyspace.live(revision=3) == [KeyValue(b"k", 2, 3, 2, b"w", 7)]
    assert keyspace.live(revision=4) == []


def test_deleting_nothing_takes_no_revision_but_putting_the_same_value_does(
    keyspace: Keyspace,
) -> None:
    assert keyspace.delete(b"k") == 1
    assert keyspace.put(b"k") == 2
    assert keyspace.put(b"k") == 3


def test_changes_of_one_request_share_its_revision_in_their_order(keyspace: Keyspace) -> None:
    keyspace.put(b"b")
    with keyspace.request() as writer:
        writer.put(b"z", b"", 0)
        assert [p.key for p in writer.delete_range(KeyRange(b"a", b"c"))] == [b"b"]
        writer.put(b"a", b"", 0)
    assert [(main, [e.key for e in events]) for main, events in keyspace.changes(3)] == [
        (3, [b"z", b"b", b"a"])
    ]


def test_a_range_sees_the_writes_before_it_and_their_revision(keyspace: Keyspace) -> None:
    with keyspace.request() as writer:
        assert writer.range(RangeQuery(keys=EVERYTHING)).revision == 1
        writer.put(b"k", b"", 0)
        found = writer.range(RangeQuery(keys=EVERYTHING))
        assert (found.count, found.revision) == (1, 2)
        assert writer.get(b"k") is not None
        writer.delete_range(EVERYTHING)
        assert writer.range(RangeQuery(keys=EVERYTHING)).count == 0


def test_a_put_returns_what_was_there(keyspace: Keyspace) -> None:
    keyspace.put(b"k", b"old", lease=7)
    with keyspace.request() as writer:
        assert writer.put(b"new", b"", 0) is None
        previous = writer.put(b"k", b"", 0)
    assert previous is not None
    assert (previous.lease, previous.version, previous.mod_revision) == (7, 1, 2)
    assert decode_key_value(previous.key_value).value == b"old"


def test_the_previous_of_an_event_is_from_the_revision_before(keyspace: Keyspace) -> None:
    """A key that one request puts and deletes was, for a watcher, what it was before."""
    keyspace.put(b"k", b"before")
    before = keyspace.range().kvs[0]
    with keyspace.request() as writer:
        writer.put(b"k", b"between", 0)
        writer.delete_range(EVERYTHING)
    [(_main, [put, delete])] = keyspace.changes(3)
    assert put.previous == delete.previous == before


def test_events_say_create_only_for_the_first_of_a_generation(keyspace: Keyspace) -> None:
    keyspace.put(b"k")
    keyspace.put(b"k")
    keyspace.delete(b"k")
    keyspace.put(b"k")
    events = [event for _main, events in keyspace.changes(1) for event in events]
    assert [event.is_create for event in events] == [True, False, False, True]
    assert [event.is_delete for event in events] == [False, False, True, False]
    assert [event.previous is None for event in events] == [True, False, False, True]
    assert all(isinstance(event, Event) for event in events)


def test_an_aborted_transaction_leaves_nothing(keyspace: Keyspace) -> None:
    txn = keyspace.backend.begin_write()
    writer = keyspace.store.begin(txn)
    writer.put(b"k", b"", 0)
    writer.end_request()
    writer.finish()
    txn.abort()
    assert keyspace.store.revision == 1
    assert keyspace.live() == []
    assert keyspace.put(b"k") == 2


def test_a_reopened_store_goes_on_where_it_was(keyspace: Keyspace) -> None:
    keyspace.put(b"k")
    keyspace.compact(1)
    again = Store(keyspace.backend)
    assert (again.revision, again.compact_revision) == (2, 1)


def test_a_delete_of_thousands_of_keys_comes_in_slices(keyspace: Keyspace) -> None:
    with keyspace.request() as writer:
        for number in range(2000):
            writer.put(b"%05d" % number, b"", 0)
    with keyspace.request() as writer:
        slices = list(writer.delete_slices(KeyRange(b"00100", b"01900")))
    assert max(len(some) for some in slices) <= 512
    assert [p.key for some in slices for p in some] == [b"%05d" % n for n in range(100, 1900)]
    assert len(keyspace.keys()) == 200


def test_a_short_key_and_its_long_kin_live_side_by_side(keyspace: Keyspace) -> None:
    long_keys = [b"k" * size for size in (479, 480, 481, 960, 3000)]
    for key in long_keys:
        keyspace.put(key)
    assert keyspace.keys() == long_keys
    keyspace.delete(b"k" * 480)
    keyspace.put(b"k" * 3000, b"again")
    assert keyspace.live(KeyRange.single(b"k" * 3000))[0].version == 2
    assert [kv.key for kv in keyspace.live(KeyRange(b"k" * 480, None))] == long_keys[2:]
    view = keyspace.backend.begin_read()
    assert view.count(Tree.LONG_KEYS) > 0
    view.close()
