"""The blocking shell of `watching`."""

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

import grpc

from kvstore.client.channel import status_of
from kvstore.client.endpoints import Reconnection
from kvstore.client.errors import Failed
from kvstore.client.keys import Keys
from kvstore.client.sync_connection import Connection
from kvstore.client.values import Event, WatchBatch
from kvstore.client.watching import (
    PROGRESS_REQUEST,
    REQUIRE_LEADER,
    WATCH_METHOD,
    WatchOptions,
    WatchProgress,
)
from kvstore.wire.pb import rpc_pb2


class _Stream(Protocol):
    def __next__(self) -> rpc_pb2.WatchResponse: ...
    def cancel(self) -> bool: ...


_Requests = queue.SimpleQueue[rpc_pb2.WatchRequest | None]


class Watch:
    """A stream of changes. One thread iterates; any thread may close it.

    Raises from iteration:
        Compacted: its history is gone (`compact_revision`); list anew and watch from there.
        WatchCanceled, RequestRefused: the server won't serve it.
    """

    def __init__(
        self, connection: Connection, keys: Keys, options: WatchOptions, *, open_timeout_s: float
    ) -> None:
        self._connection = connection
        self._progress = WatchProgress(keys, options)
        self._reconnection = Reconnection(connection.rotation)
        self._open_timeout_s = open_timeout_s
        self._is_closed = False
        self._requests: _Requests = queue.SimpleQueue()
        self._stream: _Stream | None = None

    def __enter__(self) -> Self:
        """Return once the server watches.

        Raises:
            Unavailable: no endpoint did so in time.
        """
        self._open(self._connection.clock.monotonic() + self._open_timeout_s)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the watch."""
        self.close()

    def close(self) -> None:
        """End the watch: an iteration in another thread ends too."""
        self._is_closed = True
        self._drop()

    def request_progress(self) -> None:
        """Ask for an empty batch that tells how far the watch is."""
        self._requests.put(PROGRESS_REQUEST)

    def __iter__(self) -> Iterator[Event]:
        """Yield changes, waiting for each."""
        for batch in self.batches():
            yield from batch.events

    def batches(self) -> Iterator[WatchBatch]:
        """Yield whole revisions and, without events, progress notifications."""
        while not self._is_closed:
            if self._stream is None:
                self._open(None)
                continue
            try:
                response = next(self._stream)
            except StopIteration:
                self._drop()
                continue
            except grpc.RpcError as failure:
                self._lost(failure, None)
                continue
            batch = self._progress.receive(response)
            if batch is not None:
                yield batch

    def _open(self, deadline: float | None) -> None:
        while not self._is_closed:
            stream = self._start()
            timer = threading.Timer(self._open_timeout_s, stream.cancel)
            timer.start()
            try:
                self._progress.receive(next(stream))
            except StopIteration:
                self._drop()
            except grpc.RpcError as failure:
                self._lost(failure, deadline)
            finally:
                timer.cancel()
            if self._progress.is_created:
                self._reconnection.opened()
                return

    def _start(self) -> _Stream:
        if self._reconnection.needs_token:
            self._reconnection.needs_token = False
            self._connection.forget_token()
        endpoint = self._reconnection.endpoint
        self._requests = queue.SimpleQueue()
        self._requests.put(self._progress.create_request())
        self._stream = self._connection.channel(endpoint).stream_stream(
            WATCH_METHOD,
            rpc_pb2.WatchRequest.SerializeToString,
            rpc_pb2.WatchResponse.FromString,
        )(
            iter(self._requests.get, None),
            metadata=(REQUIRE_LEADER, *self._connection.metadata(endpoint)),
        )
        return self._stream

    def _lost(self, failure: grpc.RpcError, deadline: float | None) -> None:
        """Prepare for the next stream, or raise what ends the watch."""
        self._drop()
        if self._is_closed:
            return
        code, text = status_of(failure)
        pause_s = self._reconnection.failed(code, text)
        if deadline is not None and self._connection.clock.monotonic() + pause_s >= deadline:
            raise Failed(code, text)
        self._connection.pause(pause_s)

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        self._requests.put(None)  # ends grpcio's thread that waits for requests
        if stream is not None:
            stream.cancel()
