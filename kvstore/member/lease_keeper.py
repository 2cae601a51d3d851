"""Leases as a member serves them: deadlines are the leader's, so others ask it.

    request  := "q" id (u64) renew (u8) lease (i64)
    response := "a" id (u64) error (u8) remaining (i64) granted (i64)

A leader looks at a deadline only after a ReadIndex round that began later than the request: one
that was deposed in its sleep must neither renew nor revoke.
"""

from collections.abc import Callable
from struct import Struct

from kvstore.apply.command import OperationKind
from kvstore.base.errors import (
    NoLeader,
    NotPrimaryLessor,
    ProtocolError,
    ReadLeaderChanged,
    ReadTimedOut,
    RpcError,
    Stopped,
)
from kvstore.base.ids import LeaseId, MemberId
from kvstore.lease import TimeToLive
from kvstore.member.member import Member
from kvstore.raft.peer_session import Channel
from kvstore.wire.pb import rpc_pb2

_REQUEST = Struct("<cQBq")
_RESPONSE = Struct("<cQBqq")
_REQUEST_KIND = b"q"
_RESPONSE_KIND = b"a"
_EXPIRY_INTERVAL_S = 0.5
_GONE = TimeToLive(0, 0)

Answered = Callable[[TimeToLive | RpcError], None]
"""Called once: `TimeToLive(0, 0)` for a lease that is not there."""

_ERRORS: tuple[type[RpcError], ...] = (
    ReadTimedOut,
    NoLeader,
    NotPrimaryLessor,
    ReadLeaderChanged,
    Stopped,
)


class _Asked:
    """A question to a leader, or one that waits for a leader to be known."""

    __slots__ = ("answered", "deadline", "lease", "renew", "sent_to")

    def __init__(self, lease: LeaseId, answered: Answered, *, renew: bool, deadline: float) -> None:
        self.lease = lease
        self.answered = answered
        self.renew = renew
        self.deadline = deadline
        self.sent_to: MemberId | None = None


class LeaseKeeper:
    """Answers about deadlines, wherever they run, and the leader's expiry."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._asked: dict[int, _Asked] = {}
        self._next_id = 1
        self._expiry_due = 0.0
        self._expiry_under_way = False
        member.receivers[Channel.LEASE] = self._receive
        member.leadership_listeners.append(self._leadership_changed)
        member.applied_listeners.append(self._settle)

    def renew(self, lease: LeaseId, answered: Answered) -> None:
        """Start the TTL of `lease` again."""
        self._ask(lease, answered, renew=True)

    def time_to_live(self, lease: LeaseId, answered: Answered) -> None:
        """Look at what is left of `lease`."""
        self._ask(lease, answered, renew=False)

    def tick(self) -> None:
        """Ask again, give up what waited too long, and revoke what has expired."""
        now = self._member.clock.monotonic()
        for number, asked in list(self._asked.items()):
            if asked.deadline <= now:
                del self._asked[number]
                asked.answered(NoLeader() if asked.sent_to is None else ReadTimedOut())
                continue
            if asked.sent_to is not None and not self._member.links.is_linked(asked.sent_to):
                asked.sent_to = None  # the question or its answer is lost; asking twice is harmless
            if asked.sent_to is None:
                self._dispatch(number, asked)
        if now >= self._expiry_due:
            self._expiry_due = now + _EXPIRY_INTERVAL_S
            self._expire(now)

    # --- on any member

    def _ask(self, lease: LeaseId, answered: Answered, *, renew: bool) -> None:
        deadline = self._member.clock.monotonic() + self._member.config.request_timeout_s
        asked = _Asked(lease, answered, renew=renew, deadline=deadline)
        if self._member.is_leader:
            self._look(asked)
            return
        number = self._next_id
        self._next_id += 1
        self._asked[number] = asked
        self._dispatch(number, asked)

    def _dispatch(self, number: int, asked: _Asked) -> None:
        member = self._member
        if member.is_leader:
            del self._asked[number]
            self._look(asked)
            return
        leader = member.consensus.leader
        if leader is None or not member.links.is_linked(leader):
            return
        asked.sent_to = leader
        message = _REQUEST.pack(_REQUEST_KIND, number, asked.renew, asked.lease)
        member.links.send(leader, Channel.LEASE, message)

    def _leadership_changed(self, is_leader: bool) -> None:  # noqa: FBT001 - a listener's shape
        lessor, config = self._member.machine.lessor, self._member.config
        if is_leader:
            lessor.promote(self._member.clock.monotonic(), config.election_timeout_s)
        else:
            lessor.demote()
        for asked in self._asked.values():
            asked.sent_to = None  # looking and renewing twice does no harm

    def _settle(self) -> None:
        self._member.machine.lessor.settle(self._member.clock.monotonic())

    # --- on the leader

    def _look(self, asked: _Asked) -> None:
        """Answer from this member's deadlines, once a round has confirmed that it leads."""

        def confirmed(error: RpcError | None) -> None:
            if error is not None:
                asked.answered(error)
                return
            self._answer(asked)

        self._member.read(confirmed)

    def _answer(self, asked: _Asked) -> None:
        lessor, now = self._member.machine.lessor, self._member.clock.monotonic()
        if not lessor.is_primary:
            asked.answered(NotPrimaryLessor())
        elif asked.renew:

            def renewed(ttl_s: int | NotPrimaryLessor) -> None:
                if isinstance(ttl_s, NotPrimaryLessor):
                    asked.answered(ttl_s)
                else:
                    self._member.meters.leases_renewed += ttl_s > 0
                    asked.answered(TimeToLive(ttl_s, ttl_s))

            lessor.renew(asked.lease, now, renewed)
        else:
            asked.answered(lessor.time_to_live(asked.lease, now) or _GONE)

    def _expire(self, now: float) -> None:
        lessor = self._member.machine.lessor
        if self._expiry_under_way or not lessor.has_expired(now):
            return
        self._expiry_under_way = True

        def confirmed(error: RpcError | None) -> None:
            self._expiry_under_way = False
            if error is not None or not self._member.is_leader:
                return
            after = self._member.clock.monotonic()
            count_max = self._member.config.limits.entry_operations_max
            for lease in self._member.machine.lessor.expired(after, count_max):
                payload = rpc_pb2.LeaseRevokeRequest(ID=lease).SerializeToString()
                # Another leader may have renewed the lease by the time it would hear of this.
                self._member.propose(
                    OperationKind.LEASE_EXPIRE, payload, lambda _: None, is_leaders=True
                )

        self._member.read(confirmed)

    # --- between members

    def _receive(self, sender: MemberId, message: bytes) -> None:
        if message[:1] == _REQUEST_KIND and len(message) == _REQUEST.size:
            _, number, renew, lease = _REQUEST.unpack(message)
            self._serve(sender, number, LeaseId(lease), renew=bool(renew))
        elif message[:1] == _RESPONSE_KIND and len(message) == _RESPONSE.size:
            _, number, error, remaining, granted = _RESPONSE.unpack(message)
            if error > len(_ERRORS):
                raise ProtocolError(f"unknown error {error} on the lease channel")
            self._answered(sender, number, error, TimeToLive(remaining, granted))
        else:
            raise ProtocolError("unknown message on the lease channel")

    def _serve(self, sender: MemberId, number: int, lease: LeaseId, *, renew: bool) -> None:
        def answered(answer: TimeToLive | RpcError) -> None:
            error, found = 0, _GONE
            if isinstance(answer, RpcError):
                known = (i for i, kind in enumerate(_ERRORS, 1) if isinstance(answer, kind))
                error = next(known, 1)
            else:
                found = answer
            message = _RESPONSE.pack(_RESPONSE_KIND, number, error, *found)
            self._member.links.send(sender, Channel.LEASE, message)

        if not self._member.is_leader:
            answered(NotPrimaryLessor())
            return
        self._look(_Asked(lease, answered, renew=renew, deadline=0.0))

    def _answered(self, sender: MemberId, number: int, error: int, found: TimeToLive) -> None:
        asked = self._asked.get(number)
        if asked is None or asked.sent_to != sender:
            return
        if error and _ERRORS[error - 1] in (NotPrimaryLessor, ReadLeaderChanged):
            asked.sent_to = None  # the leader is another one by now; ask it in the next tick
            return
        del self._asked[number]
        asked.answered(_ERRORS[error - 1]() if error else found)
