"""The connections of an asyncio client: one grpcio channel per endpoint."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import grpc
import grpc.aio
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
from kvstore.wire.pb import rpc_pb2

Reply = TypeVar("Reply", bound=Message)
Result = TypeVar("Result")


class AsyncConnection:
    """One channel per endpoint, the choice between them, and the token. Of one event loop."""

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
        if not self._tls.verifies:
            raise ValueError("the asyncio client verifies every server")
        self._credentials = credentials
        self._token: str | None = None
        self._channels: dict[Endpoint, grpc.aio.Channel] = {}

    async def exchange(self, call: Call[Reply, Result], timeout_s: float) -> Reply:
        """Carry one call to its reply, over as many endpoints as it takes.

        Raises:
            RpcError: see `kvstore.client.errors`.
        """
        now = self.clock.monotonic
        attempts = Attempts(call.effect, self.rotation, now=now(), timeout_s=timeout_s)
        while True:
            try:
                return await self._attempt(call, attempts)
            except (grpc.RpcError, StreamEnded) as failure:
                code, text = status_of(failure)
                await self.pause(attempts.failed(code, text, now=now()))

    async def _attempt(self, call: Call[Reply, Result], attempts: Attempts) -> Reply:
        if attempts.needs_token:
            attempts.needs_token = False
            self.forget_token()
        metadata = await self.metadata(attempts.endpoint)
        remaining_s = attempts.remaining_s(self.clock.monotonic())
        return await self.send(call, attempts.endpoint, remaining_s, metadata)

    async def send(
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
            return await method(call.request, timeout=timeout_s, metadata=metadata)
        stream = channel.stream_stream(
            call.method, type(call.request).SerializeToString, call.reply_type.FromString
        )(iter([call.request]), timeout=timeout_s, metadata=metadata)
        try:
            reply = await stream.read()
        finally:
            stream.cancel()
        if not isinstance(reply, call.reply_type):
            raise StreamEnded
        return reply

    async def metadata(self, endpoint: Endpoint) -> Metadata:
        """Return what identifies us; authenticates first if it must."""
        if self._credentials is None:
            return ()
        if self._token is None:
            call = calls.authenticate(*self._credentials)
            try:
                self._token = call.decode(await self.send(call, endpoint, self.timing.timeout_s))
            except grpc.RpcError as failure:
                if not authentication_is_off(status_of(failure)[1]):
                    raise
                return ()
        return (("token", self._token),)

    async def snapshot(self) -> AsyncIterator[rpc_pb2.SnapshotResponse]:
        """Yield the messages of a backup from one endpoint; there is no other try.

        Raises:
            RpcError: it ended too early.
        """
        endpoint = self.rotation.current
        stream: grpc.aio.UnaryStreamMultiCallable[
            rpc_pb2.SnapshotRequest, rpc_pb2.SnapshotResponse
        ] = self.channel(endpoint).unary_stream(
            "/etcdserverpb.Maintenance/Snapshot",
            rpc_pb2.SnapshotRequest.SerializeToString,
            rpc_pb2.SnapshotResponse.FromString,
        )
        metadata = await self.metadata(endpoint)
        try:
            async for message in stream(rpc_pb2.SnapshotRequest(), metadata=metadata):
                yield message
        except grpc.RpcError as failure:
            raise error_of(*status_of(failure), is_write=False) from failure

    def forget_token(self) -> None:
        """Authenticate again before the next call."""
        self._token = None

    def channel(self, endpoint: Endpoint) -> grpc.aio.Channel:
        """Return the channel to `endpoint`; connects when it is first used."""
        if endpoint not in self._channels:
            options = channel_options(self.timing, self._tls)
            self._channels[endpoint] = (
                grpc.aio.secure_channel(endpoint.target, channel_credentials(self._tls), options)
                if endpoint.is_tls
                else grpc.aio.insecure_channel(endpoint.target, options)
            )
        return self._channels[endpoint]

    async def pause(self, seconds: float) -> None:
        """Let others run, for this long."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Close every channel; calls in progress end as cancelled."""
        while self._channels:
            _, channel = self._channels.popitem()
            await channel.close()
