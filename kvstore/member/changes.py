"""Changes of who takes part: what each makes of a membership, and when etcd refuses it. Pure.

A member that is added as a voter begins as a *joining* learner: it is no part of any quorum until
it has caught up, and then the leader makes it a voter (Raft thesis §4.2.1). To clients it is a
voter from the start. So adding one that never starts costs a cluster nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from kvstore.base.errors import (
    MemberExists,
    MemberNotFound,
    MemberNotLearner,
    NotEnoughStartedMembers,
    PeerUrlExists,
    TooManyLearners,
    Unhealthy,
)
from kvstore.base.ids import MemberId
from kvstore.raft.consensus import Membership

HEALTH_INTERVAL_S = 5.0
"""A member counts as healthy once it has been connected for so long (etcd's HealthInterval)."""


class ChangeKind(IntEnum):
    """What is asked for; numbers travel between members."""

    ADD = 1
    REMOVE = 2
    UPDATE = 3
    PROMOTE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change, as a client asked for it; the id of a new member is chosen already."""

    kind: ChangeKind
    member: MemberId
    peer_urls: tuple[str, ...] = ()
    is_learner: bool = False


def shown_voters(membership: Membership) -> frozenset[MemberId]:
    """Return the voters as clients see them: those that are joining, too."""
    return membership.voters | membership.joining


def shown_learners(membership: Membership) -> frozenset[MemberId]:
    """Return the learners as clients see them."""
    return membership.learners - membership.joining


def changed(now: Membership, change: Change, *, learners_max: int) -> Membership:
    """Return what `change` makes of `now`, checked in etcd's order.

    Raises:
        RequestRefused: it does not fit.
    """
    member = change.member
    if member in now.removed:
        raise MemberNotFound
    if change.kind is ChangeKind.ADD:
        return _with_added(now, change, learners_max)
    if member not in now.members:
        raise MemberNotFound
    if change.kind is ChangeKind.REMOVE:
        return Membership(
            voters=now.voters - {member},
            learners=now.learners - {member},
            joining=now.joining - {member},
            removed=now.removed | {member},
            peer_urls={other: urls for other, urls in now.peer_urls.items() if other != member},
        )
    if change.kind is ChangeKind.UPDATE:
        others = {other: urls for other, urls in now.peer_urls.items() if other != member}
        _check_urls(others, change)
        return replace(now, peer_urls={**others, member: change.peer_urls})
    if member not in shown_learners(now):
        raise MemberNotLearner
    return with_voter(now, member)


def with_voter(now: Membership, learner: MemberId) -> Membership:
    """Return `now` with a learner as a voter."""
    return replace(
        now,
        voters=now.voters | {learner},
        learners=now.learners - {learner},
        joining=now.joining - {learner},
    )


def applied_changes(before: Membership, after: Membership) -> list[tuple[str, MemberId]]:
    """Return in words what one entry changed, for the log; the words are etcd's."""
    known = before.members
    changes = [("added member", member) for member in sorted(after.members - known)]
    changes += [("removed member", member) for member in sorted(known - after.members)]
    promoted = shown_learners(before) & after.voters
    changes += [("promote member", member) for member in sorted(promoted)]
    changes += [
        ("updated member", member)
        for member in sorted(known & after.members)
        if before.peer_urls.get(member) != after.peer_urls.get(member)
    ]
    return changes


def _with_added(now: Membership, change: Change, learners_max: int) -> Membership:
    if change.member in now.members:
        raise MemberExists
    _check_urls(now.peer_urls, change)
    if change.is_learner and len(shown_learners(now)) >= learners_max:
        raise TooManyLearners
    return replace(
        now,
        learners=now.learners | {change.member},
        joining=now.joining if change.is_learner else now.joining | {change.member},
        peer_urls={**now.peer_urls, change.member: change.peer_urls},
    )


def _check_urls(used: Mapping[MemberId, tuple[str, ...]], change: Change) -> None:
    taken = {url for urls in used.values() for url in urls}
    if not taken.isdisjoint(change.peer_urls):
        raise PeerUrlExists


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What one member knows of the others when it is asked for a change."""

    membership: Membership
    started: frozenset[MemberId]
    """Those that have published their attributes."""
    active: frozenset[MemberId]
    """This member, and those it is connected with."""
    healthy: frozenset[MemberId]
    """Those among them that have been so for `HEALTH_INTERVAL_S`."""


def check_quorum(change: Change, health: Health) -> None:
    """Refuse what could cost the cluster its quorum (etcd's --strict-reconfig-check).

    Raises:
        NotEnoughStartedMembers: the new configuration would have no quorum of started members.
        Unhealthy: members have not been connected for long enough.
    """
    membership = health.membership
    voters = shown_voters(membership)
    if change.kind is ChangeKind.ADD:
        if not change.is_learner and not _can_grow(len(voters & health.started), len(voters)):
            raise NotEnoughStartedMembers
        # etcd counts so since 3.6.16, learners included; before, every voter had to be healthy.
        if not _can_grow(len(voters & health.healthy), len(voters)):
            raise Unhealthy
    elif change.kind is ChangeKind.REMOVE and change.member not in shown_learners(membership):
        rest = voters - {change.member}
        if not rest or len(rest & health.started) < len(rest) // 2 + 1:
            raise NotEnoughStartedMembers
        if change.member not in health.active:
            return  # one that is down is no part of the quorum at work
        if len(voters & health.healthy) - 1 < (len(voters) - 1) // 2 + 1:
            raise Unhealthy
    elif change.kind is ChangeKind.PROMOTE and not _can_grow(
        len(voters & health.started) + 1, len(voters)
    ):
        raise NotEnoughStartedMembers


def _can_grow(counted: int, voters: int) -> bool:
    """Whether so many members are a quorum of one voter more; one member may always grow."""
    return (counted == 1 and voters == 1) or counted >= (voters + 1) // 2 + 1
