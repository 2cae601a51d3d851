"""Older versions of keys: one key at a past revision, and all changes since one."""

from collections.abc import Iterator

from kvstore.backend.backend import SLICE, Reader
from kvstore.backend.schema import REVISIONS
from kvstore.base.key_range import KeyRange
from kvstore.mvcc.event import Changes, Event, Previous
from kvstore.mvcc.key_value import create_revision_of, key_of
from kvstore.mvcc.layout import HEAD, HEAD_BYTES, HISTORY, HISTORY_BYTES, LIVE, get_head, scan_heads
from kvstore.mvcc.revision import Revision, encode_revision


def point_read(txn: Reader, key: bytes) -> Previous | None:
    """Return the live `key`, or None."""
    head = get_head(txn, key)
    if head is None or head[0] != LIVE:
        return None
    _kind, main, _sub, create, version, lease = HEAD.unpack_from(head)
    return Previous(key, head[HEAD_BYTES:], create, main, version, lease)


def find_record(txn: Reader, main: int, sub: int, at: int) -> bytes | None:
    """Return the REVISIONS record of the newest version at or before main revision `at`.

    The search starts at the key's version (main, sub) and follows the chain: one get per version
    in between. None if the key had no version then, or if it is compacted away.
    """
    get = txn.get
    while True:
        record = get(REVISIONS, encode_revision(main, sub))
        if record is None or main <= at:
            return record
        _kind, main, sub = HISTORY.unpack_from(record)


def find_key_value(txn: Reader, main: int, sub: int, at: int) -> bytes | None:
    """Return the KeyValue of what `find_record` finds; None also if it is a tombstone."""
    record = find_record(txn, main, sub, at)
    if record is None or record[0] != LIVE:
        return None
    return record[HISTORY_BYTES:]


def key_values_at(txn: Reader, keys: KeyRange, at: int) -> Iterator[list[bytes]]:
    """Yield the KeyValues of the keys in `keys` that were live at `at`, in key order, in lists.

    A list may be empty: it ends a slice of work, and the chain of one key may take several.
    """
    get = txn.get
    found: list[bytes] = []
    work = 0
    for heads in scan_heads(txn, keys.start, keys.end):
        for head in heads:
            kind, main, sub, *_ = HEAD.unpack_from(head)
            work += 1
            if main <= at:
                if kind == LIVE:
                    found.append(head[HEAD_BYTES:])
                continue
            record = get(REVISIONS, encode_revision(main, sub))
            while record is not None and main > at:
                _kind, main, sub = HISTORY.unpack_from(record)
                record = get(REVISIONS, encode_revision(main, sub))
                work += 1
                if work >= SLICE:
                    yield found
                    found, work = [], 0
            if record is not None and record[0] == LIVE:
                found.append(record[HISTORY_BYTES:])
        if work >= SLICE:
            yield found
            found, work = [], 0
    yield found


def changes(
    txn: Reader, keys: KeyRange, revisions: range, *, revisions_max: int, compacted: int
) -> tuple[list[Changes], int]:
    """Return the changes of `keys` in these main revisions, and where to go on.

    At most `revisions_max` revisions are looked at, each of them whole. The second value is the
    first revision that was not: `revisions.stop` at the end. None may be below `compacted`.
    """
    found: list[Changes] = []
    events: list[Event] = []
    current = 0
    seen = 0
    start, end = keys
    for place, record in txn.scan(
        REVISIONS, encode_revision(revisions.start, 0), encode_revision(revisions.stop, 0)
    ):
        main, _sub = Revision.decode(place)
        if main != current:
            if seen == revisions_max:
                return found, main
            seen += 1
            current = main
            events = []
        key_value = record[HISTORY_BYTES:]
        key = key_of(key_value)
        if start <= key and (end is None or key < end):
            if not events:
                found.append((main, events))
            events.append(_event(txn, main, key, key_value, record, compacted))
    return found, revisions.stop


def _event(  # noqa: PLR0913, PLR0917 - all of it is at hand in the loop above
    txn: Reader, main: int, key: bytes, key_value: bytes, record: bytes, compacted: int
) -> Event:
    kind, previous_main, previous_sub = HISTORY.unpack_from(record)
    is_create = kind == LIVE and create_revision_of(key_value) == main
    previous = None
    # What was there before is asked for at revision main - 1, as etcd does: it is there as long as
    # that revision can be read, whatever physical removal has got to.
    if not is_create and main > compacted:
        previous = find_key_value(txn, previous_main, previous_sub, main - 1)
    return Event(kind != LIVE, key, key_value, previous, is_create)
