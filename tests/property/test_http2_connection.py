"""Whatever bytes come, in whatever pieces: no crash, no growth, the same outcome."""

from itertools import pairwise

import hpack
from hypothesis import given, settings
from hypothesis import strategies as st

from kvstore.base.limits import Limits
from kvstore.wire.http2.connection import ServerConnection
from kvstore.wire.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PREFACE,
    PRIORITY_FLAG,
    Setting,
    frame,
    ping_frame,
    settings_frame,
    window_update_frame,
)
from tests.support.http2_pair import (
    EchoService,
    grpc_headers,
    message,
    plain_headers,
    server_connection,
)

LIMITS = Limits(
    header_list_bytes_max=2000,
    continuation_frames_max=3,
    concurrent_streams_max=5,
    peer_resets_per_s_max=20,
    connection_unsent_bytes_max=100_000,
)

HEADER_LISTS = st.sampled_from(
    [
        grpc_headers("/test.Echo/Unary"),
        grpc_headers("/test.Echo/Unary"),
        grpc_headers("/test.Echo/Unary", ("grpc-timeout", "5S")),
        grpc_headers("/test.Echo/Unary", ("grpc-encoding", "gzip")),
        grpc_headers("/test.Echo/Unary", ("content-length", "8")),
        grpc_headers("/test.Echo/Stream"),
        grpc_headers("/no.Such/Method"),
        plain_headers("/health"),
        [*plain_headers("/x", "POST"), ("content-length", "3")],
        [("a", "trailer")],
        [(":path", "/")],
        grpc_headers("/test.Echo/Unary", ("big", "b" * 2500)),
    ]
)
BODIES = st.one_of(
    st.sampled_from(
        [b"", message(b"abc"), message(b"a") + message(b"b"), message(b"abcd")[:6], b"abc"]
    ),
    st.just(message(b"x" * 3000)),
    st.binary(max_size=20),
)
STREAM_IDS = st.sampled_from([1, 1, 3, 3, 5, 5, 7, 9, 11, 13, 0, 2])
FLAGS = st.sampled_from([0, END_STREAM, END_HEADERS, END_STREAM | END_HEADERS, PADDED, 0x2D])

Step = tuple[str, int, int, object]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("headers"), STREAM_IDS, st.just(END_HEADERS), HEADER_LISTS),
        st.tuples(st.just("headers"), STREAM_IDS, FLAGS, HEADER_LISTS),
        st.tuples(st.just("whole"), STREAM_IDS, st.just(0), st.tuples(HEADER_LISTS, BODIES)),
        st.tuples(
            st.just("run"),
            STREAM_IDS,
            st.sampled_from([2, 2, 4]),
            st.tuples(HEADER_LISTS, st.integers(1, 6), st.lists(BODIES, min_size=1, max_size=2)),
        ),
        st.tuples(st.just("data"), STREAM_IDS, FLAGS, BODIES),
        st.tuples(st.just("data"), STREAM_IDS, st.just(END_STREAM), BODIES),
        st.tuples(st.just("any"), STREAM_IDS, st.integers(0, 255), st.binary(max_size=12)),
        st.tuples(st.just("update"), STREAM_IDS, st.just(0), st.integers(0, 2**31 - 1)),
        st.tuples(st.just("reset"), STREAM_IDS, st.just(0), st.none()),
        st.tuples(st.just("window"), st.just(0), st.just(0), st.sampled_from([0, 10, 70_000])),
        st.tuples(st.just("ping"), st.just(0), st.just(0), st.none()),
    ),
    max_size=25,
)


def bytes_of(steps: list[Step]) -> bytes:  # noqa: C901 - a case a kind of step
    """Return what a client sends that takes these steps, good and bad."""
    encoder = hpack.Encoder()
    pieces = [PREFACE, settings_frame({})]
    for name, stream_id, flags, value in steps:
        if name == "headers":
            block = encoder.encode(value)
            prefix = b"\0" if flags & PADDED else b""
            prefix += b"\0\0\0\0\0" if flags & PRIORITY_FLAG else b""
            pieces.append(frame(HEADERS, flags, stream_id, prefix + block[:40]))
            if len(block) > 40 or not flags & END_HEADERS:
                pieces.append(frame(CONTINUATION, END_HEADERS, stream_id, block[40:]))
        elif name == "whole":
            headers, body = value  # type: ignore[misc]
            pieces.append(frame(HEADERS, END_HEADERS, stream_id, encoder.encode(headers)))
            pieces.append(frame(DATA, END_STREAM, stream_id, body))
        elif name == "run":  # first all HEADERS, then all DATA; `flags` is the step of ids
            headers, count, bodies = value  # type: ignore[misc]
            ids = range(stream_id, stream_id + flags * count, flags)
            pieces += [frame(HEADERS, END_HEADERS, one, encoder.encode(headers)) for one in ids]
            pieces += [
                frame(DATA, END_STREAM, one, bodies[place % len(bodies)])
                for place, one in enumerate(ids)
            ]
        elif name == "data":
            pieces.append(frame(DATA, flags, stream_id, value))  # type: ignore[arg-type]
        elif name == "any":
            pieces.append(frame(flags % 12, flags, stream_id, value))  # type: ignore[arg-type]
        elif name == "update":
            pieces.append(window_update_frame(stream_id, value))  # type: ignore[arg-type]
        elif name == "reset":
            pieces.append(frame(3, 0, stream_id, b"\0\0\0\x08"))
        elif name == "window":
            pieces.append(settings_frame({Setting.INITIAL_WINDOW_SIZE: value}))  # type: ignore[dict-item]
        else:
            pieces.append(ping_frame(b"12345678", is_ack=False))
    return b"".join(pieces)


def outcome(data: bytes, cuts: list[int]) -> tuple[object, ...]:
    """Return all that can be seen of a connection that received `data` cut at `cuts`."""
    service = EchoService()
    server = server_connection(service, LIMITS)
    edges = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    for start, end in pairwise(edges):
        server.receive(data[start:end], 1.0)
    check_invariants(server)
    return (
        server.sender.take(),
        server.is_closing,
        [request for _, request in service.calls],
        [(stream.messages, stream.heard) for stream in service.streams],
        service.plain,
    )


def check_invariants(server: ServerConnection) -> None:
    sender = server.sender
    assert all(stream.is_open for stream in sender.streams.values())
    assert len(sender.streams) <= LIMITS.concurrent_streams_max
    assert set(sender.waiting) <= set(sender.streams)
    assert sender.queued_bytes == sum(s.queued_bytes for s in sender.streams.values())
    for stream in sender.streams.values():
        held = sum(map(len, stream.pending)) - stream.offset if stream.pending else 0
        assert stream.queued_bytes == held
    assert len(server._partial) < 9 + 16_384
    assert server._blocks._size <= 2 * LIMITS.header_list_bytes_max + 16_384


@given(steps=STEPS, cuts=st.lists(st.integers(0, 3000), max_size=12))
@settings(max_examples=300)
def test_the_outcome_does_not_depend_on_the_segments(steps: list[Step], cuts: list[int]) -> None:
    data = bytes_of(steps)
    assert outcome(data, cuts) == outcome(data, [])


@given(steps=STEPS)
@settings(max_examples=60)
def test_byte_by_byte_gives_the_same_outcome(steps: list[Step]) -> None:
    data = bytes_of(steps)
    assert outcome(data, list(range(len(data)))) == outcome(data, [])


@given(
    steps=STEPS, damage=st.lists(st.tuples(st.integers(24, 2000), st.integers(0, 255)), max_size=6)
)
@settings(max_examples=200)
def test_damaged_bytes_never_crash_the_connection(
    steps: list[Step], damage: list[tuple[int, int]]
) -> None:
    data = bytearray(bytes_of(steps))
    for place, value in damage:
        data[place % len(data)] = value
    outcome(bytes(data), [100, 200, 300])


@given(data=st.binary(max_size=300))
def test_any_bytes_after_the_preface_never_crash_the_connection(data: bytes) -> None:
    outcome(PREFACE + data, [30])
    outcome(PREFACE + settings_frame({}) + data, [40])


@given(steps=STEPS)
def test_when_the_client_is_lost_nothing_stays_open(steps: list[Step]) -> None:
    service = EchoService()
    service.answers_at_once = False
    server = server_connection(service, LIMITS)
    server.receive(bytes_of(steps), 1.0)
    server.lost()
    assert server.sender.streams == {}
    assert server.sender.queued_bytes == 0
    assert not any(call.is_open for call, _ in service.calls)
    assert not any(stream.call.is_open for stream in service.streams)
    assert server._requests.held_bytes == 0  # type: ignore[attr-defined]
