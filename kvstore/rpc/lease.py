"""The Lease service (rpc.proto Lease): what is decided here, and what the member does for it."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from google.protobuf.message import DecodeError

from kvstore.base.entropy import Entropy
from kvstore.base.errors import LeaseNotFound, LeaseTtlTooLarge, RpcError, TooManyRequests
from kvstore.base.ids import LeaseId
from kvstore.lease import TTL_MAX_S, TimeToLive
from kvstore.rpc.access import Caller
from kvstore.rpc.call import Method, StreamCall, StreamHandler, UnaryCall
from kvstore.rpc.pipeline import Pipeline, malformed
from kvstore.rpc.stream_guard import StreamGuard
from kvstore.wire.pb import rpc_pb2
from kvstore.wire.protobuf import message_field, varint_field

_ID_BITS = 63
_RENEWALS_PENDING_MAX = 4096
"""Renewals of one stream that may wait for their answers."""


class LeaseLife(NamedTuple):
    """What TimeToLive answers about a lease that lives."""

    time: TimeToLive
    keys: Sequence[bytes]
    """Empty unless asked for."""


class LeaseOperations(Protocol):
    """What the member does for one caller of this service.

    Each `done` is called once, now or in a later turn.
    """

    @property
    def revision(self) -> int:
        """The current store revision."""
        ...

    def propose_grant(
        self, lease_id: LeaseId, ttl_s: int, done: Callable[[int | RpcError], None]
    ) -> None:
        """Grant through the log; the id and TTL are final. `done` gets the store revision."""
        ...

    def propose_revoke(self, lease_id: LeaseId, done: Callable[[int | RpcError], None]) -> None:
        """Revoke through the log. `done` gets the store revision, or e.g. LeaseNotFound."""
        ...

    def renew(self, lease_id: LeaseId, done: Callable[[int | RpcError], None]) -> None:
        """Renew at the leader, wherever that is. `done` gets the TTL, 0 if the lease is gone."""
        ...

    def time_to_live(
        self, lease_id: LeaseId, done: Callable[[LeaseLife | RpcError | None], None], *, keys: bool
    ) -> None:
        """Ask the leader. `done` gets None for a lease that is unknown or expired."""
        ...

    def leases(self) -> Sequence[LeaseId]:
        """Return the leases known here, the first to expire in front.

        Raises:
            RequestRefused: the caller may not see them.
        """
        ...


class LeaseService:
    """The handlers of `/etcdserverpb.Lease/*`.

    `operations_for` returns what may be done for a caller, `header` the header field of a response;
    `ttl_min_s` is `lease.minimum_ttl_s` of the election timeout. Ids and TTLs are settled here,
    before the log, so that members agree on them.
    """

    def __init__(  # noqa: PLR0913 - each is one of its collaborators
        self,
        operations_for: Callable[[Caller], LeaseOperations],
        header: Callable[[int], bytes],
        pipeline: Pipeline,
        guard: StreamGuard,
        entropy: Entropy,
        *,
        ttl_min_s: int,
    ) -> None:
        self._operations_for = operations_for
        self._header = header
        self._pipeline = pipeline
        self._guard = guard
        self._entropy = entropy
        self._ttl_min_s = ttl_min_s

    def methods(self) -> dict[str, Method]:
        """Return the routes of this service."""
        prefix = "/etcdserverpb.Lease/Lease"
        unary = self._pipeline.unary
        return {
            prefix + "Grant": unary(self._grant),
            prefix + "Revoke": unary(self._revoke),
            prefix + "KeepAlive": self._pipeline.stream(self._keep_alive),
            prefix + "TimeToLive": unary(self._time_to_live),
            prefix + "Leases": unary(self._leases),
        }

    def _grant(self, call: UnaryCall, raw: bytes) -> None:
        """Draw an id if none is asked for, and raise the TTL to the minimum."""
        try:
            request = rpc_pb2.LeaseGrantRequest.FromString(raw)
        except DecodeError as error:
            raise malformed(error) from error
        if request.TTL > TTL_MAX_S:
            raise LeaseTtlTooLarge
        lease_id = LeaseId(request.ID or self._entropy.bits(_ID_BITS) or 1)
        ttl_s = max(request.TTL, self._ttl_min_s)

        def done(outcome: int | RpcError) -> None:
            if isinstance(outcome, RpcError):
                call.fail(outcome.code, outcome.message)
            else:
                call.reply(self._header(outcome) + _id_and_ttl(lease_id, ttl_s))

        self._operations_for(call).propose_grant(lease_id, ttl_s, done)

    def _revoke(self, call: UnaryCall, raw: bytes) -> None:
        try:
            request = rpc_pb2.LeaseRevokeRequest.FromString(raw)
        except DecodeError as error:
            raise malformed(error) from error

        def done(outcome: int | RpcError) -> None:
            if isinstance(outcome, RpcError):
                call.fail(outcome.code, outcome.message)
            else:
                call.reply(self._header(outcome))

        self._operations_for(call).propose_revoke(LeaseId(request.ID), done)

    def _keep_alive(self, call: StreamCall) -> StreamHandler:
        return _KeepAliveHandler(call, self._operations_for(call), self._header, self._guard)

    def _time_to_live(self, call: UnaryCall, raw: bytes) -> None:
        """An unknown or expired lease is no error: its TTL is -1."""
        try:
            request = rpc_pb2.LeaseTimeToLiveRequest.FromString(raw)
        except DecodeError as error:
            raise malformed(error) from error
        operations = self._operations_for(call)

        def done(outcome: LeaseLife | RpcError | None) -> None:
            if isinstance(outcome, RpcError):
                call.fail(outcome.code, outcome.message)
                return
            head = self._header(operations.revision)
            if outcome is None:
                call.reply(head + _id_and_ttl(request.ID, -1))
                return
            time = outcome.time
            call.reply(
                head
                + _id_and_ttl(request.ID, time.remaining_s)
                + varint_field(4, time.granted_s)
                + b"".join(message_field(5, key) for key in outcome.keys)
            )

        operations.time_to_live(LeaseId(request.ID), done, keys=request.keys)

    def _leases(self, call: UnaryCall, raw: bytes) -> None:
        """Answer from what this member has applied."""
        try:
            rpc_pb2.LeaseLeasesRequest.FromString(raw)
        except DecodeError as error:
            raise malformed(error) from error
        operations = self._operations_for(call)
        statuses = [message_field(2, varint_field(1, lease_id)) for lease_id in operations.leases()]
        call.reply(self._header(operations.revision) + b"".join(statuses))


class _Renewal:
    """A request of a keep-alive stream: `response` is None while it waits for its answer."""

    __slots__ = ("head", "response")

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.response: bytes | None = None


class _KeepAliveHandler:
    """One LeaseKeepAlive stream: renewals run side by side and are answered in request order."""

    def __init__(
        self,
        call: StreamCall,
        operations: LeaseOperations,
        header: Callable[[int], bytes],
        guard: StreamGuard,
    ) -> None:
        self._call = call
        self._operations = operations
        self._header = header
        self._pending: deque[_Renewal] = deque()
        self._is_open = True
        self._is_half_closed = False
        self._release: Callable[[], None] | None = None
        release = guard(call, self._end)
        if self._is_open:
            self._release = release
        else:
            release()

    def message_received(self, message: bytes) -> None:
        if not self._is_open:
            return
        try:
            request = rpc_pb2.LeaseKeepAliveRequest.FromString(message)
        except DecodeError as error:
            self._end(malformed(error))
            return
        if len(self._pending) >= _RENEWALS_PENDING_MAX:
            self._end(TooManyRequests())
            return
        lease_id = LeaseId(request.ID)
        # The revision is that of before the renewal: a lease revoked at revision 3 must not be
        # seen renewed at 4.
        renewal = _Renewal(self._header(self._operations.revision))
        self._pending.append(renewal)

        def done(outcome: int | RpcError) -> None:
            if isinstance(outcome, LeaseNotFound):
                outcome = 0
            if isinstance(outcome, RpcError):
                self._end(outcome)
                return
            renewal.response = renewal.head + _id_and_ttl(lease_id, outcome)
            self._send_answered()

        self._operations.renew(lease_id, done)

    def half_closed(self) -> None:
        self._is_half_closed = True
        self._send_answered()

    def drained(self) -> None:
        pass

    def closed(self) -> None:
        self._close()

    def _send_answered(self) -> None:
        if not self._is_open:
            return
        pending = self._pending
        while pending and (response := pending[0].response) is not None:
            pending.popleft()
            self._call.send(response)
        if self._is_half_closed and not pending:
            self._close()
            self._call.finish()

    def _end(self, error: RpcError) -> None:
        if self._is_open:
            self._close()
            self._call.finish(error.code, error.message)

    def _close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._pending.clear()
        if self._release is not None:
            self._release()
            self._release = None


def _id_and_ttl(lease_id: int, ttl_s: int) -> bytes:
    return varint_field(2, lease_id) + varint_field(3, ttl_s)
