"""What engines say to each other, and its bytes. Nothing here is ever evaluated (no pickle).

A message is one byte of kind, then fixed little-endian fields; an `Append` ends with its entries.
The sender is known from the link. `term` is always the sender's current term: a receiver drops what
is of an older one, except as §"Rules for Servers" of the Raft paper (figure 2) demands.
"""

from collections.abc import Callable, Sequence
from struct import Struct, error
from typing import NamedTuple

from kvstore.base.errors import ProtocolError
from kvstore.base.ids import LogIndex, Term
from kvstore.raft.consensus import Entry, EntryKind
from kvstore.raft.membership import decode_membership


class Append(NamedTuple):
    """Entries that follow (`previous_index`, `previous_term`), or none: a heartbeat (Raft §5.3)."""

    term: Term
    commit: LogIndex
    sequence: int
    """Grows with each round of sending; a `Reject` echoes it."""
    previous_index: LogIndex
    previous_term: Term
    entries: Sequence[Entry]


class Contact(NamedTuple):
    """The leader is alive, but its log no longer reaches back to what the receiver has."""

    term: Term


class Ack(NamedTuple):
    """All up to `match_index` is durable at the sender and equal to this term's leader's log."""

    term: Term
    match_index: LogIndex


class Reject(NamedTuple):
    """The append with `echo` does not fit; send from `next_index` on."""

    term: Term
    echo: int
    next_index: LogIndex


class VoteRequest(NamedTuple):
    """Raft §5.2, §5.4.1."""

    term: Term
    last_index: LogIndex
    last_term: Term


class Vote(NamedTuple):
    """Granted; a refusal is silent."""

    term: Term


class PreVoteRequest(NamedTuple):
    """Would you vote for me in the term after `term`? (Raft thesis §9.6)."""

    term: Term
    last_index: LogIndex
    last_term: Term


class PreVote(NamedTuple):
    """The answer to a `PreVoteRequest` sent in term `asked`."""

    term: Term
    asked: Term
    granted: bool


class StaleTerm(NamedTuple):
    """Your message was of an older term than mine."""

    term: Term


class TimeoutNow(NamedTuple):
    """Campaign at once: leadership is handed to you (Raft thesis §3.10)."""

    term: Term


class ReadPing(NamedTuple):
    """Do you still follow me in this term? (Raft thesis §6.4)."""

    term: Term
    round: int


class ReadPong(NamedTuple):
    """Yes: the sender is in `term` as well."""

    term: Term
    round: int


class ReadRequest(NamedTuple):
    """A follower asks the leader for a read index."""

    term: Term
    request: int


class ReadReply(NamedTuple):
    """Apply up to `read_index`, then read."""

    term: Term
    request: int
    read_index: LogIndex


PeerMessage = (
    Append
    | Contact
    | Ack
    | Reject
    | VoteRequest
    | Vote
    | PreVoteRequest
    | PreVote
    | StaleTerm
    | TimeoutNow
    | ReadPing
    | ReadPong
    | ReadRequest
    | ReadReply
)

_APPEND_KIND = 1
_APPEND = Struct("<BQQQQQI")
_ENTRY = Struct("<QQBI")
_FIXED: dict[type[PeerMessage], tuple[int, Struct]] = {
    Contact: (2, Struct("<BQ")),
    Ack: (3, Struct("<BQQ")),
    Reject: (4, Struct("<BQQQ")),
    VoteRequest: (5, Struct("<BQQQ")),
    Vote: (6, Struct("<BQ")),
    PreVoteRequest: (7, Struct("<BQQQ")),
    PreVote: (8, Struct("<BQQ?")),
    StaleTerm: (9, Struct("<BQ")),
    TimeoutNow: (10, Struct("<BQ")),
    ReadPing: (11, Struct("<BQQ")),
    ReadPong: (12, Struct("<BQQ")),
    ReadRequest: (13, Struct("<BQQ")),
    ReadReply: (14, Struct("<BQQQ")),
}
_BY_KIND: dict[int, tuple[Callable[..., PeerMessage], Struct]] = {
    kind: (message_type, struct) for message_type, (kind, struct) in _FIXED.items()
}
_ENTRY_KINDS = {int(kind): kind for kind in EntryKind}


def encode(message: PeerMessage) -> bytes:
    """Return the bytes of `message`."""
    if isinstance(message, Append):
        return _encode_append(message)
    kind, struct = _FIXED[type(message)]
    return struct.pack(kind, *message)


def _encode_append(append: Append) -> bytes:
    term, commit, sequence, previous_index, previous_term, entries = append
    head = _APPEND.pack(
        _APPEND_KIND, term, commit, sequence, previous_index, previous_term, len(entries)
    )
    if not entries:
        return head
    parts = [head]
    for entry in entries:
        data = entry.data
        parts.append(_ENTRY.pack(entry.index, entry.term, entry.kind, len(data)))
        parts.append(data)
    return b"".join(parts)


def decode(data: bytes) -> PeerMessage:
    """Return the message that `data` encodes.

    Raises:
        ProtocolError: it is no such encoding.
    """
    if not data:
        raise ProtocolError("empty engine message")
    kind = data[0]
    try:
        if kind == _APPEND_KIND:
            return _decode_append(data)
        if kind not in _BY_KIND:
            raise ProtocolError(f"engine message of unknown kind {kind}")
        message_type, struct = _BY_KIND[kind]
        return message_type(*struct.unpack(data)[1:])
    except error as problem:
        raise ProtocolError(f"malformed engine message of kind {kind}: {problem}") from problem


def _decode_append(data: bytes) -> Append:
    _, term, commit, sequence, previous_index, previous_term, count = _APPEND.unpack_from(data)
    offset = _APPEND.size
    entries: list[Entry] = []
    index, least_term = previous_index, previous_term
    for _ in range(count):
        entry_index, entry_term, kind, length = _ENTRY.unpack_from(data, offset)
        offset += _ENTRY.size
        index += 1
        if entry_index != index or not least_term <= entry_term <= term:
            raise ProtocolError(f"entry ({entry_index}, term {entry_term}) out of order")
        if kind not in _ENTRY_KINDS:
            raise ProtocolError(f"entry of unknown kind {kind}")
        least_term = entry_term
        end = offset + length
        entry = Entry(entry_index, entry_term, _ENTRY_KINDS[kind], data[offset:end])
        if kind == EntryKind.MEMBERSHIP:
            decode_membership(entry.data)  # the log takes it as soon as the entry is in it
        entries.append(entry)
        offset = end
    if offset != len(data):
        raise ProtocolError("append of the wrong length")
    return Append(term, commit, sequence, previous_index, previous_term, entries)
