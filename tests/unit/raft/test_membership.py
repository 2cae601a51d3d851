"""kvstore.raft.membership: bytes, and which changes are safe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvstore.base.errors import ProtocolError
from kvstore.base.ids import MemberId
from kvstore.raft.consensus import Membership
from kvstore.raft.membership import decode_membership, encode_membership, problem_with_change

ids = st.frozensets(st.integers(1, 2**64 - 1).map(MemberId), max_size=5)
memberships = st.builds(
    Membership,
    voters=ids,
    learners=ids,
    removed=ids,
    peer_urls=st.dictionaries(
        st.integers(1, 2**64 - 1).map(MemberId),
        st.lists(st.text(max_size=20), max_size=3).map(tuple),
        max_size=4,
    ),
)


def of(voters: str, learners: str = "", removed: str = "") -> Membership:
    return Membership(
        voters=frozenset(MemberId(int(digit)) for digit in voters),
        learners=frozenset(MemberId(int(digit)) for digit in learners),
        removed=frozenset(MemberId(int(digit)) for digit in removed),
    )


@given(memberships)
def test_a_membership_survives(membership: Membership) -> None:
    assert decode_membership(encode_membership(membership)) == membership


@given(st.binary(max_size=60))
def test_any_bytes_are_a_membership_or_a_protocol_error(data: bytes) -> None:
    try:
        decode_membership(data)
    except ProtocolError:
        return


@pytest.mark.parametrize(
    "new", [of("1234"), of("123", "4"), of("12", removed="3"), of("123")], ids=str
)
def test_a_change_of_one_voter_or_of_learners_is_safe(new: Membership) -> None:
    assert problem_with_change(of("123"), new) is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (of("1"), of("", removed="1"), "no voter"),
        (of("123"), of("1", removed="23"), "more than one"),
        (of("123"), of("12345"), "more than one"),
        (of("123"), of("124", removed="3"), "more than one"),
        (of("12", removed="3"), of("123", removed="3"), "come back"),
        (of("12", removed="3"), of("123"), "come back"),
        (of("123"), of("12"), "listed as removed"),
        (of("12", "3"), of("123", "3"), "both"),
    ],
)
def test_an_unsafe_change_is_named(old: Membership, new: Membership, says: str) -> None:
    problem = problem_with_change(old, new)
    assert problem is not None
    assert says in problem
