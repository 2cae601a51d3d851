"""The Watch service (rpc.proto Watch): a client stream's requests, carried to its `WatchStream`."""

from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import DecodeError

from kvstore.base.errors import Code, RpcError
from kvstore.base.ids import WatchId
from kvstore.base.key_range import KeyRange
from kvstore.rpc.access import Caller
from kvstore.rpc.call import Method, StreamCall, StreamHandler
from kvstore.rpc.pipeline import Pipeline, malformed
from kvstore.rpc.stream_guard import StreamGuard
from kvstore.watch import WatchHub, WatchSpec
from kvstore.wire.pb import rpc_pb2

_FIRST_KEY = b"\x00"
"""What an empty key means here; elsewhere it is refused."""


_GO_CODES = {
    Code.INVALID_ARGUMENT: "InvalidArgument",
    Code.UNAUTHENTICATED: "Unauthenticated",
    Code.PERMISSION_DENIED: "PermissionDenied",
}


def _go_text(refusal: RpcError) -> str:
    """Return how Go prints a status: clients of etcd look for it in the cancel reason."""
    return f"rpc error: code = {_GO_CODES[refusal.code]} desc = {refusal.message}"


class RangeAccess(Protocol):
    """Who may read what; see `access.AccessControl`."""

    @property
    def is_on(self) -> bool: ...

    def check_range(self, caller: Caller, keys: KeyRange) -> None: ...


class WatchService:
    """Opens the streams of `/etcdserverpb.Watch/Watch`."""

    def __init__(
        self, hub: WatchHub, guard: StreamGuard, pipeline: Pipeline, access: RangeAccess
    ) -> None:
        self._hub = hub
        self._guard = guard
        self._pipeline = pipeline
        self._access = access

    def methods(self) -> dict[str, Method]:
        """Return the routes of this service."""
        return {"/etcdserverpb.Watch/Watch": self._pipeline.stream(self.open)}

    def open(self, call: StreamCall) -> StreamHandler:
        """Return the handler of a new stream; the guard may have ended it already."""
        return _WatchHandler(call, self._hub, self._guard, self._access)


class _WatchHandler:
    """One client stream. Half-closing it changes nothing: its watchers go on (etcd does so)."""

    def __init__(
        self, call: StreamCall, hub: WatchHub, guard: StreamGuard, access: RangeAccess
    ) -> None:
        self._call = call
        self._access = access
        self._stream = hub.open(call)
        self._is_open = True
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
            request = rpc_pb2.WatchRequest.FromString(message)
        except DecodeError as error:
            self._end(malformed(error))
            return
        match request.WhichOneof("request_union"):
            case "create_request":
                self._create(request.create_request)
            case "cancel_request":
                self._stream.cancel(WatchId(request.cancel_request.watch_id))
            case "progress_request":
                self._stream.progress()
            case None:
                # A kind of request that a later etcd may know; etcd ignores it too.
                pass

    def half_closed(self) -> None:
        pass

    def drained(self) -> None:
        self._stream.drained()

    def closed(self) -> None:
        self._close()

    def _create(self, request: rpc_pb2.WatchCreateRequest) -> None:
        filters = request.filters
        keys = KeyRange.of(request.key or _FIRST_KEY, request.range_end)
        # A negative start is refused first, whoever asks: as etcd.
        if self._access.is_on and request.start_revision >= 0:
            try:
                self._access.check_range(self._call, keys)
            except RpcError as refusal:
                self._stream.refuse(_go_text(refusal))
                return
        self._stream.create(
            WatchSpec(
                keys=keys,
                start_revision=request.start_revision,
                prev_kv=request.prev_kv,
                progress_notify=request.progress_notify,
                fragment=request.fragment,
                no_put=rpc_pb2.WatchCreateRequest.NOPUT in filters,
                no_delete=rpc_pb2.WatchCreateRequest.NODELETE in filters,
            ),
            WatchId(request.watch_id),
        )

    def _end(self, error: RpcError) -> None:
        if self._is_open:
            self._close()
            self._call.finish(error.code, error.message)

    def _close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._stream.close()
        if self._release is not None:
            self._release()
            self._release = None
