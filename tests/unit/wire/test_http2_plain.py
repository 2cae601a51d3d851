from kvstore.wire.plain import PlainResponse
from tests.support.http2_pair import BODY_BYTES_MAX, Http2Pair, plain_headers


def test_a_request_gets_its_answer_with_a_length() -> None:
    response = Http2Pair().request(plain_headers("/health"))
    assert response.headers == {
        ":status": "200",
        "content-type": "text/plain",
        "content-length": "6",
    }
    assert response.body == b"plain:"
    assert response.is_ended


def test_head_gets_the_length_without_the_body() -> None:
    response = Http2Pair().request(plain_headers("/health", "HEAD"))
    assert response.headers["content-length"] == "6"
    assert response.body == b""
    assert response.is_ended


def test_a_body_over_the_limit_is_refused_before_its_end() -> None:
    pair = Http2Pair()
    response = pair.request(plain_headers("/up", "POST"), b"x" * (BODY_BYTES_MAX + 1))
    assert response.headers[":status"] == "413"
    assert pair.service.plain == []
    assert pair.unary().is_ended


def test_an_answer_may_come_later_and_only_once() -> None:
    pair = Http2Pair()
    pair.service.answers_at_once = False
    response = pair.request(plain_headers("/health"))
    for text in (b"one", b"two"):
        pair.service.respond[0](PlainResponse(503, {"X-Reason": "test"}, text))
    pair.exchange()
    assert (response.headers[":status"], response.headers["x-reason"]) == ("503", "test")
    assert response.body == b"one"


def test_an_answer_to_a_client_that_left_is_dropped() -> None:
    pair = Http2Pair()
    pair.service.answers_at_once = False
    pair.request(plain_headers("/health"))
    pair.client.reset_stream(1)
    pair.exchange()
    pair.service.respond[0](PlainResponse(200, {}, b"late"))
    assert pair.server.sender.take() == b""
