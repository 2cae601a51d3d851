"""The hot path must say the same as the general path beside it."""

import pytest

from kvstore.wire.grpc.replies import OK_TRAILERS, send_message, send_replies, send_status
from tests.support.http2_pair import Http2Pair, grpc_headers, message


@pytest.mark.parametrize("size", [0, 1, 127, 16_379, 16_380, 40_000])
def test_the_hot_reply_and_the_general_one_are_the_same_to_a_client(size: int) -> None:
    hot, general = Http2Pair(), Http2Pair()
    body = b"r" * size
    hot.unary()  # from now on the peer's table holds our fields
    general.unary()
    hot.service.answers_at_once = general.service.answers_at_once = False
    by_hot, by_general = hot.unary(), general.unary()
    hot.service.calls[-1][0].reply(body)
    sender = general.server.sender
    stream = sender.streams[3]
    send_message(sender, stream, body)
    sender.end(stream, OK_TRAILERS)
    hot.exchange()
    general.exchange()
    assert vars(by_hot) == vars(by_general)
    assert by_hot.body == message(body)
    assert (hot.server.sender.window, hot.server.sender.streams) == (
        general.server.sender.window,
        general.server.sender.streams,
    )


def test_a_hot_reply_spends_35_bytes_beside_its_message() -> None:
    pair = Http2Pair()
    pair.unary()
    pair.service.answers_at_once = False
    pair.unary()
    pair.server.sender.take()
    pair.service.calls[-1][0].reply(b"abc")
    assert len(pair.server.sender.take()) == 3 * 9 + 2 + 5 + 3 + 1


def test_replies_still_say_all_when_the_client_wants_no_table() -> None:
    pair = Http2Pair()
    pair.unary()
    pair.client.update_settings({1: 0})
    pair.exchange()
    for _ in range(2):
        response = pair.unary(b"x")
        assert response.headers["content-type"] == "application/grpc"
        assert response.trailers == {"grpc-status": "0"}


def test_a_failure_before_any_message_is_trailers_only() -> None:
    pair = Http2Pair()
    pair.service.answers_at_once = False
    response = pair.unary()
    pair.service.calls[0][0].fail(9, "not ö now%")
    pair.exchange()
    assert response.trailers == {}
    assert response.status == (9, "not %C3%B6 now%25")
    assert response.is_ended


def test_a_failure_after_a_message_comes_in_trailers() -> None:
    pair = Http2Pair()
    response = pair.request(grpc_headers("/test.Echo/Stream"), message(b"a"), is_end=False)
    pair.service.streams[0].call.finish(14, "gone")
    pair.exchange()
    assert response.body == message(b"a")
    assert response.trailers == {"grpc-status": "14", "grpc-message": "gone"}
    assert response.reset_code in {None, 0}, "told to stop sending, not that it failed"


def test_a_stream_that_ends_without_a_message_is_ok_with_headers() -> None:
    pair = Http2Pair()
    response = pair.request(grpc_headers("/test.Echo/Stream"), message(b""), is_end=False)
    other = pair.request(grpc_headers("/test.Echo/Stream"), is_end=False)
    pair.client.end_stream(3)
    pair.exchange()
    assert other.headers[":status"] == "200"
    assert other.trailers == {"grpc-status": "0"}
    assert not response.is_ended


def test_a_status_for_a_stream_that_is_gone_is_dropped() -> None:
    pair = Http2Pair()
    pair.service.answers_at_once = False
    pair.unary()
    sender = pair.server.sender
    stream = sender.streams[1]
    pair.client.reset_stream(1)
    pair.exchange()
    send_status(sender, stream, 1, "late")
    send_message(sender, stream, b"late")
    assert sender.take() == b""


def test_a_hot_reply_waits_for_a_short_stream_window() -> None:
    pair = Http2Pair()
    pair.unary()
    pair.client.update_settings({4: 7})
    pair.exchange()
    pair.acknowledges_data = False
    response = pair.unary(b"four more")
    assert response.body == message(b"four more")[:7]
    pair.client.increment_flow_control_window(100, stream_id=3)
    pair.exchange()
    assert response.body == message(b"four more")
    assert response.is_ended


def test_a_hot_reply_waits_while_the_socket_is_full() -> None:
    pair = Http2Pair()
    pair.unary()
    pair.server.sender.set_writable(is_writable=False)
    response = pair.unary(b"later")
    assert response.body == b""
    pair.server.sender.set_writable(is_writable=True)
    pair.exchange()
    assert response.body == message(b"later")
    assert response.is_ended


@pytest.mark.parametrize("sizes", [[0, 5, 5, 200], [20_000, 3], [3, 16_379, 16_380, 3]])
def test_replies_sent_together_are_the_same_to_a_client_as_one_by_one(sizes: list[int]) -> None:
    together, apart = Http2Pair(), Http2Pair()
    for pair in (together, apart):
        pair.unary()  # from now on the peer's table holds our fields
        pair.service.answers_at_once = False
    asked = {pair: [pair.unary() for _ in sizes] for pair in (together, apart)}
    bodies = [b"r" * size for size in sizes]
    sender = together.server.sender
    send_replies(sender, list(sender.streams.values()), bodies)
    for (call, _), body in zip(apart.service.calls[1:], bodies, strict=True):
        call.reply(body)
    together.exchange()
    apart.exchange()

    assert [vars(response) for response in asked[together]] == [
        vars(response) for response in asked[apart]
    ]
    assert [response.body for response in asked[together]] == [message(body) for body in bodies]
    assert together.server.sender.window == apart.server.sender.window
    assert together.server.sender.streams == {}


def test_replies_sent_together_skip_who_has_left() -> None:
    pair = Http2Pair()
    pair.unary()
    pair.service.answers_at_once = False
    gone, there = pair.unary(), pair.unary()
    sender = pair.server.sender
    streams = list(sender.streams.values())
    pair.client.reset_stream(streams[0].id)
    pair.exchange()
    send_replies(sender, streams, [b"a", b"b"])
    pair.exchange()

    assert (gone.is_ended, there.is_ended) == (False, True)
    assert there.body == message(b"b")
