"""The keyspace's own single values in the META tree: integers, and where a removal stands."""

import struct

from kvstore.backend.backend import Reader, WriteTxn
from kvstore.backend.schema import Tree

REVISION = b"revision"
COMPACT_REVISION = b"compact_revision"
REMOVED_REVISION = b"removed_revision"
"""The compact revision up to which physical removal is complete."""
REMOVAL = b"removal"
"""The removal under way: see `compaction`."""

_INTEGER = struct.Struct(">q")


def get(txn: Reader, name: bytes, default: int) -> int:
    """Return the integer `name`."""
    data = txn.get(Tree.META, name)
    if data is None:
        return default
    value: int = _INTEGER.unpack(data)[0]
    return value


def put(txn: WriteTxn, name: bytes, value: int) -> None:
    """Set the integer `name`."""
    txn.put(Tree.META, name, _INTEGER.pack(value))
