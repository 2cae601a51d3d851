"""The state machine of a connection, seen by an `h2` client and by raw frames."""

import pytest

from kvstore.base.limits import Limits
from kvstore.wire.http2.connection import STREAM_WINDOW
from kvstore.wire.http2.errors import ErrorCode
from kvstore.wire.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_FLAG,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Setting,
    frame,
    goaway_frame,
    ping_frame,
    rst_stream_frame,
    settings_frame,
    window_update_frame,
)
from tests.support.http2_pair import (
    EchoService,
    Http2Pair,
    grpc_headers,
    message,
    plain_headers,
    server_connection,
)


@pytest.fixture
def pair() -> Http2Pair:
    return Http2Pair()


def block(pair: Http2Pair, headers: list[tuple[str, str]]) -> bytes:
    return pair.client.encoder.encode(headers)


def goaway_code(pair: Http2Pair) -> ErrorCode | None:
    return None if pair.goaway is None else ErrorCode(pair.goaway.error_code)


def test_a_unary_call_is_answered_with_headers_message_and_trailers(pair: Http2Pair) -> None:
    response = pair.unary(b"hello")
    assert response.headers[":status"] == "200"
    assert response.headers["content-type"] == "application/grpc"
    assert response.body == message(b"hello")
    assert response.trailers == {"grpc-status": "0"}
    assert response.is_ended
    assert response.reset_code is None


def test_the_same_call_again_is_answered_alike_from_the_cached_block(pair: Http2Pair) -> None:
    first = pair.unary(b"a")
    later = [pair.unary(b"a") for _ in range(5)]
    assert {r.body for r in later} == {first.body}
    assert {tuple(r.headers.items()) for r in later} == {tuple(first.headers.items())}
    assert all(r.trailers == {"grpc-status": "0"} and r.is_ended for r in later)


def test_calls_whose_blocks_change_the_table_each_time_keep_their_own_metadata(
    pair: Http2Pair,
) -> None:
    for number in range(300):
        pair.unary(b"x", ("grpc-timeout", f"{number}m"), ("number", str(number)))
    seen = [(call.timeout_s, call.metadata["number"]) for call, _ in pair.service.calls]
    assert seen == [(number * 1e-3, str(number)) for number in range(300)]


def test_a_call_may_outlive_its_turn(pair: Http2Pair) -> None:
    pair.service.answers_at_once = False
    responses = [pair.unary(body) for body in (b"a", b"b", b"c")]
    for call, request in reversed(pair.service.calls):
        assert call.is_open
        call.reply(request.upper())
        assert not call.is_open
    pair.exchange()
    assert [r.body for r in responses] == [message(b"A"), message(b"B"), message(b"C")]


def test_answers_of_one_turn_wake_the_shell_once(pair: Http2Pair) -> None:
    pair.service.answers_at_once = False
    for _ in range(10):
        pair.unary()
    wakes = pair.wakes
    for call, request in pair.service.calls:
        call.reply(request)
    assert pair.wakes == wakes + 1


def test_an_answer_after_the_client_has_cancelled_is_dropped(pair: Http2Pair) -> None:
    pair.service.answers_at_once = False
    response = pair.unary()
    pair.client.reset_stream(1)
    pair.exchange()
    call, request = pair.service.calls[0]
    assert not call.is_open
    call.reply(request)
    call.fail(13, "late")
    pair.exchange()
    assert response.body == b""
    assert pair.unary().is_ended is False  # and the connection lives on


def test_the_second_answer_of_a_call_is_dropped(pair: Http2Pair) -> None:
    pair.service.answers_at_once = False
    response = pair.unary()
    call, _ = pair.service.calls[0]
    call.reply(b"first")
    call.reply(b"second")
    call.fail(13, "third")
    pair.exchange()
    assert response.body == message(b"first")
    assert response.status == (0, "")


def test_a_lost_connection_aborts_every_stream(pair: Http2Pair) -> None:
    pair.request(grpc_headers("/test.Echo/Stream"), message(b"a"), is_end=False)
    pair.service.answers_at_once = False
    pair.unary()
    pair.server.lost()
    assert pair.service.streams[0].heard == ["closed"]
    assert not pair.service.streams[0].call.is_open
    assert not pair.service.calls[0][0].is_open


# --- flow control


def test_a_reply_waits_for_the_windows_and_then_arrives_whole(pair: Http2Pair) -> None:
    pair.service.answers_at_once = False
    pair.acknowledges_data = False
    response = pair.unary()
    body = bytes(range(256)) * 1000
    pair.service.calls[0][0].reply(body)
    pair.exchange()
    assert len(response.body) == 65_535
    assert not response.is_ended
    pair.acknowledges_data = True
    pair.client.increment_flow_control_window(1 << 20)
    pair.client.increment_flow_control_window(1 << 20, stream_id=1)
    pair.exchange()
    assert response.body == message(body)
    assert response.is_ended


def test_a_short_reply_overtakes_one_that_waits_for_its_stream_window(pair: Http2Pair) -> None:
    pair.client.update_settings({4: 10})
    pair.client.increment_flow_control_window(1 << 20)
    pair.exchange()
    pair.acknowledges_data = False
    long, short = pair.unary(b"x" * 1000), pair.unary(b"y")
    assert len(long.body) == 10
    assert short.is_ended


def test_waiting_streams_take_turns(pair: Http2Pair) -> None:
    pair.service.answers_at_once = False
    pair.acknowledges_data = False
    first, second = pair.unary(), pair.unary()
    for call, _ in pair.service.calls:
        call.reply(b"z" * 60_000)
    pair.exchange()
    assert abs(len(first.body) - len(second.body)) <= 16_384


def test_a_window_that_shrank_below_zero_holds_data_back(pair: Http2Pair) -> None:
    pair.service.answers_at_once = False
    pair.acknowledges_data = False
    response = pair.unary()
    pair.service.calls[0][0].reply(b"z" * 70_000)
    pair.exchange()
    pair.client.increment_flow_control_window(1 << 20)
    pair.client.update_settings({4: 100})
    pair.client.increment_flow_control_window(65_435, stream_id=1)
    pair.exchange()
    assert len(response.body) == 65_535  # 0 left - 65435 + 65435
    pair.client.increment_flow_control_window(100_000, stream_id=1)
    pair.exchange()
    assert response.is_ended


def test_large_bodies_are_acknowledged_so_that_they_keep_flowing(pair: Http2Pair) -> None:
    response = pair.request(plain_headers("/up", "POST"), b"b" * 150_000)
    assert response.body == b"plain:" + b"b" * 150_000
    stream = pair.request(grpc_headers("/test.Echo/Stream"), is_end=False)
    for _ in range(40):
        pair.client.send_data(3, message(b"m" * 16_000))
        pair.exchange()
    assert len(stream.body) == 40 * 16_005


def test_more_than_the_stream_window_unacknowledged_is_a_flow_control_error() -> None:
    service = EchoService()
    server = server_connection(service)
    server.receive(PREFACE + settings_frame({}), 0.0)
    encoder = Http2Pair().client.encoder
    server.receive(
        frame(HEADERS, END_HEADERS, 1, encoder.encode(grpc_headers("/test.Echo/Stream"))), 0.0
    )
    stream = server.sender.streams[1]
    stream.unacknowledged_bytes = STREAM_WINDOW - 10
    server.receive(frame(DATA, 0, 1, b"\0" * 11), 0.0)
    assert rst_stream_frame(1, ErrorCode.FLOW_CONTROL_ERROR) in server.sender.take()


@pytest.mark.parametrize("stream_id", [0, 1])
def test_a_window_beyond_its_maximum_is_an_error(pair: Http2Pair, stream_id: int) -> None:
    pair.service.answers_at_once = False
    response = pair.unary()
    pair.send(window_update_frame(stream_id, 2**31 - 1))
    if stream_id:
        assert response.reset_code == ErrorCode.FLOW_CONTROL_ERROR
    else:
        assert goaway_code(pair) is ErrorCode.FLOW_CONTROL_ERROR


def test_a_stream_hears_once_that_it_has_drained() -> None:
    pair = Http2Pair(limits=Limits(watch_unsent_bytes_max=400_000))
    pair.acknowledges_data = False
    pair.request(grpc_headers("/test.Echo/Stream"), is_end=False)
    stream = pair.service.streams[0]
    for _ in range(20):
        stream.call.send(b"e" * 10_000)
    pair.exchange()
    assert stream.call.unsent_bytes == 20 * 10_005 - 65_535
    assert stream.heard == []
    for _ in range(8):
        pair.client.increment_flow_control_window(20_000)
        pair.client.increment_flow_control_window(20_000, stream_id=1)
        pair.exchange()
    assert stream.call.unsent_bytes == 0
    assert stream.heard == ["drained"]


# --- the order of frames


def test_headers_may_be_cut_into_continuations_and_padded(pair: Http2Pair) -> None:
    pair.service.answers_at_once = False
    data = block(pair, grpc_headers("/test.Echo/Unary"))
    first = bytes([3]) + bytes([0, 0, 0, 0, 7]) + data[:5] + b"\0\0\0"
    pair.send(
        frame(HEADERS, PADDED | PRIORITY_FLAG, 1, first)
        + frame(CONTINUATION, 0, 1, data[5:9])
        + frame(CONTINUATION, END_HEADERS, 1, data[9:])
        + frame(DATA, PADDED | END_STREAM, 1, bytes([2]) + message(b"hi") + b"\0\0")
    )
    assert [request for _, request in pair.service.calls] == [b"hi"]


def test_any_other_frame_between_headers_and_continuation_ends_the_connection(
    pair: Http2Pair,
) -> None:
    data = block(pair, grpc_headers("/test.Echo/Unary"))
    pair.send(frame(HEADERS, 0, 1, data[:5]) + ping_frame(b"12345678", is_ack=False))
    assert goaway_code(pair) is ErrorCode.PROTOCOL_ERROR


def test_a_known_block_between_headers_and_continuation_ends_the_connection(
    pair: Http2Pair,
) -> None:
    pair.unary()
    pair.unary()
    known = block(pair, grpc_headers("/test.Echo/Unary"))
    pair.send(frame(HEADERS, 0, 5, known[:3]) + frame(HEADERS, END_HEADERS, 7, known))
    assert goaway_code(pair) is ErrorCode.PROTOCOL_ERROR


def test_too_many_continuations_end_the_connection() -> None:
    pair = Http2Pair(limits=Limits(continuation_frames_max=4))
    pair.send(frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1) * 5)
    assert goaway_code(pair) is ErrorCode.ENHANCE_YOUR_CALM


def test_a_header_list_over_the_limit_resets_its_stream_only() -> None:
    pair = Http2Pair(limits=Limits(header_list_bytes_max=1000))
    data = block(pair, grpc_headers("/test.Echo/Unary", ("big", "x" * 1200)))
    answer = pair.raw(frame(HEADERS, END_HEADERS, 1, data))
    assert answer == rst_stream_frame(1, ErrorCode.FRAME_SIZE_ERROR)
    # The oversized field was still inserted, or this block would mean something else.
    again = block(pair, grpc_headers("/test.Echo/Unary"))
    pair.raw(frame(HEADERS, END_HEADERS, 3, again) + frame(DATA, END_STREAM, 3, message(b"x")))
    assert [request for _, request in pair.service.calls] == [b"x"]


BAD_FRAMES = {
    "DATA on stream 0": (frame(DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
    "DATA on an idle stream": (frame(DATA, 0, 9, b"x"), ErrorCode.PROTOCOL_ERROR),
    "HEADERS on stream 0": (frame(HEADERS, END_HEADERS, 0), ErrorCode.PROTOCOL_ERROR),
    "HEADERS on an even stream": (frame(HEADERS, END_HEADERS, 2), ErrorCode.PROTOCOL_ERROR),
    "HEADERS all padding": (frame(HEADERS, PADDED, 1, b"\x01"), ErrorCode.PROTOCOL_ERROR),
    "HEADERS that depend on themselves": (
        frame(HEADERS, PRIORITY_FLAG, 1, b"\0\0\0\x01\0"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "HEADERS too short for a priority": (
        frame(HEADERS, PRIORITY_FLAG, 1, b"\0"),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "HEADERS that are no HPACK": (
        frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "PRIORITY on stream 0": (frame(PRIORITY, 0, 0, b"\0" * 5), ErrorCode.PROTOCOL_ERROR),
    "PRIORITY of 4 bytes": (frame(PRIORITY, 0, 1, b"\0" * 4), ErrorCode.FRAME_SIZE_ERROR),
    "RST_STREAM on stream 0": (frame(RST_STREAM, 0, 0, b"\0" * 4), ErrorCode.PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (
        frame(RST_STREAM, 0, 1, b"\0" * 4),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "RST_STREAM of 3 bytes": (frame(RST_STREAM, 0, 1, b"\0" * 3), ErrorCode.FRAME_SIZE_ERROR),
    "SETTINGS on a stream": (frame(SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
    "SETTINGS of 5 bytes": (frame(SETTINGS, 0, 0, b"\0" * 5), ErrorCode.FRAME_SIZE_ERROR),
    "SETTINGS ACK with values": (frame(SETTINGS, 1, 0, b"\0" * 6), ErrorCode.FRAME_SIZE_ERROR),
    "SETTINGS of ENABLE_PUSH 2": (
        settings_frame({Setting.ENABLE_PUSH: 2}),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "SETTINGS of too large a window": (
        settings_frame({Setting.INITIAL_WINDOW_SIZE: 2**31}),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "SETTINGS of too small a frame": (
        settings_frame({Setting.MAX_FRAME_SIZE: 16_383}),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "PUSH_PROMISE": (frame(PUSH_PROMISE, 0, 1, b"\0" * 4), ErrorCode.PROTOCOL_ERROR),
    "PING on a stream": (frame(PING, 0, 1, b"\0" * 8), ErrorCode.PROTOCOL_ERROR),
    "PING of 7 bytes": (frame(PING, 0, 0, b"\0" * 7), ErrorCode.FRAME_SIZE_ERROR),
    "GOAWAY on a stream": (frame(GOAWAY, 0, 1, b"\0" * 8), ErrorCode.PROTOCOL_ERROR),
    "GOAWAY of 7 bytes": (frame(GOAWAY, 0, 0, b"\0" * 7), ErrorCode.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE of 0": (window_update_frame(0, 0), ErrorCode.PROTOCOL_ERROR),
    "WINDOW_UPDATE of 3 bytes": (
        frame(WINDOW_UPDATE, 0, 0, b"\0" * 3),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "WINDOW_UPDATE on an idle stream": (window_update_frame(7, 1), ErrorCode.PROTOCOL_ERROR),
    "CONTINUATION without HEADERS": (frame(CONTINUATION, 4, 1), ErrorCode.PROTOCOL_ERROR),
    "a frame over 16 KiB": (frame(DATA, 0, 1, b"x" * 16_385), ErrorCode.FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_bad_frame_ends_the_connection_with_its_code(pair: Http2Pair, name: str) -> None:
    data, code = BAD_FRAMES[name]
    pair.send(data)
    assert goaway_code(pair) is code
    assert pair.server.is_closing


def test_unknown_frames_and_settings_are_ignored(pair: Http2Pair) -> None:
    pair.send(frame(0x20, 0xFF, 1, b"whatever") + frame(SETTINGS, 0, 0, b"\0\x77\0\0\0\1"))
    assert pair.unary().is_ended


def test_the_first_frame_must_be_settings() -> None:
    server = server_connection(EchoService())
    server.receive(PREFACE + ping_frame(b"12345678", is_ack=False), 0.0)
    assert server.is_closing


def test_a_wrong_preface_ends_the_connection() -> None:
    server = server_connection(EchoService())
    server.receive(PREFACE[:10] + b"nonsense", 0.0)
    assert server.is_closing


# --- streams


def test_data_after_the_end_of_a_request_resets_the_stream(pair: Http2Pair) -> None:
    pair.service.answers_at_once = False
    response = pair.unary()
    pair.send(frame(DATA, 0, 1, b"x"))
    assert response.reset_code == ErrorCode.STREAM_CLOSED
    assert not pair.service.calls[0][0].is_open


def test_headers_on_a_closed_stream_end_the_connection(pair: Http2Pair) -> None:
    pair.unary()
    pair.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(pair, [("a", "b")])))
    assert goaway_code(pair) is ErrorCode.STREAM_CLOSED


def test_a_stream_id_that_was_skipped_cannot_be_used_later(pair: Http2Pair) -> None:
    data = block(pair, grpc_headers("/test.Echo/Unary"))
    pair.raw(frame(HEADERS, END_HEADERS, 5, data))
    again = block(pair, grpc_headers("/test.Echo/Unary"))
    pair.send(frame(HEADERS, END_HEADERS, 3, again))
    assert goaway_code(pair) is ErrorCode.PROTOCOL_ERROR


def test_what_a_client_sent_before_it_saw_our_reset_is_no_error(pair: Http2Pair) -> None:
    refused = pair.request(grpc_headers("/no.Such/Method"), is_end=False)
    assert refused.status == (12, "unknown service no.Such")
    pair.server.receive(
        frame(DATA, 0, 1, message(b"late"))
        + frame(HEADERS, END_HEADERS | END_STREAM, 1, block(pair, [("trailer", "x")])),
        pair.now,
    )
    assert not pair.server.is_closing
    assert pair.unary().is_ended


@pytest.mark.parametrize("body", [b"12345", b"123"])
def test_a_body_that_contradicts_content_length_resets_the_stream(
    pair: Http2Pair, body: bytes
) -> None:
    headers = [*plain_headers("/", "POST"), ("content-length", "4")]
    data = block(pair, headers)
    answer = pair.raw(frame(HEADERS, END_HEADERS, 1, data) + frame(DATA, END_STREAM, 1, body))
    assert answer == rst_stream_frame(1, ErrorCode.PROTOCOL_ERROR)
    assert pair.service.plain == []


def test_a_known_call_with_a_wrong_content_length_resets_the_stream(pair: Http2Pair) -> None:
    headers = grpc_headers("/test.Echo/Unary", ("content-length", "7"))
    for _ in range(2):
        pair.request(headers, message(b"ok"))
    data = block(pair, headers)
    body = message(b"no!")
    answer = pair.raw(frame(HEADERS, END_HEADERS, 5, data) + frame(DATA, END_STREAM, 5, body))
    assert answer == rst_stream_frame(5, ErrorCode.PROTOCOL_ERROR)
    assert len(pair.service.calls) == 2


def test_trailers_end_a_request(pair: Http2Pair) -> None:
    response = pair.request(grpc_headers("/test.Echo/Unary"), message(b"t"), is_end=False)
    pair.client.send_headers(1, [("x-checksum", "1")], end_stream=True)
    pair.exchange()
    assert response.body == message(b"t")


def test_trailers_without_a_body_end_a_request_without_a_message(pair: Http2Pair) -> None:
    response = pair.request(grpc_headers("/test.Echo/Unary"), is_end=False)
    pair.client.send_headers(1, [("x-checksum", "1")], end_stream=True)
    pair.exchange()
    assert response.status[0] == 13


def test_streams_over_the_limit_are_refused_and_the_others_go_on() -> None:
    pair = Http2Pair(limits=Limits(concurrent_streams_max=2))
    pair.service.answers_at_once = False
    pair.unary()
    pair.unary()
    data = block(pair, grpc_headers("/test.Echo/Unary"))
    pair.server.receive(frame(HEADERS, END_HEADERS, 5, data), pair.now)
    assert rst_stream_frame(5, ErrorCode.REFUSED_STREAM) in pair.server.sender.take()
    assert all(call.is_open for call, _ in pair.service.calls)


def test_with_too_much_unsent_new_streams_are_refused_until_it_is_read() -> None:
    pair = Http2Pair(limits=Limits(connection_unsent_bytes_max=50_000))
    pair.service.answers_at_once = False
    pair.acknowledges_data = False
    response = pair.unary()
    pair.service.calls[0][0].reply(b"x" * 200_000)
    pair.exchange()
    assert pair.unary().reset_code == ErrorCode.REFUSED_STREAM
    pair.client.increment_flow_control_window(1 << 20)
    pair.client.increment_flow_control_window(1 << 20, stream_id=1)
    pair.exchange()
    assert response.is_ended
    pair.unary()
    assert len(pair.service.calls) == 2


# --- abuse and time


def test_pings_are_answered_with_their_payload(pair: Http2Pair) -> None:
    pair.server.receive(ping_frame(b"abcdefgh", is_ack=False), pair.now)
    assert ping_frame(b"abcdefgh", is_ack=True) in pair.server.sender.take()


def test_an_idle_watch_that_pings_every_10_s_lives(pair: Http2Pair) -> None:
    pair.request(grpc_headers("/test.Echo/Stream"), message(b"a"), is_end=False)
    for _ in range(100):
        pair.now += 10.0
        pair.send(ping_frame(b"12345678", is_ack=False))
        pair.server.tick(pair.now)
    assert pair.goaway is None


def test_pings_closer_than_the_interval_end_the_connection(pair: Http2Pair) -> None:
    pair.request(grpc_headers("/test.Echo/Stream"), is_end=False)
    for _ in range(4):
        pair.now += 1.0
        pair.server.receive(ping_frame(b"12345678", is_ack=False), pair.now)
    pair.exchange()
    assert goaway_code(pair) is ErrorCode.ENHANCE_YOUR_CALM
    assert pair.goaway is not None
    assert pair.goaway.additional_data == b"too_many_pings"


def test_pings_amid_responses_are_free(pair: Http2Pair) -> None:
    for _ in range(20):
        assert pair.unary().is_ended
        pair.send(ping_frame(b"12345678", is_ack=False))
    assert pair.goaway is None


def test_rapid_resets_end_the_connection() -> None:
    pair = Http2Pair(limits=Limits(peer_resets_per_s_max=10))
    pair.service.answers_at_once = False
    for number in range(11):
        pair.unary()
        pair.server.receive(rst_stream_frame(2 * number + 1, ErrorCode.CANCEL), pair.now)
    pair.exchange()
    assert goaway_code(pair) is ErrorCode.ENHANCE_YOUR_CALM


def test_resets_spread_over_time_are_free() -> None:
    pair = Http2Pair(limits=Limits(peer_resets_per_s_max=10))
    for number in range(50):
        pair.now += 0.2
        pair.request(grpc_headers("/test.Echo/Stream"), is_end=False)
        pair.send(rst_stream_frame(2 * number + 1, ErrorCode.CANCEL))
    assert pair.goaway is None


@pytest.mark.parametrize("name", ["settings", "empty data"])
def test_floods_of_frames_that_cost_the_peer_nothing_end_the_connection(
    pair: Http2Pair, name: str
) -> None:
    pair.request(grpc_headers("/test.Echo/Stream"), is_end=False)
    flood = settings_frame({}) if name == "settings" else frame(DATA, 0, 1)
    pair.server.receive(flood * 1100, pair.now)
    assert pair.server.is_closing


def test_an_unfinished_request_is_reset_after_the_timeout(pair: Http2Pair) -> None:
    pair.unary()
    response = pair.request(grpc_headers("/test.Echo/Unary"), message(b"abc")[:4], is_end=False)
    waiting = pair.request(grpc_headers("/test.Echo/Unary"), is_end=False)
    for now in (100.0, 131.0):
        pair.server.tick(now)
    pair.exchange()
    assert response.reset_code == ErrorCode.INTERNAL_ERROR
    assert waiting.reset_code == ErrorCode.INTERNAL_ERROR


def test_a_stream_that_nobody_reads_is_reset_after_the_timeout(pair: Http2Pair) -> None:
    pair.acknowledges_data = False
    response = pair.request(grpc_headers("/test.Echo/Stream"), is_end=False)
    stream = pair.service.streams[0]
    stream.call.send(b"x" * 100_000)
    pair.exchange()
    for now in (100.0, 129.0):
        pair.server.tick(now)
    assert stream.call.is_open
    pair.server.tick(131.0)
    pair.exchange()
    assert response.reset_code == ErrorCode.INTERNAL_ERROR
    assert stream.heard == ["closed"]
    assert pair.server.sender.queued_bytes == 0


def test_an_idle_stream_never_stalls(pair: Http2Pair) -> None:
    pair.request(grpc_headers("/test.Echo/Stream"), message(b"a"), is_end=False)
    for now in range(0, 100_000, 50):
        pair.server.tick(float(now))
    assert pair.service.streams[0].call.is_open


def test_a_silent_client_is_pinged_and_given_up_without_answer(pair: Http2Pair) -> None:
    assert pair.server.keep_alive(7000.0, interval_s=7200.0, timeout_s=20.0)
    assert pair.server.sender.take() == b""
    assert pair.server.keep_alive(7202.0, interval_s=7200.0, timeout_s=20.0)
    assert pair.server.sender.take() != b""
    assert pair.server.keep_alive(7221.0, interval_s=7200.0, timeout_s=20.0)
    assert not pair.server.keep_alive(7222.0, interval_s=7200.0, timeout_s=20.0)


# --- shutdown


def test_a_shutdown_serves_open_streams_and_refuses_no_request_already_sent() -> None:
    pair = Http2Pair()
    pair.service.answers_at_once = False
    response = pair.unary()
    in_flight = frame(
        HEADERS, END_HEADERS, 3, block(pair, grpc_headers("/test.Echo/Unary"))
    ) + frame(DATA, END_STREAM, 3, message(b"late"))
    pair.server.begin_shutdown()
    farewell = pair.server.sender.take()
    assert farewell.startswith(goaway_frame(2**31 - 1, ErrorCode.NO_ERROR))
    ping = farewell[-8:]
    pair.raw(in_flight)  # sent before the client saw GOAWAY
    assert [request for _, request in pair.service.calls] == [b"hello", b"late"]
    answer = pair.raw(ping_frame(ping, is_ack=True))
    assert answer == goaway_frame(3, ErrorCode.NO_ERROR)
    assert not pair.server.accepts_streams
    assert not pair.server.is_finished
    for call, request in pair.service.calls:
        call.reply(request)
    assert pair.server.is_finished
    assert response.reset_code is None


# --- the hot path: known blocks


def call_frames(
    stream_id: int, headers_block: bytes, body: bytes = b"x", *, is_padded: bool = False
) -> bytes:
    flags = END_HEADERS | (PADDED if is_padded else 0)
    head = frame(HEADERS, flags, stream_id, (b"\0" if is_padded else b"") + headers_block)
    return head + frame(DATA, END_STREAM, stream_id, message(body))


@pytest.mark.parametrize("is_padded", [False, True], ids=["hot path", "general path"])
def test_a_known_block_means_what_the_table_says_now(pair: Http2Pair, is_padded: bool) -> None:
    """The same bytes refer to another field once something has been inserted."""
    unary = b"\x83\x86\x04\x10/test.Echo/Unary\x0f\x10\x10application/grpc"
    newest_field = unary + b"\xbe"
    pair.raw(call_frames(1, unary + b"\x40\x01n\x011"))
    for stream_id in (3, 5):
        pair.raw(call_frames(stream_id, newest_field, is_padded=is_padded))
    pair.raw(call_frames(7, unary + b"\x40\x01n\x012"))
    for stream_id in (9, 11):
        pair.raw(call_frames(stream_id, newest_field, is_padded=is_padded))
    assert [call.metadata["n"] for call, _ in pair.service.calls] == list("111222")


def test_a_known_block_on_an_even_stream_ends_the_connection(pair: Http2Pair) -> None:
    known = block(pair, [(":method", "POST")])  # nothing that changes the table
    known += b"\x86\x04\x10/test.Echo/Unary\x0f\x10\x10application/grpc"
    for stream_id in (1, 3):
        pair.raw(call_frames(stream_id, known))
    pair.raw(call_frames(6, known))
    assert pair.server.is_closing
    assert len(pair.service.calls) == 2


def test_the_reserved_bit_of_a_stream_id_is_ignored(pair: Http2Pair) -> None:
    known = b"\x83\x86\x04\x10/test.Echo/Unary\x0f\x10\x10application/grpc"
    for stream_id in (1, 3, 5 | 1 << 31):
        answer = pair.raw(call_frames(stream_id, known))
    assert len(pair.service.calls) == 3
    assert b"\0\0\0\x05" in answer


def test_a_known_block_on_a_closed_stream_ends_the_connection(pair: Http2Pair) -> None:
    known = b"\x83\x86\x04\x10/test.Echo/Unary\x0f\x10\x10application/grpc"
    for stream_id in (1, 3):
        pair.raw(call_frames(stream_id, known))
    pair.raw(call_frames(3, known))
    assert pair.server.is_closing
    assert len(pair.service.calls) == 2


def test_a_short_message_never_overtakes_a_long_one_of_its_stream(pair: Http2Pair) -> None:
    response = pair.request(grpc_headers("/test.Echo/Stream"), is_end=False)
    call = pair.service.streams[0].call
    call.send(b"l" * 20_000)
    call.send(b"short")
    pair.exchange()
    assert response.body == message(b"l" * 20_000) + message(b"short")
