"""The sending half of a connection: what may go now goes to `out`, the rest waits in its stream.

Data waits for three reasons: the peer's window for the stream, its window for the connection, and
the socket (`is_writable`, and a bound on what one flush may carry). Waiting streams take turns, a
frame each, so that one huge list does not starve the others.
"""

from collections import deque
from collections.abc import Callable

from kvstore.wire.http2.errors import ErrorCode
from kvstore.wire.http2.frames import (
    DATA,
    END_STREAM,
    FRAME_BYTES_MAX,
    FRAME_HEAD,
    WINDOW_MAX,
    header_frames,
    rst_stream_frame,
)
from kvstore.wire.http2.header_encoder import Fields, HeaderEncoder, RawField
from kvstore.wire.http2.stream import Stream

UNFLUSHED_BYTES_MAX = 1 << 20
"""One flush carries about this much: the rest waits where `unsent_bytes` can see it."""


class Sender:
    """Everything a connection sends. `wake` is called once, when there is something to flush."""

    __slots__ = (
        "_drained",
        "_wake",
        "client_name",
        "drain_mark",
        "encoder",
        "frame_bytes_max",
        "has_responded",
        "initial_window",
        "is_awake",
        "is_secure",
        "is_writable",
        "on_reset",
        "out",
        "queued_bytes",
        "streams",
        "unflushed_bytes",
        "waiting",
        "window",
    )

    def __init__(
        self,
        *,
        frequent: tuple[RawField, ...],
        drain_mark: int,
        wake: Callable[[], None],
        on_reset: Callable[[int], None],
    ) -> None:
        self.client_name = ""
        """The common name of the client's verified certificate; the shell sets it."""
        self.is_secure = False
        """Whether the connection has TLS; the shell says so."""
        self.encoder = HeaderEncoder(frequent)
        self.streams: dict[int, Stream] = {}
        self.waiting: dict[int, Stream] = {}
        """Streams with something queued, in the order of their turns."""
        self.out: list[bytes] = []
        self.window = 65_535
        self.initial_window = 65_535
        self.frame_bytes_max = FRAME_BYTES_MAX
        self.queued_bytes = 0
        self.unflushed_bytes = 0
        self.is_awake = False
        self.is_writable = True
        self.has_responded = False
        """HEADERS or DATA went out since a PING was last judged."""
        self.drain_mark = drain_mark
        self.on_reset = on_reset
        self._drained: list[Stream] = []
        self._wake = wake

    # --- frames in general

    def wake(self) -> None:
        """Ask for a flush, once until `take`."""
        if not self.is_awake:
            self.is_awake = True
            self._wake()

    def put(self, frames: bytes) -> None:
        """Send frames that no window holds back."""
        self.out.append(frames)
        self.unflushed_bytes += len(frames)
        if not self.is_awake:
            self.wake()

    def take(self) -> bytes:
        """Return what is to be written now."""
        if self.waiting:
            self.pump()
        has_more = self.unflushed_bytes >= UNFLUSHED_BYTES_MAX and bool(self.waiting)
        data = b"".join(self.out)
        self.out.clear()
        self.unflushed_bytes = 0
        self.is_awake = False
        if has_more:
            self.wake()
        return data

    # --- one response

    def headers(self, stream: Stream, fields: Fields) -> None:
        """Send the response headers; once a stream."""
        if not stream.is_open:
            return
        assert not stream.has_headers
        self._header_frames(stream, fields, end_stream=False)

    def data(self, stream: Stream, payload: bytes) -> None:
        """Send body bytes, or queue what the windows or the socket do not take yet."""
        if not stream.is_open:
            return
        assert stream.has_headers
        assert stream.trailers is None, "data after the end"
        size = len(payload)
        if (
            stream.pending is None
            and size <= self.frame_bytes_max
            and size <= self.window
            and size <= stream.window
            and self.is_writable
            and self.unflushed_bytes < UNFLUSHED_BYTES_MAX
        ):
            self.has_responded = True
            self.window -= size
            stream.window -= size
            self.out.append(FRAME_HEAD.pack(size << 8, 0, stream.id))
            self.out.append(payload)
            self.unflushed_bytes += size
            self.wake()
            return
        if size:
            self._queue(stream, payload)

    def end(self, stream: Stream, trailers: Fields = ()) -> None:
        """End the stream with `trailers` after all that is queued."""
        if not stream.is_open or stream.trailers is not None:
            return
        stream.trailers = trailers
        if stream.pending is None:
            self._finish(stream)
        else:
            self._enqueue(stream)

    def respond(self, stream: Stream, fields: Fields, body: bytes = b"") -> None:
        """Send a whole response without trailers."""
        if not stream.is_open:
            return
        if body:
            self.headers(stream, fields)
            stream.trailers = ()  # known before the data goes, so the last frame carries the end
            self._queue(stream, body)
        else:
            stream.trailers = fields
            self._header_frames(stream, fields, end_stream=True)
            self.close(stream)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Abandon the stream with RST_STREAM; its consumer is not told."""
        if stream.is_open:
            self.put(rst_stream_frame(stream.id, code))
            self.on_reset(stream.id)
            self.forget(stream)

    def close(self, stream: Stream) -> None:
        """Forget a stream whose END_STREAM has been sent.

        A peer that is still sending its request is told to stop (RFC 9113 §8.1).
        """
        if not stream.is_remote_closed:
            self.put(rst_stream_frame(stream.id, ErrorCode.NO_ERROR))
            self.on_reset(stream.id)
        self.forget(stream)

    def forget(self, stream: Stream) -> None:
        """Drop the stream and all it has queued."""
        stream.is_open = False
        del self.streams[stream.id]
        if stream.pending is not None:
            self.queued_bytes -= stream.queued_bytes
            stream.queued_bytes = 0
            stream.pending = None
        self.waiting.pop(stream.id, None)
        if stream.consumer is not None:
            stream.consumer.released()

    # --- windows

    def grow_window(self, increment: int) -> bool:
        """Add to the connection's window; False if it would overflow."""
        if self.window + increment > WINDOW_MAX:
            return False
        self.window += increment
        self.pump()
        return True

    def grow_stream_window(self, stream: Stream, increment: int) -> bool:
        """Add to a stream's window; False if it would overflow."""
        if stream.window + increment > WINDOW_MAX:
            return False
        stream.window += increment
        if stream.pending is not None:
            self.pump()
        return True

    def set_initial_window(self, size: int) -> bool:
        """Move every stream's window by the difference (RFC 9113 §6.9.2); False on overflow.

        `pump` must follow, once the SETTINGS have been acknowledged.
        """
        change = size - self.initial_window
        self.initial_window = size
        for stream in self.streams.values():
            if stream.window + change > WINDOW_MAX:
                return False
            stream.window += change
        return True

    def set_writable(self, *, is_writable: bool) -> None:
        """Hear from the socket whether it takes more."""
        self.is_writable = is_writable
        if is_writable:
            self.pump()

    def pump(self) -> None:
        """Send from waiting streams, a frame each in turn, as far as windows and socket allow."""
        waiting = self.waiting
        blocked: list[Stream] = []
        while (
            waiting
            and self.window > 0
            and self.is_writable
            and self.unflushed_bytes < UNFLUSHED_BYTES_MAX
        ):
            stream = waiting.pop(next(iter(waiting)))
            if stream.window <= 0:
                blocked.append(stream)
                continue
            self._send_one_frame(stream)
            if stream.pending is not None:
                waiting[stream.id] = stream
            elif stream.trailers is not None:
                self._finish(stream)
        for stream in blocked:
            waiting[stream.id] = stream
        drained, self._drained = self._drained, []
        for stream in drained:
            if stream.is_open and stream.consumer is not None:
                stream.consumer.drained()

    # --- inside

    def _queue(self, stream: Stream, payload: bytes) -> None:
        size = len(payload)
        if stream.pending is None:
            stream.pending = deque()
        stream.pending.append(payload)
        stream.queued_bytes += size
        self.queued_bytes += size
        if stream.queued_bytes > self.drain_mark:
            stream.was_full = True
        self._enqueue(stream)

    def _enqueue(self, stream: Stream) -> None:
        if stream.id not in self.waiting:
            stream.stalled_since = None
            self.waiting[stream.id] = stream
        if self.is_writable and self.window > 0 and stream.window > 0:
            self.wake()  # `take` pumps: what is queued in one turn goes in full frames

    def _send_one_frame(self, stream: Stream) -> None:
        pending = stream.pending
        assert pending is not None
        room = min(self.frame_bytes_max, self.window, stream.window)
        pieces: list[bytes] = []
        size = 0
        while pending and size < room:
            chunk = pending[0]
            offset = stream.offset
            wanted = room - size
            if len(chunk) - offset <= wanted:
                pieces.append(chunk[offset:] if offset else chunk)
                size += len(chunk) - offset
                pending.popleft()
                stream.offset = 0
            else:
                pieces.append(chunk[offset : offset + wanted])
                size += wanted
                stream.offset = offset + wanted
        if not pending:
            stream.pending = None
        flags = END_STREAM if not pending and stream.trailers == () else 0
        self.has_responded = True
        self.window -= size
        stream.window -= size
        stream.stalled_since = None
        stream.queued_bytes -= size
        self.queued_bytes -= size
        self.put(FRAME_HEAD.pack(size << 8 | DATA, flags, stream.id) + b"".join(pieces))
        if flags:
            stream.trailers = None
            self.close(stream)
        elif stream.was_full and stream.queued_bytes <= self.drain_mark:
            stream.was_full = False
            self._drained.append(stream)

    def _finish(self, stream: Stream) -> None:
        trailers = stream.trailers
        assert trailers is not None
        if trailers:
            self._header_frames(stream, trailers, end_stream=True)
        else:
            self.put(FRAME_HEAD.pack(DATA, END_STREAM, stream.id))
        self.close(stream)

    def _header_frames(self, stream: Stream, fields: Fields, *, end_stream: bool) -> None:
        stream.has_headers = True
        self.has_responded = True
        self.put(
            header_frames(
                stream.id,
                self.encoder.encode(fields),
                end_stream=end_stream,
                frame_bytes_max=self.frame_bytes_max,
            )
        )
