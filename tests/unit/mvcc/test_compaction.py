"""What compaction takes at once, what it leaves, and what removal does later."""

import pytest

from kvstore.backend.schema import Tree
from kvstore.base.errors import Compacted, FutureRevision
from kvstore.base.key_range import KeyRange
from kvstore.mvcc.store import Store
from tests.support.keyspace import Keyspace


def stored(keyspace: Keyspace, tree: Tree) -> int:
    view = keyspace.backend.begin_read()
    try:
        return view.count(tree)
    finally:
        view.close()


def test_a_fresh_store_can_be_compacted_at_0_once(keyspace: Keyspace) -> None:
    keyspace.compact(0)
    with pytest.raises(Compacted):
        keyspace.compact(0)
    with pytest.raises(Compacted):
        keyspace.compact(-1)
    keyspace.compact(1)


def test_compacting_the_future_is_refused(keyspace: Keyspace) -> None:
    with pytest.raises(FutureRevision):
        keyspace.compact(2)


def test_reads_below_are_refused_at_once_and_at_the_revision_still_answered(
    keyspace: Keyspace,
) -> None:
    for _ in range(3):
        keyspace.put(b"k")
    keyspace.compact(3)
    with pytest.raises(Compacted):
        keyspace.range(revision=2)
    with pytest.raises(Compacted):
        keyspace.changes(2)
    assert keyspace.live(revision=3)[0].version == 2
    assert keyspace.store.revision == 4


def test_a_view_from_before_keeps_what_it_saw(keyspace: Keyspace) -> None:
    keyspace.put(b"k", b"old")
    keyspace.put(b"k", b"new")
    view = keyspace.store.view()
    keyspace.compact(3)
    keyspace.remove()
    assert len(view.changes(KeyRange(b"\x00", None), 2, 3, 10)[0]) == 2
    view.close()


def test_removal_leaves_the_newest_of_each_key(keyspace: Keyspace) -> None:
    for _ in range(10):
        keyspace.put(b"a")
        keyspace.put(b"b")
    keyspace.compact(keyspace.store.revision)
    keyspace.remove()
    assert stored(keyspace, Tree.REVISIONS) == 2
    assert keyspace.store.removal() is None


def test_a_key_deleted_below_the_revision_vanishes(keyspace: Keyspace) -> None:
    keyspace.put(b"k" * 1000)
    keyspace.delete(b"k" * 1000)
    keyspace.put(b"other")
    keyspace.compact(4)
    keyspace.remove()
    assert (stored(keyspace, Tree.KEYS), stored(keyspace, Tree.REVISIONS)) == (1, 1)
    assert stored(keyspace, Tree.LONG_KEYS) == 0


def test_a_tombstone_at_the_revision_stays_for_watchers_until_the_next(keyspace: Keyspace) -> None:
    keyspace.put(b"k")
    keyspace.delete(b"k")
    keyspace.compact(3)
    before_removal = keyspace.changes(3)
    keyspace.remove()
    assert keyspace.changes(3) == before_removal
    [(main, [event])] = keyspace.changes(3)
    assert (main, event.is_delete, event.previous) == (3, True, None)
    keyspace.put(b"other")
    keyspace.compact(4)
    keyspace.remove()
    assert (stored(keyspace, Tree.KEYS), stored(keyspace, Tree.REVISIONS)) == (1, 1)


def test_a_removal_goes_on_after_a_restart(keyspace: Keyspace) -> None:
    for _ in range(20):
        keyspace.put(b"k")
    keyspace.compact(keyspace.store.revision)
    removal = keyspace.store.removal()
    assert removal is not None
    txn = keyspace.backend.begin_write()
    assert not removal.step(txn, 5)
    txn.commit()
    lost = keyspace.backend.begin_write()
    removal.step(lost, 5)
    lost.abort()
    keyspace.store = Store(keyspace.backend)
    keyspace.remove()
    assert stored(keyspace, Tree.REVISIONS) == 1


def test_a_compaction_during_a_removal_is_done_after_it(keyspace: Keyspace) -> None:
    for _ in range(20):
        keyspace.put(b"k")
    keyspace.compact(10)
    removal = keyspace.store.removal()
    assert removal is not None
    txn = keyspace.backend.begin_write()
    removal.step(txn, 2)
    txn.commit()
    keyspace.compact(15)
    keyspace.remove()
    assert stored(keyspace, Tree.REVISIONS) == keyspace.store.revision - 15 + 1


def test_the_hash_does_not_depend_on_how_far_removal_has_got(keyspace: Keyspace) -> None:
    for number in range(12):
        keyspace.put(b"%d" % (number % 4))
        keyspace.delete(b"%d" % (number % 3))
    keyspace.compact(keyspace.store.revision - 2)
    hashes = {keyspace.hash()}
    while (removal := keyspace.store.removal()) is not None:
        txn = keyspace.backend.begin_write()
        removal.step(txn, 1)
        txn.commit()
        hashes.add(keyspace.hash())
    assert len(hashes) == 1
