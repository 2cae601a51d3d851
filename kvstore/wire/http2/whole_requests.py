"""Requests whose bodies are one frame each: collected, and served together.

A client under load sends the same request again and again: frames that begin alike, with stream ids
that go up by two. Such runs are cut by one struct each, and every check of the general path is made
at their first frame, or frame by frame.
"""

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct
from typing import Protocol

from kvstore.wire.http2.frames import FRAME_HEAD_BYTES, FRAME_START_BYTES, STREAM_ID_MASK
from kvstore.wire.http2.request_head import RequestHead
from kvstore.wire.http2.sender import Sender
from kvstore.wire.http2.stream import Consumer, Stream
from kvstore.wire.http2.stream_ids import StreamIds


class Requests(Protocol):
    """Who serves the requests of a connection."""

    def prepare(self, head: RequestHead) -> None:
        """Derive `route` and `takes_whole` of a head that was not seen before."""
        ...

    def whole(self, head: RequestHead, streams: list[Stream], bodies: list[bytes]) -> None:
        """Serve requests whose bodies are one frame each: the hot path, which makes no consumer.

        Only for heads marked `takes_whole`. The lists are the callee's to keep.
        """
        ...

    def open(self, stream: Stream, head: RequestHead) -> Consumer:
        """Serve a request whose body may follow."""
        ...


class WholeRequests:
    """Requests with the same head that have arrived whole and are to be served together."""

    __slots__ = ("_ids", "_requests", "_sender", "_streams_max", "bodies", "head", "streams")

    def __init__(
        self, requests: Requests, sender: Sender, ids: StreamIds, *, streams_max: int
    ) -> None:
        self._requests = requests
        self._sender = sender
        self._ids = ids
        self._streams_max = streams_max
        self.head: RequestHead | None = None
        self.streams: list[Stream] = []
        self.bodies: list[bytes] = []

    def serve(self) -> None:
        """Serve them, if there are any."""
        if self.head is not None:
            head, streams, bodies = self.head, self.streams, self.bodies
            self.head, self.streams, self.bodies = None, [], []
            self._requests.whole(head, streams, bodies)

    def open_run(self, data: bytes, first: int, stop: int, end: int, head: RequestHead) -> int:
        """Go on opening streams while frames are like the one at [first, stop), HEADERS of `head`.

        Return the position after the last that could be taken.
        """
        ids, streams, window = self._ids, self._sender.streams, self._sender.initial_window
        length = head.content_length
        start, block = (
            data[first : first + FRAME_START_BYTES],
            data[first + FRAME_HEAD_BYTES : stop],
        )
        last, position, size = ids.last, stop, stop - first
        for frame_start, stream_id, payload in _run(data, stop, size, end):
            if (
                frame_start != start
                or payload != block
                or stream_id != last + 2  # else ids have to be noted as skipped, or refused
                or stream_id > STREAM_ID_MASK
                or len(streams) >= self._streams_max
            ):
                break
            last = stream_id
            stream = Stream(stream_id, window)
            if length is not None:
                stream.content_length = length
            stream.head = head
            streams[stream_id] = stream
            position += size
        ids.last = last
        return position

    def take_run(self, data: bytes, first: int, stop: int, end: int) -> int:
        """Go on taking bodies while frames start like the one at [first, stop), the last body.

        Return the position after the last that could be taken.
        """
        streams, head = self._sender.streams, self.head
        start, position, size = data[first : first + FRAME_START_BYTES], stop, stop - first
        length = size - FRAME_HEAD_BYTES
        for frame_start, stream_id, body in _run(data, stop, size, end):
            if (
                frame_start != start
                or (stream := streams.get(stream_id)) is None
                or stream.head is not head
                or (stream.content_length is not None and stream.content_length != length)
            ):
                break
            stream.head = None
            stream.is_remote_closed = True
            self.streams.append(stream)
            self.bodies.append(body)
            position += size
        return position

    def take_pairs(self, data: bytes, first: int, between: int, stop: int, end: int) -> int:
        """Go on opening and taking while frames are like the two at [first, between, stop).

        Those are the HEADERS and the whole body of the last request. Return the position after the
        last pair that could be taken.
        """
        ids, streams, window = self._ids, self._sender.streams, self._sender.initial_window
        head, length = self.head, stop - between - FRAME_HEAD_BYTES
        assert head is not None
        opening = data[first : first + FRAME_START_BYTES], data[first + FRAME_HEAD_BYTES : between]
        body_start = data[between : between + FRAME_START_BYTES]
        last, position, size = ids.last, stop, stop - first
        pairs = _pairs_of(between - first - FRAME_HEAD_BYTES, length)
        for start, stream_id, block, second, same_id, body in pairs.iter_unpack(
            memoryview(data)[stop : end - (end - stop) % size]
        ):
            if (
                (start, block) != opening
                or second != body_start
                or same_id != stream_id
                or stream_id != last + 2
                or stream_id > STREAM_ID_MASK
                or len(streams) >= self._streams_max
            ):
                break
            last = stream_id
            streams[stream_id] = stream = Stream(stream_id, window, is_remote_closed=True)
            self.streams.append(stream)
            self.bodies.append(body)
            position += size
        ids.last = last
        return position


def _run(data: bytes, position: int, size: int, end: int) -> Iterable[tuple[bytes, int, bytes]]:
    """Cut [position, end) as if it were frames of `size` bytes each, the last one left out if cut.

    Yields (start, stream id, payload). Where another `start` comes up, the cut is wrong from there.
    """
    frames = _frames_of(size - FRAME_HEAD_BYTES)
    return frames.iter_unpack(memoryview(data)[position : end - (end - position) % size])


@lru_cache(1024)
def _frames_of(length: int) -> Struct:
    return Struct(f">{FRAME_START_BYTES}sI{length}s")


@lru_cache(1024)
def _pairs_of(block_length: int, body_length: int) -> Struct:
    start = f"{FRAME_START_BYTES}sI"
    return Struct(f">{start}{block_length}s{start}{body_length}s")
