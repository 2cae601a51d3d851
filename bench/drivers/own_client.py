"""A cheap gRPC load client on raw HTTP/2 frames: any body per request, every trailer checked.

It knows just enough of RFC 9113 to be correct as a client of unary calls with small bodies: request
headers are encoded once a connection, response header blocks are decoded once per distinct block
while they leave the dynamic table alone, both flow-control windows are kept. Everything it does not
expect (padding, CONTINUATION, GOAWAY, a reset) is an error, not a guess.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from itertools import repeat
from typing import NamedTuple, cast

import hpack
import uvloop

from bench.drivers import Load, LoadFailed, Loop, Requests, percentile

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
DEFAULT_WINDOW = 65_535
FRAME_BYTES_MAX = 16_384
"""Of a frame's payload, unless a server allows more."""
WINDOW_MAX = 2**31 - 1
INITIAL_WINDOW_SIZE = 4
STREAMS_PER_CONNECTION = 128
ANSWER_TIMEOUT_S = 30.0


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame (RFC 9113 §4.1)."""
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


class Answer(NamedTuple):
    """One call that ended."""

    took_us: int
    data_bytes: int


class Connection(asyncio.Protocol):
    """A connection that keeps `streams` calls in flight."""

    def __init__(
        self,
        target: Requests,
        bodies: Iterator[bytes],
        streams: int,
        ended: asyncio.Future[None],
    ) -> None:
        self.answers: list[Answer] = []
        self.is_stopping = False
        self._bodies = bodies
        self._streams = streams
        self._ended = ended
        self._headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", target.path),
            (":authority", target.endpoint),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._statuses: dict[bytes, str | None] = {}
        self._block: bytes | None = None
        self._rest = b""
        self._out: list[bytes] = []
        self._next_stream = 1
        self._started: dict[int, float] = {}
        self._data_bytes: dict[int, int] = {}
        self._window = DEFAULT_WINDOW
        self._stream_window = DEFAULT_WINDOW
        self._waiting: deque[bytes] = deque()
        self._received = 0
        self._transport: asyncio.Transport | None = None

    @property
    def in_flight(self) -> int:
        """Calls without an answer yet."""
        return len(self._started)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)
        window = INITIAL_WINDOW_SIZE.to_bytes(2, "big") + WINDOW_MAX.to_bytes(4, "big")
        opening = (WINDOW_MAX - DEFAULT_WINDOW).to_bytes(4, "big")
        transport.write(
            PREFACE + frame(SETTINGS, 0, 0, window) + frame(WINDOW_UPDATE, 0, 0, opening)
        )
        for _ in range(self._streams):
            self._start_call()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"connection lost: {exc}")

    def close(self) -> None:
        """Cut the connection; calls in flight are not waited for."""
        if not self._ended.done():
            self._ended.set_result(None)
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._ended.done():
            return
        try:
            self._take_frames(self._rest + data if self._rest else data)
        except LoadFailed as error:
            self._ended.set_exception(error)
            return
        self._flush()

    def _take_frames(self, data: bytes) -> None:
        position, end = 0, len(data)
        while end - position >= 9:
            length = int.from_bytes(data[position : position + 3], "big")
            after = position + 9 + length
            if after > end:
                break
            kind, flags = data[position + 3], data[position + 4]
            stream = int.from_bytes(data[position + 5 : position + 9], "big")
            if kind == DATA:
                if flags & PADDED:
                    raise LoadFailed("a padded frame")
                self._received += length
                self._data_bytes[stream] = self._data_bytes.get(stream, 0) + length
            elif kind == HEADERS:
                self._take_headers(flags, stream, data[position + 9 : after])
            else:
                self._take_control(kind, flags, data[position + 9 : after], stream)
            position = after
        self._rest = data[position:]
        if self._received > WINDOW_MAX // 2:
            self._out.append(frame(WINDOW_UPDATE, 0, 0, self._received.to_bytes(4, "big")))
            self._received = 0

    def _take_headers(self, flags: int, stream: int, block: bytes) -> None:
        if not flags & END_HEADERS or flags & (PADDED | PRIORITY):
            raise LoadFailed(f"header flags {flags:#x}")
        status = self._statuses[block] if block in self._statuses else self._decoded(block)
        if not flags & END_STREAM:
            return
        if status != "0":
            raise LoadFailed(f"grpc-status {status}: {self._decoder.decode(block)}")
        took_us = int((time.perf_counter() - self._started.pop(stream)) * 1e6)
        self.answers.append(Answer(took_us, self._data_bytes.pop(stream, 0)))
        if not self.is_stopping:
            self._start_call()

    def _decoded(self, block: bytes) -> str | None:
        """The grpc-status in a block; remembered if decoding it again would say the same."""
        table = self._decoder.header_table
        before = (table.maxsize, len(table.dynamic_entries), *list(table.dynamic_entries)[:1])
        fields: dict[str | bytes, str | bytes] = dict(self._decoder.decode(block))
        after = (table.maxsize, len(table.dynamic_entries), *list(table.dynamic_entries)[:1])
        found = fields.get("grpc-status")
        status = found if isinstance(found, str) else None
        if before == after:
            self._statuses[block] = status
        else:
            self._statuses.clear()
        return status

    def _take_control(self, kind: int, flags: int, payload: bytes, stream: int) -> None:
        match kind:
            case 4 if not flags & ACK:  # SETTINGS
                for start in range(0, len(payload), 6):
                    if int.from_bytes(payload[start : start + 2], "big") == INITIAL_WINDOW_SIZE:
                        value = int.from_bytes(payload[start + 2 : start + 6], "big")
                        self._stream_window = value
                self._out.append(frame(SETTINGS, ACK, 0))
            case 6 if not flags & ACK:  # PING
                self._out.append(frame(PING, ACK, 0, payload))
            case 8:  # WINDOW_UPDATE
                if stream == 0:
                    self._window += int.from_bytes(payload, "big")
                    self._send_waiting()
            case 3:  # RST_STREAM
                raise LoadFailed(f"stream {stream} was reset: {payload.hex()}")
            case 7:  # GOAWAY
                raise LoadFailed(f"GOAWAY: {payload[8:]!r}")
            case _:
                pass

    def _start_call(self) -> None:
        body = next(self._bodies, None)
        if body is None:
            self.is_stopping = True
            return
        self._waiting.append(body)
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and len(self._waiting[0]) <= self._window:
            body = self._waiting.popleft()
            if len(body) > self._stream_window:
                raise LoadFailed(f"a body of {len(body)} bytes, a window of {self._stream_window}")
            self._window -= len(body)
            stream = self._next_stream
            self._next_stream += 2
            block = self._block
            if block is None:
                block = self._encoder.encode(self._headers)
                if stream > 1:
                    self._block = block  # all of it is in the table now: equal from here on
            self._out.append(frame(HEADERS, END_HEADERS, stream, block))
            for start in range(0, len(body), FRAME_BYTES_MAX):
                part = body[start : start + FRAME_BYTES_MAX]
                is_last = start + FRAME_BYTES_MAX >= len(body)
                self._out.append(frame(DATA, END_STREAM if is_last else 0, stream, part))
            self._started[stream] = time.perf_counter()

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()
        if self.is_stopping and not self._started and not self._ended.done():
            self._ended.set_result(None)

    def _fail(self, what: str) -> None:
        if not self._ended.done():
            self._ended.set_exception(LoadFailed(what))


async def _connected(
    target: Requests, bodies: Iterator[bytes], streams: int
) -> tuple[Connection, asyncio.Future[None]]:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    host, _, port = target.endpoint.rpartition(":")
    _, connection = await loop.create_connection(
        lambda: Connection(target, bodies, streams, ended), host, int(port)
    )
    return connection, ended


async def _send_all(target: Requests, bodies: Iterator[bytes], streams: int) -> list[Answer]:
    connection, ended = await _connected(target, bodies, streams)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await ended
    except TimeoutError as error:
        raise LoadFailed(f"{connection.in_flight} calls without an answer") from error
    finally:
        connection.close()
    return connection.answers


def send_all(target: Requests, bodies: Iterator[bytes], streams: int) -> list[Answer]:
    """Send every body, at most `streams` at once, and return the answers as they came.

    Raises:
        LoadFailed: one was no OK.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_send_all(target, bodies, streams))


def checked_answers(target: Requests, body: bytes, count: int) -> int:
    """Send `body` one call after the other; return the bytes of data in the last answer.

    Raises:
        LoadFailed: an answer was no OK.
    """
    return send_all(target, repeat(body, count), 1)[-1].data_bytes


async def _loop(target: Requests, loop: Loop, bodies: Iterator[bytes]) -> Load:
    count = loop.connections or -(-loop.in_flight // STREAMS_PER_CONNECTION)
    shares = [len(range(start, loop.in_flight, count)) for start in range(count)]
    opened = [await _connected(target, bodies, share) for share in shares]
    connections, endings = [one for one, _ in opened], [ended for _, ended in opened]
    try:
        await _none_ends_within(endings, loop.warm_up_s)
        for connection in connections:
            connection.answers.clear()
        loop.on_start()
        started, cpu_started = time.perf_counter(), time.process_time()
        await _none_ends_within(endings, loop.seconds)
        took, cpu_took = time.perf_counter() - started, time.process_time() - cpu_started
        times_us = sorted(answer.took_us for one in connections for answer in one.answers)
    finally:
        for connection in connections:
            connection.close()
    if not times_us:
        raise LoadFailed(f"not one answer in {loop.seconds} s")
    return Load(
        operations=len(times_us),
        seconds=took,
        p50_ms=percentile(times_us, 0.5) / 1000,
        p99_ms=percentile(times_us, 0.99) / 1000,
        p999_ms=percentile(times_us, 0.999) / 1000,
        max_ms=times_us[-1] / 1000,
        driver="own",
        driver_cpu_us=cpu_took * 1e6 / len(times_us),
        status_check="every trailer read",
    )


async def _none_ends_within(endings: list["asyncio.Future[None]"], seconds: float) -> None:
    done, _ = await asyncio.wait(endings, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for ended in done:
        ended.result()
        raise LoadFailed("a connection ended before its time")


def run(target: Requests, loop: Loop, bodies: Iterator[bytes]) -> Load:
    """Run a closed loop with a body of its own for every call.

    Raises:
        LoadFailed: an answer was no OK, or the connection broke.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_loop(target, loop, bodies))
