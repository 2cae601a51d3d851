"""kvstore.raft.peer_message: there and back, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvstore.base.errors import ProtocolError
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.raft import peer_message as wire
from kvstore.raft.consensus import Entry, EntryKind, Membership
from kvstore.raft.membership import encode_membership

numbers = st.integers(0, 2**64 - 1)

FIXED = [
    wire.Contact,
    wire.Ack,
    wire.Reject,
    wire.VoteRequest,
    wire.Vote,
    wire.PreVoteRequest,
    wire.StaleTerm,
    wire.TimeoutNow,
    wire.ReadPing,
    wire.ReadPong,
    wire.ReadRequest,
    wire.ReadReply,
]


@given(st.data(), st.sampled_from(FIXED))
def test_a_message_of_fixed_size_survives(
    data: st.DataObject, kind: type[wire.PeerMessage]
) -> None:
    fields = len(kind._fields)
    message = kind(*data.draw(st.tuples(*[numbers] * fields)))
    assert wire.decode(wire.encode(message)) == message


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=50)), max_size=5))
def test_an_append_survives(parts: list[tuple[int, bytes]]) -> None:
    entries, term = [], 4
    for position, (step, data) in enumerate(parts):
        term += step
        entries.append(Entry(LogIndex(8 + position), Term(term), EntryKind.COMMAND, data))
    append = wire.Append(Term(term), LogIndex(3), 99, LogIndex(7), Term(4), entries)
    assert wire.decode(wire.encode(append)) == append


@given(st.binary(max_size=80))
def test_any_bytes_are_a_message_or_a_protocol_error(data: bytes) -> None:
    try:
        message = wire.decode(data)
    except ProtocolError:
        return
    assert wire.encode(message) == data


def test_every_prefix_of_a_message_is_refused() -> None:
    membership = encode_membership(Membership(voters=frozenset({MemberId(5)})))
    entries = [
        Entry(LogIndex(3), Term(2), EntryKind.COMMAND, b"command"),
        Entry(LogIndex(4), Term(2), EntryKind.MEMBERSHIP, membership),
    ]
    data = wire.encode(wire.Append(Term(2), LogIndex(1), 1, LogIndex(2), Term(1), entries))
    assert wire.decode(data)
    for length in range(len(data)):
        with pytest.raises(ProtocolError):
            wire.decode(data[:length])


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([Entry(LogIndex(4), Term(1), EntryKind.COMMAND, b"")], "out of order"),
        ([Entry(LogIndex(3), Term(9), EntryKind.COMMAND, b"")], "out of order"),
        ([Entry(LogIndex(3), Term(0), EntryKind.COMMAND, b"")], "out of order"),
        ([Entry(LogIndex(3), Term(1), EntryKind.MEMBERSHIP, b"\x09")], "membership"),
    ],
    ids=["gap", "term of the future", "term going back", "no membership"],
)
def test_an_append_that_no_leader_can_send_is_refused(entries: list[Entry], says: str) -> None:
    append = wire.Append(Term(2), LogIndex(1), 1, LogIndex(2), Term(1), entries)
    with pytest.raises(ProtocolError, match=says):
        wire.decode(wire.encode(append))
