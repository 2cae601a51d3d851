"""The quirks of Range that clients see, one by one."""

import pytest

from kvstore.base.errors import Compacted, FutureRevision
from kvstore.base.key_range import ALL_KEYS_FROM, KeyRange
from kvstore.mvcc.key_value import decode_key_value
from kvstore.mvcc.range import RangeQuery, SortOrder, SortTarget
from tests.support.keyspace import EVERYTHING, Keyspace


@pytest.fixture
def filled(keyspace: Keyspace) -> Keyspace:
    """Keys a to e; versions 1 1 3 1 2 and values that sort the other way round."""
    for key, value in zip(b"abcde", b"98765", strict=True):
        keyspace.put(bytes([key]), bytes([value]), lease=7)
    for key in (b"c", b"c", b"e"):
        keyspace.put(key, b"1")
    return keyspace


def test_count_ignores_limit_and_filters(filled: Keyspace) -> None:
    found = filled.range(limit=2, min_mod_revision=7)
    assert ([decode_key_value(kv).key for kv in found.kvs], found.count) == ([b"c", b"e"], 5)
    assert not found.more
    assert filled.range(limit=2) == filled.range(limit=2)._replace(count=5, more=True)


def test_count_only_has_no_keys_and_no_more(filled: Keyspace) -> None:
    found = filled.range(count_only=True, limit=1)
    assert (found.kvs, found.count, found.more) == ([], 5, False)


def test_a_limit_that_is_just_enough_has_no_more(filled: Keyspace) -> None:
    assert not filled.range(limit=5).more
    assert filled.range(limit=4).more
    assert not filled.range(limit=-1).more


def test_keys_only_blanks_the_value_and_keeps_the_lease(filled: Keyspace) -> None:
    found = filled.live(KeyRange.single(b"a"), keys_only=True)[0]
    assert (found.value, found.lease, found.version) == (b"", 7, 1)


def test_a_descending_limit_takes_the_last_keys(filled: Keyspace) -> None:
    assert filled.keys(sort_order=SortOrder.DESCEND, limit=2) == [b"e", b"d"]


def test_a_target_without_an_order_sorts_only_what_the_limit_fetched(filled: Keyspace) -> None:
    assert filled.keys(sort_target=SortTarget.VALUE, limit=2) == [b"c", b"b"]
    ascending = filled.keys(sort_target=SortTarget.VALUE, sort_order=SortOrder.ASCEND, limit=2)
    assert set(ascending) == {b"c", b"e"}


@pytest.mark.parametrize(
    ("target", "first"),
    [
        (SortTarget.KEY, b"e"),
        (SortTarget.VERSION, b"c"),
        (SortTarget.CREATE, b"e"),
        (SortTarget.MOD, b"e"),
        (SortTarget.VALUE, b"a"),
    ],
)
def test_each_target_sorts_by_its_field(filled: Keyspace, target: int, first: bytes) -> None:
    assert filled.keys(sort_target=target, sort_order=SortOrder.DESCEND)[0] == first


def test_an_old_revision_shows_the_old_keys_and_the_current_revision(filled: Keyspace) -> None:
    found = filled.range(revision=3)
    assert (len(found.kvs), found.revision) == (2, 9)
    assert filled.range(revision=-3).count == 5


def test_ends_mean_what_etcd_says(filled: Keyspace) -> None:
    def keys(key: bytes, range_end: bytes) -> list[bytes]:
        return [kv.key for kv in filled.live(KeyRange.of(key, range_end))]

    assert keys(b"b", b"") == [b"b"]
    assert keys(b"b", b"d") == [b"b", b"c"]
    assert keys(b"d", ALL_KEYS_FROM) == [b"d", b"e"]
    assert keys(b"d", b"b") == keys(b"d", b"d") == keys(b"x", b"") == []


def test_revisions_out_of_reach_are_refused(filled: Keyspace) -> None:
    with pytest.raises(FutureRevision):
        filled.range(revision=10)
    filled.compact(5)
    with pytest.raises(Compacted) as refused:
        filled.range(revision=4)
    assert refused.value.compact_revision == 5
    assert filled.range(revision=5).count == 4


def test_slices_add_up_to_the_whole_and_none_is_long(keyspace: Keyspace) -> None:
    with keyspace.request() as writer:
        for number in range(3000):
            writer.put(b"%05d" % number, b"", 0)
    view = keyspace.store.view()
    for query in (
        RangeQuery(keys=EVERYTHING),
        RangeQuery(keys=EVERYTHING, sort_order=SortOrder.DESCEND),
        RangeQuery(keys=EVERYTHING, limit=1500),
    ):
        slices = list(view.range_slices(query))
        assert max(len(some) for some in slices) <= 256
        assert [kv for some in slices for kv in some] == view.range(query).kvs
        assert view.range(query).count == 3000
    view.close()


def test_a_key_with_a_long_history_is_searched_in_slices(keyspace: Keyspace) -> None:
    for _ in range(2000):
        keyspace.put(b"hot")
    view = keyspace.store.view()
    slices = list(view.range_slices(RangeQuery(keys=EVERYTHING, revision=2)))
    assert len(slices) > 5
    assert [kv for some in slices for kv in some] == view.range(
        RangeQuery(keys=EVERYTHING, revision=2)
    ).kvs
    view.close()
