"""Changing who takes part: any member is asked, the leader decides, one change after the other.

    request  := "q" number (u64) kind (u8) learner (u8) member (u64) urls (u8) (length (u16) url)*
    response := "a" number (u64) error (u8) index (u64)

A change that the leader refused as not being the leader was in no log, and is sent to the next one.
The member that was asked answers its client once it has applied the change itself.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct, error

from kvstore.base.errors import (
    BadLeaderTransferee,
    LearnerNotReady,
    MemberExists,
    MemberNotFound,
    MemberNotLearner,
    NoLeader,
    NotEnoughStartedMembers,
    NotLeader,
    PeerUrlExists,
    ProposalConnectionLost,
    ProposalLeaderLost,
    ProposalTimedOut,
    ProtocolError,
    RequestRefused,
    RpcError,
    Stopped,
    TooManyLearners,
    TooManyRequests,
    Unhealthy,
)
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.member.changes import (
    HEALTH_INTERVAL_S,
    Change,
    ChangeKind,
    Health,
    changed,
    check_quorum,
    with_voter,
)
from kvstore.member.member import Member
from kvstore.raft.consensus import Membership
from kvstore.raft.peer_session import Channel

logger = logging.getLogger(__name__)

_REQUEST = Struct("<cQBBQB")
_URL = Struct("<H")
_RESPONSE = Struct("<cQBQ")
_REQUEST_KIND, _RESPONSE_KIND = b"q", b"a"
_QUEUED_MAX = 64
_READY = 0.9
"""A learner may be promoted once it holds this part of the leader's log (etcd's rule)."""

Done = Callable[[RpcError | None], None]
"""Called once: None when the change is in force and applied here."""

_ERRORS: tuple[type[RpcError], ...] = (
    NotLeader,
    ProposalTimedOut,
    ProposalLeaderLost,
    Stopped,
    TooManyRequests,
    MemberNotFound,
    MemberExists,
    PeerUrlExists,
    NotEnoughStartedMembers,
    MemberNotLearner,
    LearnerNotReady,
    TooManyLearners,
    Unhealthy,
)
"""By number, from 1; only ever extended."""


@dataclass(slots=True)
class _Asked:
    """A change that a client of this member asked for."""

    change: Change
    done: Done
    deadline: float
    sent_to: MemberId | None = None
    index: LogIndex | None = None
    """Where it stands in the log, once the leader has said so."""


@dataclass(slots=True)
class _Queued:
    """A change on the leader; `answer` is called once, with its index or what refuses it."""

    change: Change
    answer: Callable[[LogIndex | RpcError], None]
    deadline: float


@dataclass(slots=True)
class _UnderWay:
    queued: _Queued
    index: LogIndex
    term: Term


@dataclass(slots=True)
class _Round:
    """One round of catching up: whoever takes less than an election timeout is up to date."""

    target: LogIndex
    began_at: float


class Reconfiguration:
    """One member's part in the changes of its cluster."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._asked: dict[int, _Asked] = {}
        self._next_number = 1
        self._queue: deque[_Queued] = deque()
        self._under_way: _UnderWay | None = None
        self._rounds: dict[MemberId, _Round] = {}
        member.receivers[Channel.CLUSTER] = self._receive
        member.leadership_listeners.append(self._leadership_changed)
        member.applied_listeners.append(self._applied)
        member.removal_listeners.append(self._removed)

    def change(self, change: Change, done: Done) -> None:
        """Carry out `change`, unless it would endanger the quorum.

        Raises:
            RequestRefused: it would, or does not fit.
            Unavailable: not now.
        """
        member, config = self._member, self._member.config
        if member.failure is not None:
            raise Stopped
        if config.strict_reconfiguration and change.kind is not ChangeKind.PROMOTE:
            check_quorum(change, self._health())
        if len(self._asked) >= _QUEUED_MAX:
            raise TooManyRequests
        number, self._next_number = self._next_number, self._next_number + 1
        deadline = member.clock.monotonic() + config.request_timeout_s
        self._asked[number] = _Asked(change, done, deadline)
        self._dispatch(number)

    def tick(self) -> None:
        """Send again what was certainly not done, give up what waits too long, go on."""
        now = self._member.clock.monotonic()
        for number, asked in list(self._asked.items()):
            if asked.deadline <= now:
                self._finish(number, NoLeader() if asked.sent_to is None else ProposalTimedOut())
            elif asked.sent_to is None:
                self._dispatch(number)
            elif asked.index is None and not self._reaches(asked.sent_to):
                self._finish(number, ProposalConnectionLost())
        while self._queue and self._queue[0].deadline <= now:
            self._queue.popleft().answer(NotLeader())
        self._advance()
        self._promote_joined(now)

    # --- the member that was asked

    def _health(self) -> Health:
        member = self._member
        now = member.clock.monotonic()
        healthy = {
            other
            for other, since in member.linked_since.items()
            if now - since >= HEALTH_INTERVAL_S
        }
        return Health(
            membership=member.consensus.membership,
            started=frozenset(member.machine.attributes),
            active=frozenset(member.linked_since) | {member.id},
            healthy=frozenset(healthy) | {member.id},
        )

    def _reaches(self, other: MemberId) -> bool:
        return other == self._member.id or self._member.links.is_linked(other)

    def _dispatch(self, number: int) -> None:
        member, asked = self._member, self._asked[number]
        leader = member.consensus.leader
        if leader is None or not self._reaches(leader):
            return
        asked.sent_to = leader
        if leader == member.id:
            self._enqueue(asked.change, lambda answer: self._answered(number, answer))
        else:
            member.links.send(leader, Channel.CLUSTER, _encode(number, asked.change))

    def _answered(self, number: int, answer: LogIndex | RpcError) -> None:
        asked = self._asked.get(number)
        if asked is None:
            return
        if isinstance(answer, NotLeader):
            asked.sent_to = None  # in no log; the next tick asks whoever leads then
        elif isinstance(answer, RpcError):
            self._finish(number, answer)
        else:
            asked.index = answer
            self._applied()

    def _applied(self) -> None:
        applied = self._member.machine.applied.index
        for number, asked in list(self._asked.items()):
            if asked.index is not None and asked.index <= applied:
                self._finish(number, None)
        under_way = self._under_way
        if under_way is not None and under_way.index <= applied:
            self._under_way = None
            under_way.queued.answer(under_way.index)
            self._member.schedule_turn()

    def _removed(self) -> None:
        """This member has applied its own removal: that much of it is known."""
        for number, asked in list(self._asked.items()):
            if asked.change.kind is ChangeKind.REMOVE and asked.change.member == self._member.id:
                self._finish(number, None)

    def _finish(self, number: int, error: RpcError | None) -> None:
        self._asked.pop(number).done(error)

    # --- the leader

    def _leadership_changed(self, is_leader: bool) -> None:  # noqa: FBT001 - a listener's shape
        del is_leader
        self._rounds.clear()
        queue, self._queue = self._queue, deque()
        under_way = self._under_way
        if under_way is not None and under_way.term != self._member.consensus.term:
            self._under_way = None
            under_way.queued.answer(ProposalLeaderLost())
        for queued in queue:
            queued.answer(NotLeader())

    def _enqueue(self, change: Change, answer: Callable[[LogIndex | RpcError], None]) -> None:
        if not self._member.is_leader:
            answer(NotLeader())
        elif len(self._queue) >= _QUEUED_MAX:
            answer(TooManyRequests())
        else:
            deadline = self._member.clock.monotonic() + self._member.config.request_timeout_s
            self._queue.append(_Queued(change, answer, deadline))
            self._advance()

    def _advance(self) -> None:
        """Propose the next change, once the one before is applied."""
        consensus = self._member.consensus
        while (
            self._queue
            and self._under_way is None
            and self._member.is_leader
            and not consensus.is_transferring
        ):
            queued = self._queue[0]
            try:
                index = consensus.propose_membership(self._wanted(queued.change))
            except TooManyRequests:
                return  # the change before, or this leadership's first entry, is not committed yet
            except (NotLeader, BadLeaderTransferee):
                # A leader hands over before it is removed: the next one will do it.
                self._queue.popleft().answer(NotLeader())
            except RequestRefused as refusal:
                self._queue.popleft().answer(refusal)
            except ValueError as problem:
                logger.warning("unsafe change of the members", extra={"why": str(problem)})
                self._queue.popleft().answer(NotEnoughStartedMembers())
            else:
                self._queue.popleft()
                self._under_way = _UnderWay(queued, index, consensus.term)
                self._member.schedule_turn()

    def _wanted(self, change: Change) -> Membership:
        member = self._member
        membership = member.consensus.membership
        wanted = changed(membership, change, learners_max=member.config.learners_max)
        if change.kind is ChangeKind.PROMOTE:
            match = member.consensus.match_index(change.member)
            if match < _READY * member.consensus.match_index(member.id):
                raise LearnerNotReady
            if member.config.strict_reconfiguration:
                check_quorum(change, self._health())
        return wanted

    def _promote_joined(self, now: float) -> None:
        """Make a joining member a voter once a round of catching up was short."""
        member, consensus = self._member, self._member.consensus
        membership = consensus.membership
        if not (membership.joining and member.is_leader) or self._under_way is not None:
            return
        for joining in sorted(membership.joining):
            if not member.links.is_linked(joining):
                self._rounds.pop(joining, None)
                continue
            caught_up = self._rounds.setdefault(joining, _Round(consensus.commit_index, now))
            if consensus.match_index(joining) < caught_up.target:
                continue
            self._rounds[joining] = _Round(consensus.commit_index, now)
            if now - caught_up.began_at < member.config.election_timeout_s:
                self._promote(joining, membership)
                return

    def _promote(self, joining: MemberId, membership: Membership) -> None:
        member = self._member
        try:
            member.consensus.propose_membership(with_voter(membership, joining))
        except (TooManyRequests, NotLeader):
            return  # another tick will do
        logger.info("a new voter has caught up", extra={"member": f"{joining:x}"})
        member.schedule_turn()

    # --- between members

    def _receive(self, sender: MemberId, message: bytes) -> None:
        if message[:1] == _REQUEST_KIND:
            number, change = _decode(message)
            self._enqueue(change, lambda answer: self._reply(sender, number, answer))
        elif message[:1] == _RESPONSE_KIND and len(message) == _RESPONSE.size:
            _, number, code, index = _RESPONSE.unpack(message)
            asked = self._asked.get(number)
            if code > len(_ERRORS):
                raise ProtocolError(f"unknown error {code} on the cluster channel")
            if asked is not None and asked.sent_to == sender:
                self._answered(number, _ERRORS[code - 1]() if code else LogIndex(index))
        else:
            raise ProtocolError("unknown message on the cluster channel")

    def _reply(self, to: MemberId, number: int, answer: LogIndex | RpcError) -> None:
        code, index = 0, 0
        if isinstance(answer, RpcError):
            code = next(n for n, kind in enumerate(_ERRORS, 1) if isinstance(answer, kind))
        else:
            index = answer
        message = _RESPONSE.pack(_RESPONSE_KIND, number, code, index)
        self._member.links.send(to, Channel.CLUSTER, message)


def _encode(number: int, change: Change) -> bytes:
    parts = [
        _REQUEST.pack(
            _REQUEST_KIND,
            number,
            change.kind,
            change.is_learner,
            change.member,
            len(change.peer_urls),
        )
    ]
    for url in change.peer_urls:
        encoded = url.encode()
        parts.append(_URL.pack(len(encoded)) + encoded)
    return b"".join(parts)


def _decode(message: bytes) -> tuple[int, Change]:
    try:
        _, number, kind, is_learner, member, count = _REQUEST.unpack_from(message)
        at, urls = _REQUEST.size, []
        for _ in range(count):
            (length,) = _URL.unpack_from(message, at)
            at += _URL.size
            urls.append(message[at : at + length].decode())
            at += length
        change = Change(
            kind=ChangeKind(kind),
            member=MemberId(member),
            peer_urls=tuple(urls),
            is_learner=bool(is_learner),
        )
    except (error, ValueError) as problem:
        raise ProtocolError(f"malformed change of the members: {problem}") from problem
    if at != len(message):
        raise ProtocolError("malformed change of the members: another length than it says")
    return number, change
