"""Physical removal of what a compaction made unreadable, in slices, each in some write transaction.

After a compaction at C only the newest version at or below C of each key can still be read. Walking
REVISIONS down from C, the first record met of a key is that version; all older ones hang below it
on the key's chain. It stays unless it is a tombstone. Of revision C itself everything stays, the
tombstones too: a watcher that starts at C must see all of it.

The walk ends at the revision of the last complete removal, inclusive: what that one left below
either lies on the chain of a record that this walk meets, or is still the newest of its key. Only
what that one kept of its own revision has become superfluous.

Where the walk stands is stored in the transaction of each slice, so that a crash repeats nothing
and leaves nothing behind.
"""

import struct
from itertools import islice
from typing import NamedTuple

from kvstore.backend.backend import Reader, WriteTxn
from kvstore.backend.schema import REVISIONS, Tree
from kvstore.mvcc import meta
from kvstore.mvcc.key_value import key_of
from kvstore.mvcc.layout import (
    HEAD,
    HISTORY,
    HISTORY_BYTES,
    LIVE,
    delete_head,
    get_head,
)
from kvstore.mvcc.revision import NEVER_COMPACTED, Revision, encode_revision

_PROGRESS = struct.Struct(">qQQQQ")
_CHAIN_END = Revision(0, 0)


class _Progress(NamedTuple):
    """Where the walk towards `target` stands."""

    target: int
    above: Revision
    """Everything from here up to the target is done, except for `chain`."""
    chain: Revision
    """The next record to delete of a key's chain; main 0: none."""


class Removal:
    """The work that compactions left behind. Stateless: whoever asks again gets as far."""

    def step(self, txn: WriteTxn, records_max: int) -> bool:
        """Do one slice of it in `txn`; return whether all of it is done."""
        return remove_slice(txn, records_max)


def has_garbage(txn: Reader) -> bool:
    """Whether there is anything for `remove_slice` to do."""
    compacted = meta.get(txn, meta.COMPACT_REVISION, NEVER_COMPACTED)
    return meta.get(txn, meta.REMOVED_REVISION, NEVER_COMPACTED) < compacted


def remove_slice(txn: WriteTxn, records_max: int) -> bool:
    """Look at no more than `records_max` records, about; return whether all garbage is gone.

    Nothing that it does shows in any read, hash or change at a revision that can be read.
    """
    progress = _load(txn)
    if progress is None:
        return True
    target, above, chain = progress
    floor = encode_revision(max(meta.get(txn, meta.REMOVED_REVISION, NEVER_COMPACTED), 0), 0)
    removed: set[bytes] = set()
    left, chain = _cut_chain(txn, chain, records_max, removed)
    # Collected before the first deletion: a tree must not change under its scan.
    records = list(islice(txn.scan_back(REVISIONS, encode_revision(*above), floor), left))
    at_end = len(records) < left
    for place, record in records:
        if left <= 0:
            at_end = False
            break
        left -= 1
        above = Revision.decode(place)
        if place in removed:
            continue
        kind, *previous = HISTORY.unpack_from(record)
        if kind != LIVE and above.main < target:
            txn.delete(REVISIONS, place)
            _forget_head(txn, key_of(record[HISTORY_BYTES:]), above)
        if previous[0] == target:
            continue  # it stays; the walk meets it next, and what hangs below with it
        left, chain = _cut_chain(txn, Revision(*previous), left, removed)
    if not at_end or chain != _CHAIN_END:
        txn.put(Tree.META, meta.REMOVAL, _PROGRESS.pack(target, *above, *chain))
        return False
    meta.put(txn, meta.REMOVED_REVISION, target)
    txn.delete(Tree.META, meta.REMOVAL)
    return not has_garbage(txn)


def _load(txn: Reader) -> _Progress | None:
    """Return the walk under way, or else the next one to begin, or None."""
    data = txn.get(Tree.META, meta.REMOVAL)
    if data is not None:
        target, *rest = _PROGRESS.unpack(data)
        return _Progress(target, Revision(*rest[:2]), Revision(*rest[2:]))
    if not has_garbage(txn):
        return None
    target = meta.get(txn, meta.COMPACT_REVISION, NEVER_COMPACTED)
    return _Progress(target, Revision(target + 1, 0), _CHAIN_END)


def _cut_chain(
    txn: WriteTxn, revision: Revision, left: int, removed: set[bytes]
) -> tuple[int, Revision]:
    """Delete up to `left` records of a chain, newest first; return what is left of both.

    A record that is not there ends the chain: an earlier removal took it and all below.
    """
    while revision.main:
        if left <= 0:
            return left, revision
        place = encode_revision(*revision)
        record = txn.get(REVISIONS, place)
        if record is None:
            break
        txn.delete(REVISIONS, place)
        removed.add(place)
        left -= 1
        _kind, *previous = HISTORY.unpack_from(record)
        revision = Revision(*previous)
    return left, _CHAIN_END


def _forget_head(txn: WriteTxn, key: bytes, tombstone: Revision) -> None:
    """Drop the key itself if `tombstone` is its newest version."""
    head = get_head(txn, key)
    assert head is not None, "a tombstone without a head"
    _kind, main, sub, *_ = HEAD.unpack_from(head)
    if (main, sub) == tombstone:
        delete_head(txn, key)
