"""What the keyspace says about itself: how far it is applied, and who was a member then.

Written in the same transaction as the changes it speaks of, so a crash keeps both or neither.
"""

from dataclasses import dataclass
from struct import Struct

from kvstore.backend.backend import ReadTxn, WriteTxn
from kvstore.backend.schema import FORMAT_VERSION, Tree
from kvstore.base.errors import WrongDataDirectory
from kvstore.base.ids import LogIndex, Term

FIRST_INDEX = 1
"""Every log begins with an entry that changes nothing: a fresh keyspace has applied that one."""

_APPLIED = b"applied"
_MEMBERSHIP = b"membership"
_FORMAT = b"format"

_APPLIED_STRUCT = Struct(">QQ")
_FORMAT_STRUCT = Struct(">I")


@dataclass(frozen=True, slots=True)
class Applied:
    """The last log entry whose changes the keyspace holds."""

    index: LogIndex
    term: Term


def applied(txn: ReadTxn | WriteTxn) -> Applied:
    """Return how far this keyspace is applied."""
    stored = txn.get(Tree.META, _APPLIED)
    index, term = (FIRST_INDEX, 0) if stored is None else _APPLIED_STRUCT.unpack(stored)
    return Applied(LogIndex(index), Term(term))


def set_applied(txn: WriteTxn, upto: Applied) -> None:
    """Note that the changes up to there are in this transaction or before it."""
    txn.put(Tree.META, _APPLIED, _APPLIED_STRUCT.pack(upto.index, upto.term))


def membership(txn: ReadTxn | WriteTxn) -> bytes:
    """Return the encoded membership at the applied index; empty in a fresh keyspace."""
    return txn.get(Tree.META, _MEMBERSHIP) or b""


def set_membership(txn: WriteTxn, encoded: bytes) -> None:
    """Note the membership at the applied index."""
    txn.put(Tree.META, _MEMBERSHIP, encoded)


def check_format(txn: ReadTxn) -> None:
    """Refuse a keyspace of a format that this version does not know.

    Raises:
        WrongDataDirectory: it was written by another version.
    """
    stored = txn.get(Tree.META, _FORMAT)
    if stored is not None and _FORMAT_STRUCT.unpack(stored) != (FORMAT_VERSION,):
        raise WrongDataDirectory(
            f"keyspace has format {_FORMAT_STRUCT.unpack(stored)[0]}, "
            f"this version reads format {FORMAT_VERSION}"
        )


def set_format(txn: WriteTxn) -> None:
    """Stamp a new keyspace with the format in which it is written."""
    txn.put(Tree.META, _FORMAT, _FORMAT_STRUCT.pack(FORMAT_VERSION))
