"""kvstore.member.changes: what each change makes of a membership, and what etcd refuses."""

import pytest

from kvstore.base.errors import (
    MemberExists,
    MemberNotFound,
    MemberNotLearner,
    NotEnoughStartedMembers,
    PeerUrlExists,
    RequestRefused,
    TooManyLearners,
    Unhealthy,
)
from kvstore.base.ids import MemberId
from kvstore.member.changes import Change, ChangeKind, Health, changed, check_quorum, shown_voters
from kvstore.raft.consensus import Membership
from kvstore.raft.membership import problem_with_change


def ids(digits: str) -> frozenset[MemberId]:
    return frozenset(MemberId(int(digit)) for digit in digits)


def members(voters: str, learners: str = "", joining: str = "", removed: str = "") -> Membership:
    return Membership(
        voters=ids(voters),
        learners=ids(learners + joining),
        joining=ids(joining),
        removed=ids(removed),
        peer_urls={member: (f"http://m{member}:1",) for member in ids(voters + learners + joining)},
    )


def add(member: int, url: str | None = None, *, is_learner: bool = False) -> Change:
    urls = (url or f"http://m{member}:1",)
    return Change(
        kind=ChangeKind.ADD, member=MemberId(member), peer_urls=urls, is_learner=is_learner
    )


def remove(member: int) -> Change:
    return Change(kind=ChangeKind.REMOVE, member=MemberId(member))


def update(member: int, url: str) -> Change:
    return Change(kind=ChangeKind.UPDATE, member=MemberId(member), peer_urls=(url,))


def promote(member: int) -> Change:
    return Change(kind=ChangeKind.PROMOTE, member=MemberId(member))


def test_a_new_voter_counts_for_no_quorum_before_it_has_caught_up() -> None:
    grown = changed(members("1"), add(2), learners_max=1)
    assert grown.voters == ids("1")
    assert shown_voters(grown) == ids("12")


@pytest.mark.parametrize(
    ("now", "change", "voters", "learners"),
    [
        (members("1"), add(2, is_learner=True), "1", "2"),
        (members("123"), remove(3), "12", ""),
        (members("12", learners="3"), remove(3), "12", ""),
        (members("1", joining="2"), remove(2), "1", ""),
        (members("12", learners="3"), promote(3), "123", ""),
        (members("12", learners="3"), update(3, "http://new:1"), "12", "3"),
    ],
)
def test_every_change_is_safe_in_one_step(
    now: Membership, change: Change, voters: str, learners: str
) -> None:
    after = changed(now, change, learners_max=1)
    assert (after.voters, after.learners) == (ids(voters), ids(learners))
    assert problem_with_change(now, after) is None
    assert after.peer_urls.keys() == after.members


def test_an_update_changes_the_urls_and_nothing_else() -> None:
    after = changed(members("12", learners="3"), update(3, "http://new:1"), learners_max=1)
    assert after.peer_urls[MemberId(3)] == ("http://new:1",)
    assert after.learners == ids("3")


@pytest.mark.parametrize(
    ("now", "change", "refusal"),
    [
        (members("12", removed="3"), add(3), MemberNotFound),
        (members("12"), add(2, "http://new:1"), MemberExists),
        (members("12"), add(3, "http://m1:1"), PeerUrlExists),
        (members("1", learners="2"), add(3, is_learner=True), TooManyLearners),
        (members("12"), remove(3), MemberNotFound),
        (members("12", removed="3"), remove(3), MemberNotFound),
        (members("12"), update(3, "http://new:1"), MemberNotFound),
        (members("12"), update(2, "http://m1:1"), PeerUrlExists),
        (members("12"), promote(3), MemberNotFound),
        (members("12"), promote(2), MemberNotLearner),
        (members("1", joining="2"), promote(2), MemberNotLearner),
    ],
)
def test_what_does_not_fit_is_refused_in_etcds_words(
    now: Membership, change: Change, refusal: type[RequestRefused]
) -> None:
    with pytest.raises(refusal):
        changed(now, change, learners_max=1)


def test_a_joining_member_is_no_learner_to_the_limit_of_learners() -> None:
    assert changed(members("1", joining="2"), add(3, is_learner=True), learners_max=1)


def health(now: Membership, *, started: str, healthy: str, active: str | None = None) -> Health:
    return Health(
        membership=now,
        started=ids(started),
        active=ids(healthy if active is None else active),
        healthy=ids(healthy),
    )


@pytest.mark.parametrize(
    ("now", "change", "started", "healthy"),
    [
        (members("1"), add(2), "1", "1"),
        (members("123"), add(4), "123", "123"),
        (members("123"), remove(3), "123", "123"),
        (members("123"), remove(3), "123", "12"),
        (members("1", joining="2"), remove(2), "1", "1"),
        (members("12", learners="3"), remove(3), "12", "1"),
        (members("1", learners="2"), promote(2), "12", "1"),
    ],
)
def test_changes_that_keep_a_quorum_pass(
    now: Membership, change: Change, started: str, healthy: str
) -> None:
    check_quorum(change, health(now, started=started, healthy=healthy))


@pytest.mark.parametrize(
    ("now", "change", "started", "healthy", "refusal"),
    [
        (members("1", joining="2"), add(3), "1", "1", NotEnoughStartedMembers),
        (members("123"), add(4), "123", "12", Unhealthy),
        (members("123"), add(4, is_learner=True), "123", "12", Unhealthy),
        (members("1"), remove(1), "1", "1", NotEnoughStartedMembers),
        (members("1", joining="2"), remove(1), "1", "1", NotEnoughStartedMembers),
        (members("123"), remove(2), "123", "12", Unhealthy),
    ],
)
def test_changes_that_could_cost_the_quorum_are_refused(
    now: Membership, change: Change, started: str, healthy: str, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        check_quorum(change, health(now, started=started, healthy=healthy))


@pytest.mark.parametrize(("voters", "healthy"), [("1234", "123"), ("12345", "1234")])
@pytest.mark.parametrize("is_learner", [False, True])
def test_a_member_may_be_added_while_a_quorum_of_one_more_is_healthy(
    voters: str, healthy: str, is_learner: bool
) -> None:
    now = members(voters)
    change = add(9, is_learner=is_learner)
    check_quorum(change, health(now, started=voters, healthy=healthy))
    with pytest.raises(Unhealthy):
        check_quorum(change, health(now, started=voters, healthy=healthy[:-2]))
