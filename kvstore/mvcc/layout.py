r"""The keyspace's trees as bytes.

KEYS (and LONG_KEYS) hold for each key its *head*, the newest version:

    kind 1 | mod main 8 | mod sub 4 | create 8 | version 8 | lease 8 | KeyValue bytes

A deleted key keeps a tombstone as its head until compaction, so that its history is reachable.
REVISIONS holds every version at its revision (main 8 | sub 8):

    kind 1 | previous main 8 | previous sub 4 | KeyValue bytes

where *previous* is the key's version before, or main 0. A record that compaction removed is simply
not there: a chain ends at revision 0 or at a missing record.

Long keys. A tree key has at most 511 bytes. A key shorter than `CHUNK_BYTES` is its own place in
KEYS. Of a longer one the first chunk stands in KEYS, holding the number of a *directory*; the rest
of the key is stored by the same rule in LONG_KEYS under that number: directory 8 | rest. So a
chunk of full length always leads to a directory, one below it never does, and walking the trees
depth first meets the keys in their order.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from kvstore.backend.backend import SLICE, Reader, WriteTxn
from kvstore.backend.schema import KEYS, Tree

LIVE, TOMBSTONE, DIRECTORY = 0, 1, 2
"""The kinds of a record: its first byte."""

HEAD = struct.Struct(">BQIQQq")
HEAD_BYTES = HEAD.size
"""Where a head's KeyValue bytes start."""

HISTORY = struct.Struct(">BQI")
HISTORY_BYTES = HISTORY.size
"""Where a REVISIONS record's KeyValue bytes start."""

CHUNK_BYTES = 480
"""The length of a full chunk; with a lease id and a directory before it, it must fit a tree key."""

_DIRECTORY_RECORD = struct.Struct(">BQ")
_DIRECTORY_BYTES = 8
_FIRST_DIRECTORY = 1

_SHORT, _LONG = b"\x00", b"\x01"


class Place(NamedTuple):
    """Where a key's head is: the tree, and the key in it."""

    tree: Tree
    key: bytes


def find_place(txn: Reader, key: bytes) -> Place | None:
    """Return the place of `key`, or None if a directory on the way to it is missing."""
    tree, prefix, depth = KEYS, b"", 0
    # By position: cutting the chunks off a key of a megabyte would copy it thousands of times.
    while len(key) - depth >= CHUNK_BYTES:
        record = txn.get(tree, prefix + key[depth : depth + CHUNK_BYTES])
        if record is None:
            return None
        tree, prefix, depth = Tree.LONG_KEYS, record[1:], depth + CHUNK_BYTES
    return Place(tree, prefix + key[depth:])


def make_place(txn: WriteTxn, key: bytes) -> Place:
    """Return the place of `key`, with all directories on the way to it made."""
    tree, prefix, depth = KEYS, b"", 0
    made = 0
    while len(key) - depth >= CHUNK_BYTES:
        chunk = prefix + key[depth : depth + CHUNK_BYTES]
        record = txn.get(tree, chunk)
        if record is None:
            # One that was made a moment ago is still empty, so that LONG_KEYS does not show it.
            made = made + 1 if made else _next_directory(txn)
            record = _DIRECTORY_RECORD.pack(DIRECTORY, made)
            txn.put(tree, chunk, record)
        tree, prefix, depth = Tree.LONG_KEYS, record[1:], depth + CHUNK_BYTES
    return Place(tree, prefix + key[depth:])


def get_head(txn: Reader, key: bytes) -> bytes | None:
    """Return the head of `key`, which may be a tombstone, or None."""
    if len(key) < CHUNK_BYTES:
        return txn.get(KEYS, key)
    place = find_place(txn, key)
    return None if place is None else txn.get(place.tree, place.key)


def put_head(txn: WriteTxn, key: bytes, head: bytes) -> None:
    """Store the head of `key`."""
    if len(key) < CHUNK_BYTES:
        txn.put(KEYS, key, head)
        return
    place = make_place(txn, key)
    txn.put(place.tree, place.key, head)


def delete_head(txn: WriteTxn, key: bytes) -> None:
    """Forget `key`, and the directories that held nothing else."""
    if len(key) < CHUNK_BYTES:
        txn.delete(KEYS, key)
        return
    path = []
    tree, prefix, depth = KEYS, b"", 0
    while len(key) - depth >= CHUNK_BYTES:
        place = Place(tree, prefix + key[depth : depth + CHUNK_BYTES])
        record = txn.get(*place)
        assert record is not None, "a stored key without its directory"
        tree, prefix, depth = Tree.LONG_KEYS, record[1:], depth + CHUNK_BYTES
        path.append((place, prefix))
    txn.delete(tree, prefix + key[depth:])
    for place, directory in reversed(path):
        if any(txn.scan(Tree.LONG_KEYS, directory, _directory_end(directory))):
            return
        txn.delete(*place)


def scan_heads(txn: Reader, start: bytes, end: bytes | None) -> Iterator[list[bytes]]:
    """Yield the heads, tombstones included, of the keys in [start, end), in order, in lists."""
    if txn.count(Tree.LONG_KEYS) == 0 and len(start) < CHUNK_BYTES:
        # Without long keys there are no directories: no record needs a look at its kind.
        yield from txn.scan_values(KEYS, start, end)
        return
    yield from _scan_directories(txn, start, end)


class _Level(NamedTuple):
    """A directory that a scan is in, and what bounds the scan there."""

    records: Iterator[tuple[bytes, bytes]]
    """What is left of it."""
    prefix_bytes: int
    depth: int
    """Where its part of the keys begins."""
    start: bytes
    """Of the whole range; empty once the way down has left it behind."""
    end: bytes | None
    """Likewise; None."""


def _scan_directories(txn: Reader, start: bytes, end: bytes | None) -> Iterator[list[bytes]]:
    # A stack of its own, because a key of a megabyte is thousands of directories deep.
    levels = [_open_level(txn, b"", 0, start, end)]
    found: list[bytes] = []
    while levels:
        level = levels[-1]
        for place, record in level.records:
            if record[0] == DIRECTORY:
                chunk = place[level.prefix_bytes :]
                below = slice(level.depth, level.depth + CHUNK_BYTES)
                start = level.start if level.start[below] == chunk else b""
                end = level.end if level.end is not None and level.end[below] == chunk else None
                levels.append(_open_level(txn, record[1:], below.stop, start, end))
                break
            found.append(record)
            if len(found) == SLICE:
                yield found
                found = []
        else:
            levels.pop()
    if found:
        yield found


def _open_level(txn: Reader, prefix: bytes, depth: int, start: bytes, end: bytes | None) -> _Level:
    below = slice(depth, depth + CHUNK_BYTES)
    if end is None:
        tree_end = _directory_end(prefix) if prefix else None
    elif len(end) <= below.stop:
        tree_end = prefix + end[below]
    else:
        # The chunk that leads to an end beyond it still holds keys of the range.
        tree_end = prefix + end[below] + b"\x00"
    tree = Tree.LONG_KEYS if prefix else KEYS
    return _Level(txn.scan(tree, prefix + start[below], tree_end), len(prefix), depth, start, end)


def address(txn: Reader, key: bytes) -> bytes:
    """Return bytes of bounded length that name the stored `key`, for as long as it is stored."""
    if len(key) < CHUNK_BYTES:
        return _SHORT + key
    place = find_place(txn, key)
    assert place is not None, "the address of a key that is not stored"
    return _LONG + place.key


def _next_directory(txn: Reader) -> int:
    for place, _record in txn.scan_back(Tree.LONG_KEYS):
        return int.from_bytes(place[:_DIRECTORY_BYTES]) + 1
    return _FIRST_DIRECTORY


def _directory_end(directory: bytes) -> bytes:
    return (int.from_bytes(directory) + 1).to_bytes(_DIRECTORY_BYTES)
