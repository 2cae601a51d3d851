"""HashKV: one number for the whole keyspace at a revision, bit for bit etcd's.

CRC-32C over the bucket's name and then, in order of revisions, over each record as etcd stores it:
the key `main _ sub`, with a `t` behind it for a tombstone, and the KeyValue, which for a tombstone
holds the key only. Left out is what a compaction at the compact revision removes, whether or not
its physical removal has got there. Source: etcd's mvcc/hash.go.
"""

from collections.abc import Generator
from typing import NamedTuple

import google_crc32c

from kvstore.backend.backend import SLICE, Reader
from kvstore.backend.schema import REVISIONS, Tree
from kvstore.base.key_range import KeyRange
from kvstore.mvcc.history import key_values_at
from kvstore.mvcc.key_value import key_field_of, key_of
from kvstore.mvcc.layout import HEAD, HISTORY, HISTORY_BYTES, LIVE, get_head
from kvstore.mvcc.revision import Revision, encode_revision

_BUCKET = b"key"


class HashResult(NamedTuple):
    """Equal on members with equal (hash revision, compact revision), or one of them is corrupt."""

    crc: int
    compact_revision: int
    hash_revision: int


HashSlices = Generator[None, None, HashResult]
"""Yields between slices of work; returns the result."""


def hash_slices(txn: Reader, *, revision: int, compact_revision: int) -> HashSlices:
    """Hash the keyspace at `revision`, which is readable and resolved."""
    # etcd keeps what is live at `revision`; if nothing is, it skips nothing, so that the records
    # that count are those that the compaction itself has left.
    kept_at = compact_revision
    for key_values in key_values_at(txn, KeyRange(b"\x00", None), revision):
        if key_values:
            kept_at = revision
            break
        yield
    crc: int = google_crc32c.value(_BUCKET)
    pieces: list[bytes] = []
    records = txn.scan(REVISIONS, end=encode_revision(revision + 1, 0))
    for number, (place, record) in enumerate(records, start=1):
        is_live = record[0] == LIVE
        key_value = record[HISTORY_BYTES:]
        found = Revision.decode(place)
        if found.main > compact_revision or (
            is_live and _is_newest(txn, found, key_of(key_value), kept_at)
        ):
            pieces += (place[:8], b"_", place[8:])
            pieces += (key_value,) if is_live else (b"t", key_field_of(key_value))
        if number % SLICE == 0:
            crc = google_crc32c.extend(crc, b"".join(pieces))
            pieces = []
            yield
    crc = google_crc32c.extend(crc, b"".join(pieces))
    return HashResult(crc, compact_revision, revision)


def hash_all(txn: Reader) -> Generator[None, None, int]:
    """Hash every tree but META, record by record: equal where the same entries were applied.

    Unlike `hash_slices` this tells physical differences, too, such as a removal under way.
    """
    crc = 0
    for tree in Tree:
        if tree is Tree.META:
            continue
        crc = google_crc32c.extend(crc, tree.value)
        pieces: list[bytes] = []
        for number, record in enumerate(txn.scan(tree), start=1):
            pieces += record
            if number % SLICE == 0:
                crc = google_crc32c.extend(crc, b"".join(pieces))
                pieces = []
                yield
        crc = google_crc32c.extend(crc, b"".join(pieces))
    return crc


def _is_newest(txn: Reader, found: Revision, key: bytes, at: int) -> bool:
    """Whether `found` is the newest version of `key` at or before main revision `at`."""
    head = get_head(txn, key)
    if head is None:
        # Its tombstone, with the head, is removed already; the rest of the chain is next.
        return False
    _kind, main, sub, *_ = HEAD.unpack_from(head)
    while main > at:
        record = txn.get(REVISIONS, encode_revision(main, sub))
        assert record is not None, "a gap in the history that can be read"
        _kind, main, sub = HISTORY.unpack_from(record)
    return found == (main, sub)
