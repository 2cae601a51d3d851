"""The asyncio shell of `watching`."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import grpc
import grpc.aio
from google.protobuf.message import Message

from kvstore.base.errors import Code
from kvstore.client.async_connection import AsyncConnection
from kvstore.client.channel import StreamEnded, status_of
from kvstore.client.endpoints import Reconnection
from kvstore.client.errors import Failed
from kvstore.client.keys import Keys
from kvstore.client.values import Event, WatchBatch
from kvstore.client.watching import (
    PROGRESS_REQUEST,
    REQUIRE_LEADER,
    WATCH_METHOD,
    WatchOptions,
    WatchProgress,
)
from kvstore.wire.pb import rpc_pb2

_Stream = grpc.aio.StreamStreamCall[Message, rpc_pb2.WatchResponse]
_Requests = asyncio.Queue[rpc_pb2.WatchRequest]


class AsyncWatch:
    """A stream of changes. One task iterates; any task may close it.

    Raises from iteration:
        Compacted: its history is gone (`compact_revision`); list anew and watch from there.
        WatchCanceled, RequestRefused: the server won't serve it.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        keys: Keys,
        options: WatchOptions,
        *,
        open_timeout_s: float,
    ) -> None:
        self._connection = connection
        self._progress = WatchProgress(keys, options)
        self._reconnection = Reconnection(connection.rotation)
        self._open_timeout_s = open_timeout_s
        self._is_closed = False
        self._requests: _Requests = asyncio.Queue()
        self._stream: _Stream | None = None

    async def __aenter__(self) -> Self:
        """Return once the server watches.

        Raises:
            Unavailable: no endpoint did so in time.
        """
        await self._open(self._connection.clock.monotonic() + self._open_timeout_s)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the watch."""
        self.close()

    def close(self) -> None:
        """End the watch: an iteration in another task ends too."""
        self._is_closed = True
        self._drop()

    def request_progress(self) -> None:
        """Ask for an empty batch that tells how far the watch is."""
        self._requests.put_nowait(PROGRESS_REQUEST)

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield changes, waiting for each."""
        async for batch in self.batches():
            for event in batch.events:
                yield event

    async def batches(self) -> AsyncIterator[WatchBatch]:
        """Yield whole revisions and, without events, progress notifications."""
        while not self._is_closed:
            if self._stream is None:
                await self._open(None)
                continue
            try:
                response = await self._receive(self._stream)
            except (grpc.RpcError, StreamEnded) as failure:
                await self._lost(*status_of(failure), deadline=None)
                continue
            batch = self._progress.receive(response)
            if batch is not None:
                yield batch

    async def _open(self, deadline: float | None) -> None:
        while not self._is_closed:
            try:
                async with asyncio.timeout(self._open_timeout_s):
                    stream = await self._start()
                    self._progress.receive(await self._receive(stream))
            except (grpc.RpcError, StreamEnded) as failure:
                await self._lost(*status_of(failure), deadline=deadline)
            except TimeoutError:
                await self._lost(Code.UNAVAILABLE, "the watch was not answered", deadline=deadline)
            if self._progress.is_created:
                self._reconnection.opened()
                return

    async def _receive(self, stream: _Stream) -> rpc_pb2.WatchResponse:
        try:
            response = await stream.read()
        except asyncio.CancelledError:
            # grpcio raises this too when the *stream* is cancelled, which only `close` does.
            task = asyncio.current_task()
            if not self._is_closed or (task is not None and task.cancelling()):
                raise
            raise StreamEnded from None
        if not isinstance(response, rpc_pb2.WatchResponse):
            raise StreamEnded
        return response

    async def _start(self) -> _Stream:
        if self._reconnection.needs_token:
            self._reconnection.needs_token = False
            self._connection.forget_token()
        endpoint = self._reconnection.endpoint
        metadata = await self._connection.metadata(endpoint)
        self._requests = asyncio.Queue()
        self._requests.put_nowait(self._progress.create_request())
        stream = self._connection.channel(endpoint).stream_stream(
            WATCH_METHOD,
            rpc_pb2.WatchRequest.SerializeToString,
            rpc_pb2.WatchResponse.FromString,
        )(_sent(self._requests), metadata=(REQUIRE_LEADER, *metadata))
        self._stream = stream
        return stream

    async def _lost(self, code: Code, text: str, *, deadline: float | None) -> None:
        """Prepare for the next stream, or raise what ends the watch."""
        self._drop()
        if self._is_closed:
            return
        pause_s = self._reconnection.failed(code, text)
        if deadline is not None and self._connection.clock.monotonic() + pause_s >= deadline:
            raise Failed(code, text)
        await self._connection.pause(pause_s)

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()  # and with it, grpcio ends the iteration over the requests


async def _sent(requests: _Requests) -> AsyncIterator[rpc_pb2.WatchRequest]:
    while True:
        yield await requests.get()
