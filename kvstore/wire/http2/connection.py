"""The server's side of one HTTP/2 connection (RFC 9113), without I/O.

`receive` takes whatever bytes arrived and calls `Requests` and the streams' consumers; what is to
be sent collects in `sender`. The result is the same however the bytes were cut into segments.
"""

from collections.abc import Callable

from kvstore.base.limits import Limits
from kvstore.wire.http2.abuse import PingPolicy, RateLimit
from kvstore.wire.http2.errors import (
    ConnectionFailed,
    ErrorCode,
    HeaderListTooLarge,
    MalformedRequest,
)
from kvstore.wire.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_MAX,
    FRAME_HEAD,
    FRAME_HEAD_BYTES,
    FRAME_START_BYTES,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_FLAG,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    STREAM_ID_MASK,
    WINDOW_UPDATE,
    Setting,
    check_frame,
    check_priority,
    goaway_frame,
    ping_frame,
    rst_stream_frame,
    setting_values,
    settings_frame,
    unpadded,
    window_update_frame,
    without_priority,
)
from kvstore.wire.http2.header_blocks import HeaderBlocks
from kvstore.wire.http2.header_encoder import RawField
from kvstore.wire.http2.request_head import check_trailers
from kvstore.wire.http2.sender import Sender
from kvstore.wire.http2.stream import Stream
from kvstore.wire.http2.stream_ids import StreamIds
from kvstore.wire.http2.whole_requests import Requests, WholeRequests

STREAM_WINDOW = 1 << 20
"""What a client may send on a stream before we acknowledge it."""
CONNECTION_WINDOW = 16 << 20
STREAMS_UNLIMITED = 2**32 - 1
CONTROL_FRAMES_PER_S_MAX = 1000
"""SETTINGS and empty DATA: frames that cost us work and the peer nothing."""

_SHUTDOWN_PING = b"shutdown"
_KEEPALIVE_PING = b"is alive"


class ServerConnection:
    """One client's connection.

    After an error by the peer `is_closing` is true: flush what `sender` holds, then close.
    """

    def __init__(
        self,
        requests_of: Callable[[Sender], Requests],
        *,
        limits: Limits,
        frequent: tuple[RawField, ...],
        wake: Callable[[], None],
        now: float,
    ) -> None:
        self.is_closing = False
        self.is_ready = False
        """The peer's preface and first SETTINGS have arrived."""
        self._limits = limits
        self._now = now
        self._preface = PREFACE
        self._partial = b""
        self._blocks = HeaderBlocks(limits)
        self._ids = StreamIds()
        self.accepts_streams = True
        self._unacknowledged_bytes = 0
        self._resets = RateLimit(limits.peer_resets_per_s_max)
        self._controls = RateLimit(CONTROL_FRAMES_PER_S_MAX)
        self._pings = PingPolicy(limits.ping_interval_min_s)
        self._last_received = now
        self._ping_sent_at: float | None = None
        self.sender = Sender(
            frequent=frequent,
            drain_mark=limits.watch_unsent_bytes_max // 4,
            wake=wake,
            on_reset=self._ids.note_reset,
        )
        self._streams = self.sender.streams
        self._requests = requests_of(self.sender)
        self._whole = WholeRequests(
            self._requests, self.sender, self._ids, streams_max=limits.concurrent_streams_max
        )
        self._receivers: dict[int, Callable[[int, int, bytes], None]] = {
            DATA: self._receive_data,
            HEADERS: self._receive_headers,
            PRIORITY: self._receive_priority,
            RST_STREAM: self._receive_reset,
            SETTINGS: self._receive_settings,
            PING: self._receive_ping,
            WINDOW_UPDATE: self._receive_window_update,
            CONTINUATION: self._receive_continuation,
        }
        self._greet()

    # --- what the shell calls

    def receive(self, data: bytes, now: float) -> None:
        """Take the bytes that arrived at `now` (monotonic seconds)."""
        self._now = self._last_received = now
        self._ping_sent_at = None
        if self.is_closing:
            return
        try:
            if self._preface:
                data = self._strip_preface(data)
            elif self._partial:
                data = self._partial + data
            end = len(data)
            position = self._receive_frames(data, end)
            self._partial = data[position:] if position < end else b""
        except ConnectionFailed as failure:
            self.fail(failure.code, failure.text)

    def fail(self, code: ErrorCode, text: str) -> None:
        """End the connection with GOAWAY."""
        if not self.is_closing:
            self.is_closing = True
            self.accepts_streams = False
            self.sender.put(goaway_frame(self._ids.last, code, text))

    def begin_shutdown(self) -> None:
        """Say that the connection will end; `finish_shutdown` follows, after the PING's answer.

        Streams that the client opened before it heard are still served (RFC 9113 §6.8).
        """
        if self.accepts_streams:
            self.sender.put(goaway_frame(STREAM_ID_MASK, ErrorCode.NO_ERROR))
            self.sender.put(ping_frame(_SHUTDOWN_PING, is_ack=False))

    def finish_shutdown(self) -> None:
        """Accept no stream from now on; those open go on."""
        if self.accepts_streams:
            self.accepts_streams = False
            self.sender.put(goaway_frame(self._ids.last, ErrorCode.NO_ERROR))

    @property
    def is_finished(self) -> bool:
        """Whether to close once `sender` is flushed: failed, or shut down and nothing left."""
        return self.is_closing or (not self.accepts_streams and not self._streams)

    def lost(self) -> None:
        """Hear that nothing can be sent any more: every open stream is aborted."""
        self.is_closing = True
        for stream in list(self._streams.values()):
            self._abort(stream)

    def tick(self, now: float) -> None:
        """Judge who has stalled; called about once a second."""
        self._now = now
        timeout_s = self._limits.stalled_stream_timeout_s
        for stream in list(self._streams.values()):
            consumer = stream.consumer
            is_owed_body = not stream.is_remote_closed and (
                consumer is None or consumer.expects_end
            )
            if not is_owed_body and stream.pending is None:
                stream.stalled_since = None
            elif stream.stalled_since is None:
                stream.stalled_since = now
            elif now - stream.stalled_since >= timeout_s:
                # INTERNAL_ERROR, since Go clients resume a watch after it, but not after CANCEL.
                self.sender.put(rst_stream_frame(stream.id, ErrorCode.INTERNAL_ERROR))
                self._ids.note_reset(stream.id)
                self._abort(stream)

    def keep_alive(self, now: float, *, interval_s: float, timeout_s: float) -> bool:
        """Ping a peer silent for `interval_s`; False if it has not answered for `timeout_s`."""
        if self._ping_sent_at is not None:
            return now - self._ping_sent_at < timeout_s
        if now - self._last_received >= interval_s:
            self._ping_sent_at = now
            self.sender.put(ping_frame(_KEEPALIVE_PING, is_ack=False))
        return True

    # --- the start

    def _greet(self) -> None:
        limits = self._limits
        settings = {
            Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            Setting.MAX_HEADER_LIST_SIZE: limits.header_list_bytes_max,
        }
        if limits.concurrent_streams_max < STREAMS_UNLIMITED:
            settings[Setting.MAX_CONCURRENT_STREAMS] = limits.concurrent_streams_max
        self.sender.put(settings_frame(settings))
        self.sender.put(window_update_frame(0, CONNECTION_WINDOW - 65_535))

    def _strip_preface(self, data: bytes) -> bytes:
        size = min(len(self._preface), len(data))
        if data[:size] != self._preface[:size]:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "no preface")
        self._preface = self._preface[size:]
        return data[size:]

    # --- frames

    def _receive_frames(self, data: bytes, end: int) -> int:  # noqa: C901, PLR0912, PLR0915
        """Take every whole frame; return the position after the last.

        The hot path is inlined: HEADERS whose block is known, and DATA that is a whole body. They
        need not be neighbours, since clients under load send many HEADERS first; what repeats
        itself is taken in runs. Whole requests with the same head are served together, before any
        other frame is looked at. All checks of the general path hold, or it is taken.
        """
        unpack = FRAME_HEAD.unpack_from
        streams = self._streams
        streams_max = self._limits.concurrent_streams_max
        unsent_max = self._limits.connection_unsent_bytes_max
        blocks = self._blocks
        heads = blocks.heads
        decoder = blocks.decoder
        ids = self._ids
        sender = self.sender
        whole = self._whole
        position = opened = 0
        opened_to = -1
        while end - position >= FRAME_HEAD_BYTES:
            length_kind, flags, stream_id = unpack(data, position)
            start = position + FRAME_HEAD_BYTES
            stop = start + (length_kind >> 8)
            if stop - start > FRAME_BYTES_MAX:
                whole.serve()
                raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "frame too long")
            if stop > end:
                break
            first, position = position, stop
            kind = length_kind & 0xFF
            if kind == DATA and flags == END_STREAM and not blocks.is_unfinished:
                stream = streams.get(stream_id)
                if (
                    stream is not None
                    and (head := stream.head) is not None
                    and (stream.content_length is None or stream.content_length == stop - start)
                ):
                    stream.head = None
                    stream.is_remote_closed = True
                    if head is not whole.head:
                        whole.serve()
                        whole.head = head
                    before = len(whole.bodies)
                    whole.streams.append(stream)
                    whole.bodies.append(data[start:stop])
                    if opened_to == first and stream_id == ids.last:  # by the frame before
                        if data.startswith(data[opened : opened + FRAME_START_BYTES], stop):
                            position = whole.take_pairs(data, opened, first, stop, end)
                    elif data.startswith(data[first : first + FRAME_START_BYTES], stop):
                        position = whole.take_run(data, first, stop, end)
                    taken = len(whole.bodies) - before
                    self._unacknowledged_bytes += taken * (stop - start)
                    if self._unacknowledged_bytes >= CONNECTION_WINDOW // 2:
                        self._acknowledge()
                    continue
            elif kind == HEADERS and flags == END_HEADERS and not blocks.is_unfinished:
                known = heads.get(data[start:stop])
                if (
                    known is not None
                    and known[0] == decoder.version
                    and (head := known[1]).takes_whole
                    # If the stream may not be opened, the general path says why not.
                    and stream_id > ids.last
                    and stream_id & 0x8000_0001 == 1
                    and self.accepts_streams
                    and len(streams) < streams_max
                    and sender.queued_bytes <= unsent_max
                ):
                    ids.open(stream_id)
                    stream = Stream(stream_id, sender.initial_window)
                    if head.content_length is not None:
                        stream.content_length = head.content_length
                    stream.head = head
                    streams[stream_id] = stream
                    opened, opened_to = first, stop
                    if data.startswith(data[first : first + FRAME_START_BYTES], stop):
                        position = whole.open_run(data, first, stop, end, head)
                    continue
            whole.serve()
            self._receive_frame(kind, flags, stream_id & STREAM_ID_MASK, data[start:stop])
        whole.serve()
        return position

    def _receive_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._blocks.is_unfinished:
            if kind != CONTINUATION or stream_id != self._blocks.stream_id:
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "CONTINUATION expected")
        elif not self.is_ready and (kind != SETTINGS or flags & ACK):
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "SETTINGS expected")
        check_frame(kind, stream_id, len(payload))
        receive = self._receivers.get(kind)
        if receive is not None:  # else of an unknown kind, or GOAWAY: what is open goes on
            receive(flags, stream_id, payload)

    # --- HEADERS and CONTINUATION

    def _receive_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id & 1:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "HEADERS on an even stream")
        if flags & PADDED:
            payload = unpadded(payload)
        if flags & PRIORITY_FLAG:
            payload = without_priority(stream_id, payload)
        if flags & END_HEADERS:
            self._receive_block(stream_id, payload, is_end=bool(flags & END_STREAM))
        else:
            self._blocks.begin(stream_id, flags, payload)

    def _receive_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        blocks = self._blocks
        blocks.append(payload)
        if flags & END_HEADERS:
            is_end = bool(blocks.flags & END_STREAM)
            self._receive_block(stream_id, blocks.finish(), is_end=is_end)

    def _receive_block(self, stream_id: int, block: bytes, *, is_end: bool) -> None:
        if stream_id > self._ids.last:
            self._open(stream_id, block, is_end=is_end)
        else:
            self._receive_trailers(stream_id, block, is_end=is_end)

    def _open(self, stream_id: int, block: bytes, *, is_end: bool) -> None:
        if self.accepts_streams:
            self._ids.open(stream_id)
        try:
            head = self._blocks.head(block)
            if head.route is None:
                self._requests.prepare(head)
            if is_end and head.content_length:
                raise MalformedRequest("content-length without a body")  # noqa: TRY301
        except HeaderListTooLarge:
            self._refuse(stream_id, ErrorCode.FRAME_SIZE_ERROR)  # as grpc-go does
            return
        except MalformedRequest:
            self._refuse(stream_id, ErrorCode.PROTOCOL_ERROR)
            return
        if not self.accepts_streams:
            return  # GOAWAY has told the client that this stream is not served
        if self._is_full():
            # Not counted as abuse: a client may open many streams before it sees our SETTINGS.
            self._ids.note_reset(stream_id)
            self.sender.put(rst_stream_frame(stream_id, ErrorCode.REFUSED_STREAM))
            return
        stream = Stream(stream_id, self.sender.initial_window, is_remote_closed=is_end)
        stream.content_length = head.content_length
        self._streams[stream_id] = stream
        if head.takes_whole and not is_end:
            stream.head = head
            return
        consumer = self._requests.open(stream, head)
        stream.consumer = consumer
        if is_end and stream.is_open:
            consumer.ended()

    def _receive_trailers(self, stream_id: int, block: bytes, *, is_end: bool) -> None:
        try:
            # Decoded in any case: the tables must agree for the blocks to come.
            check_trailers(self._blocks.fields(block))
            is_malformed = not is_end
        except (HeaderListTooLarge, MalformedRequest):
            is_malformed = True
        stream = self._streams.get(stream_id)
        if stream is None:
            if not self._ids.was_reset(stream_id):
                is_unused = self._ids.was_skipped(stream_id)
                code = ErrorCode.PROTOCOL_ERROR if is_unused else ErrorCode.STREAM_CLOSED
                raise ConnectionFailed(code, "HEADERS on a closed stream")
        elif stream.is_remote_closed:
            self._reset(stream, ErrorCode.STREAM_CLOSED)
        elif is_malformed or stream.has_wrong_length(is_end=True):
            self._reset(stream, ErrorCode.PROTOCOL_ERROR)
        else:
            self._deliver(stream, b"", is_end=True)

    def _is_full(self) -> bool:
        """Whether no further stream is served now; clients try refused streams again.

        A client that has much unread must still be heard, or its WINDOW_UPDATEs would be missed.
        """
        limits = self._limits
        return (
            len(self._streams) >= limits.concurrent_streams_max
            or self.sender.queued_bytes > limits.connection_unsent_bytes_max
        )

    # --- DATA

    def _receive_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._unacknowledged_bytes += size
        if self._unacknowledged_bytes >= CONNECTION_WINDOW // 2:
            self._acknowledge()
        if flags & PADDED:
            payload = unpadded(payload)
        is_end = bool(flags & END_STREAM)
        if not payload and not is_end and self._controls.is_exceeded(self._now):
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "too many empty frames")
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id)
            if not self._ids.was_reset(stream_id) and not self._ids.is_idle(stream_id):
                self._refuse(stream_id, ErrorCode.STREAM_CLOSED)
            return
        if stream.is_remote_closed:
            self._reset(stream, ErrorCode.STREAM_CLOSED)
            return
        stream.received_bytes += len(payload)
        stream.unacknowledged_bytes += size
        if stream.unacknowledged_bytes > STREAM_WINDOW:
            self._reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
        elif stream.has_wrong_length(is_end=is_end):
            self._reset(stream, ErrorCode.PROTOCOL_ERROR)
        else:
            self._deliver(stream, payload, is_end=is_end)

    def _deliver(self, stream: Stream, payload: bytes, *, is_end: bool) -> None:
        stream.stalled_since = None
        if stream.head is not None:  # the body comes in pieces, or not at all
            stream.consumer = self._requests.open(stream, stream.head)
            stream.head = None
        consumer = stream.consumer
        assert consumer is not None
        if payload:
            consumer.data(payload)
        if not stream.is_open:
            return
        if is_end:
            stream.is_remote_closed = True
            consumer.ended()
        elif stream.unacknowledged_bytes >= STREAM_WINDOW // 2:
            self.sender.put(window_update_frame(stream.id, stream.unacknowledged_bytes))
            stream.unacknowledged_bytes = 0

    def _acknowledge(self) -> None:
        # At once, read or not: a connection window held back by one stream would stop all others.
        # What a peer can make us hold is bounded by the streams' windows and message limits.
        self.sender.put(window_update_frame(0, self._unacknowledged_bytes))
        self._unacknowledged_bytes = 0

    # --- the other frames

    def _receive_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        increment = int.from_bytes(payload, "big") & STREAM_ID_MASK
        if not stream_id:
            if not increment:
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            if not self.sender.grow_window(increment):
                raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "window overflow")
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id)
        elif not increment:
            self._reset(stream, ErrorCode.PROTOCOL_ERROR)
        elif not self.sender.grow_stream_window(stream, increment):
            self._reset(stream, ErrorCode.FLOW_CONTROL_ERROR)

    def _receive_reset(self, _flags: int, stream_id: int, _payload: bytes) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id)
        self._count_reset()
        if stream is not None:
            self._abort(stream)

    def _receive_ping(self, flags: int, _stream_id: int, payload: bytes) -> None:
        if flags & ACK:
            if payload == _SHUTDOWN_PING:
                self.finish_shutdown()
            return
        sender = self.sender
        sender.put(ping_frame(payload, is_ack=True))
        has_responded, sender.has_responded = sender.has_responded, False
        if self._pings.is_violated(
            self._now, has_streams=bool(self._streams), has_responded=has_responded
        ):
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")

    def _receive_settings(self, flags: int, _stream_id: int, payload: bytes) -> None:
        if flags & ACK:
            if payload:
                raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "length of SETTINGS")
            return
        if self._controls.is_exceeded(self._now):
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "too many SETTINGS")
        sender = self.sender
        for name, value in setting_values(payload):
            if name == Setting.HEADER_TABLE_SIZE:
                sender.encoder.set_table_size(value)
            elif name == Setting.INITIAL_WINDOW_SIZE:
                if not sender.set_initial_window(value):
                    raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "window overflow")
            elif name == Setting.MAX_FRAME_SIZE:
                # Larger frames would save little and make other streams wait longer.
                sender.frame_bytes_max = min(value, FRAME_BYTES_MAX)
        self.is_ready = True
        sender.put(SETTINGS_ACK)
        sender.pump()

    def _receive_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        check_priority(stream_id, payload)

    # --- ends of streams

    def _check_not_idle(self, stream_id: int) -> None:
        # After GOAWAY a client's ids are no longer followed: it may have used any odd one.
        if self._ids.is_idle(stream_id) and (self.accepts_streams or not stream_id & 1):
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "frame on an idle stream")

    def _refuse(self, stream_id: int, code: ErrorCode) -> None:
        """Answer for a stream that has no state with RST_STREAM."""
        self._count_reset()
        self._ids.note_reset(stream_id)
        self.sender.put(rst_stream_frame(stream_id, code))

    def _reset(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream for an error of the peer."""
        self._refuse(stream.id, code)
        self._abort(stream)

    def _abort(self, stream: Stream) -> None:
        self.sender.forget(stream)
        if stream.consumer is not None:
            stream.consumer.aborted()

    def _count_reset(self) -> None:
        # Resets that the peer provokes count like its own: both make us open streams for nothing.
        if self._resets.is_exceeded(self._now):
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "too many resets")
