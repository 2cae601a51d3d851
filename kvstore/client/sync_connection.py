"""The connections of a blocking client: one grpcio channel per endpoint."""

import threading
from collections.abc import Iterator, Sequence
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from kvstore.base.clock import Clock
from kvstore.client import calls
from kvstore.client.calls import Call
from kvstore.client.channel import (
    Metadata,
    StreamEnded,
    Timing,
    channel_credentials,
    channel_options,
    status_of,
)
from kvstore.client.endpoints import Attempts, Endpoint, Rotation, Tls
from kvstore.client.errors import authentication_is_off, error_of
from kvstore.client.unverified import UnverifiedRelay
from kvstore.wire.pb import rpc_pb2

Reply = TypeVar("Reply", bound=Message)
Result = TypeVar("Result")


class Connection:
    """One channel per endpoint, the choice between them, and the token. Safe to share."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        tls: Tls | None,
        credentials: tuple[str, str] | None,
        timing: Timing,
        clock: Clock,
    ) -> None:
        self.clock = clock
        self.timing = timing
        self.rotation = Rotation([Endpoint.parse(e, tls=tls is not None) for e in endpoints])
        self._tls = tls or Tls()
        self._credentials = credentials
        self._token: str | None = None
        self._channels: dict[Endpoint, grpc.Channel] = {}
        self._relays: list[UnverifiedRelay] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def exchange(self, call: Call[Reply, Result], timeout_s: float) -> Reply:
        """Carry one call to its reply, over as many endpoints as it takes.

        Raises:
            RpcError: see `kvstore.client.errors`.
        """
        now = self.clock.monotonic
        attempts = Attempts(call.effect, self.rotation, now=now(), timeout_s=timeout_s)
        while True:
            try:
                return self._attempt(call, attempts)
            except (grpc.RpcError, StreamEnded) as failure:
                code, text = status_of(failure)
                self.pause(attempts.failed(code, text, now=now()))

    def _attempt(self, call: Call[Reply, Result], attempts: Attempts) -> Reply:
        if attempts.needs_token:
            attempts.needs_token = False
            self.forget_token()
        metadata = self.metadata(attempts.endpoint)
        remaining_s = attempts.remaining_s(self.clock.monotonic())
        return self.send(call, attempts.endpoint, remaining_s, metadata)

    def send(
        self,
        call: Call[Reply, Result],
        endpoint: Endpoint,
        timeout_s: float,
        metadata: Metadata = (),
    ) -> Reply:
        """Send `call` once, to `endpoint`; grpcio's own errors come out."""
        channel = self.channel(endpoint)
        if not call.is_stream:
            method = channel.unary_unary(
                call.method, type(call.request).SerializeToString, call.reply_type.FromString
            )
            return method(call.request, timeout=timeout_s, metadata=metadata)
        stream = channel.stream_stream(
            call.method, type(call.request).SerializeToString, call.reply_type.FromString
        )(iter([call.request]), timeout=timeout_s, metadata=metadata)
        try:
            return next(stream)
        except StopIteration:
            raise StreamEnded from None
        finally:
            stream.cancel()

    def snapshot(self) -> Iterator[rpc_pb2.SnapshotResponse]:
        """Yield the messages of a backup from one endpoint; there is no other try.

        Raises:
            RpcError: it ended too early.
        """
        endpoint = self.rotation.current
        stream = self.channel(endpoint).unary_stream(
            "/etcdserverpb.Maintenance/Snapshot",
            rpc_pb2.SnapshotRequest.SerializeToString,
            rpc_pb2.SnapshotResponse.FromString,
        )
        try:
            yield from stream(rpc_pb2.SnapshotRequest(), metadata=self.metadata(endpoint))
        except grpc.RpcError as failure:
            raise error_of(*status_of(failure), is_write=False) from failure

    def metadata(self, endpoint: Endpoint) -> Metadata:
        """Return what identifies us; authenticates first if it must."""
        if self._credentials is None:
            return ()
        if self._token is None:
            call = calls.authenticate(*self._credentials)
            try:
                self._token = call.decode(self.send(call, endpoint, self.timing.timeout_s))
            except grpc.RpcError as failure:
                if not authentication_is_off(status_of(failure)[1]):
                    raise
                return ()
        return (("token", self._token),)

    def forget_token(self) -> None:
        """Authenticate again before the next call."""
        self._token = None

    def channel(self, endpoint: Endpoint) -> grpc.Channel:
        """Return the channel to `endpoint`; connects when it is first used."""
        with self._lock:
            if endpoint not in self._channels:
                options = channel_options(self.timing, self._tls)
                reached = self._reached(endpoint)
                self._channels[endpoint] = (
                    grpc.secure_channel(reached.target, channel_credentials(self._tls), options)
                    if reached.is_tls
                    else grpc.insecure_channel(reached.target, options)
                )
            return self._channels[endpoint]

    def _reached(self, endpoint: Endpoint) -> Endpoint:
        """Return where grpcio is to connect to: a relay, if the server is not to be verified."""
        if not endpoint.is_tls or self._tls.verifies:
            return endpoint
        relay = UnverifiedRelay(endpoint, self._tls)
        self._relays.append(relay)
        return relay.endpoint

    def pause(self, seconds: float) -> None:
        """Wait, unless the client is being closed."""
        self._closed.wait(seconds)

    def close(self) -> None:
        """Close every channel; calls in progress end as cancelled."""
        self._closed.set()
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()
            for relay in self._relays:
                relay.close()
            self._relays.clear()
