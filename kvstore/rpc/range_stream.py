"""KV/RangeStream: a range of any size in bounded messages, all at one revision (etcd 3.7).

Messages hold keys only; the last one says header, count and whether there is more. A receiver that
merges them has the answer that Range would have given.
"""

from kvstore.apply.reply import range_body, range_kvs
from kvstore.apply.requests import range_query
from kvstore.base.errors import RpcError, Stopped, Unimplemented
from kvstore.base.limits import MIB
from kvstore.member import Member
from kvstore.mvcc import RangeQuery, RangeResult, RangeSlices, ReadView
from kvstore.rpc import kv_checks
from kvstore.rpc.access import AccessControl
from kvstore.rpc.call import Method, StreamCall, StreamHandler
from kvstore.rpc.header import ResponseHeaders
from kvstore.rpc.pipeline import Pipeline
from kvstore.wire.protobuf import message_field

_FIRST_KEYS = 10
"""In the first message, so that it comes soon."""
_UNSENT_BYTES_MAX = 2 * MIB
_DRAIN_LOOK_S = 0.01


class RangeStreamService:
    """Opens the streams of `/etcdserverpb.KV/RangeStream`."""

    def __init__(
        self, member: Member, headers: ResponseHeaders, pipeline: Pipeline, access: AccessControl
    ) -> None:
        self._member = member
        self._headers = headers
        self._pipeline = pipeline
        self._access = access

    def methods(self) -> dict[str, Method]:
        """Return the routes of this service."""
        return {"/etcdserverpb.KV/RangeStream": self._pipeline.stream(self._open)}

    def _open(self, call: StreamCall) -> StreamHandler:
        return _RangeStream(call, self._member, self._headers, self._pipeline, self._access)


class _RangeStream:
    """One stream; it holds its view until its end."""

    def __init__(
        self,
        call: StreamCall,
        member: Member,
        headers: ResponseHeaders,
        pipeline: Pipeline,
        access: AccessControl,
    ) -> None:
        self._call = call
        self._member = member
        self._headers = headers
        self._pipeline = pipeline
        self._access = access
        self._query: RangeQuery | None = None
        self._view: ReadView | None = None
        self._slices: RangeSlices | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._has_sent = False
        self._is_over = False
        self._chunk_bytes = member.config.limits.request_bytes_max // 2

    def message_received(self, message: bytes) -> None:
        """Check the request, and wait for what makes the read linearizable."""
        if self._query is not None or self._is_over:
            return
        try:
            self._pipeline.check(self._call.metadata)
            request = kv_checks.parse_range(message)
            if request.sort_order or request.sort_target:
                raise Unimplemented("RangeStream does not support custom sort orders")
            self._query = query = range_query(request)
            if query.has_filters:
                raise Unimplemented("RangeStream does not support revision filters")
        except RpcError as refusal:
            self._fail(refusal)
            return
        if request.serializable:
            self._begin(None)
        else:
            self._member.read(self._begin)

    def half_closed(self) -> None:
        """The request is whole: there is nothing more to come."""

    def drained(self) -> None:
        """The next step looks for itself."""

    def closed(self) -> None:
        """The client is gone."""
        self._end()

    def _begin(self, error: RpcError | None) -> None:
        if self._is_over:
            return
        assert self._query is not None
        try:
            if error is not None:
                raise error
            self._access.check_range(self._call, self._query.keys)
            self._view = self._member.machine.store.view()
            self._member.long_reads += 1
            self._slices = self._view.range_slices(self._query)
        except RpcError as refusal:
            self._fail(refusal)
            return
        self._step()

    def _step(self) -> None:
        """Send for one slice; the rest follows between other requests."""
        if self._is_over:
            return
        member, call = self._member, self._call
        if member.failure is not None:
            self._fail(Stopped())
            return
        if call.unsent_bytes > _UNSENT_BYTES_MAX:
            member.scheduler.later(_DRAIN_LOOK_S, self._step)
            return
        assert self._slices is not None
        deadline = member.clock.monotonic() + member.config.limits.slice_s / 2
        while member.clock.monotonic() < deadline:
            try:
                found = next(self._slices)
            except StopIteration as end:
                self._finish(*end.value)
                return
            for key_value in found:
                self._take(key_value)
        member.scheduler.soon(self._step)

    def _take(self, key_value: bytes) -> None:
        is_first_full = not self._has_sent and len(self._waiting) >= _FIRST_KEYS
        if is_first_full or self._waiting_bytes + len(key_value) > self._chunk_bytes:
            self._send(range_kvs(self._waiting))
            self._waiting, self._waiting_bytes = [], 0
        self._waiting.append(key_value)
        self._waiting_bytes += len(key_value)

    def _finish(self, count: int, more: bool) -> None:  # noqa: FBT001 - the fields of a tail
        assert self._view is not None
        result = RangeResult(self._waiting, count, more, self._view.revision)
        header = self._headers.field(result.revision, self._member.consensus.term)
        self._send(header + range_body(result))
        self._end()
        self._call.finish()

    def _send(self, body: bytes) -> None:
        self._has_sent = True
        self._call.send(message_field(1, body))

    def _fail(self, refusal: RpcError) -> None:
        self._end()
        self._call.finish(refusal.code, refusal.message)

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._view is not None:
            self._view.close()
            self._member.long_reads -= 1
