import gzip

import pytest

from kvstore.wire.grpc import dispatch
from tests.support.http2_pair import Http2Pair, Response, grpc_headers, message, plain_headers


@pytest.fixture
def pair() -> Http2Pair:
    return Http2Pair()


def call(pair: Http2Pair, path: str, body: bytes = message(b"x")) -> Response:
    return pair.request(grpc_headers(path), body)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/test.Echo/Nope", "unknown method Nope for service test.Echo"),
        ("/no.Such/M", "unknown service no.Such"),
        ("/a/b/c", "unknown service a/b"),
        ("/nothing", 'malformed method name: "/nothing"'),
    ],
)
def test_unknown_methods_are_refused_in_grpc_go_s_words(
    pair: Http2Pair, path: str, text: str
) -> None:
    assert call(pair, path).status == (12, text)


def test_a_method_other_than_post_is_refused(pair: Http2Pair) -> None:
    headers = [(n, "GET" if n == ":method" else v) for n, v in grpc_headers("/test.Echo/Unary")]
    response = pair.request(headers, message(b""))
    assert response.headers[":status"] == "405"
    assert response.status[0] == 13


@pytest.mark.parametrize("subtype", ["", "+proto", ";charset=utf-8"])
def test_every_grpc_content_type_is_grpc(pair: Http2Pair, subtype: str) -> None:
    headers = [
        (n, v + subtype if n == "content-type" else v) for n, v in grpc_headers("/test.Echo/Unary")
    ]
    assert pair.request(headers, message(b"x")).status == (0, "")


def test_other_content_types_are_plain_http(pair: Http2Pair) -> None:
    response = pair.request(
        [*plain_headers("/v3/kv/put?x=1", "POST"), ("content-type", "application/json")], b"{}"
    )
    assert response.headers[":status"] == "200"
    assert response.body == b"plain:{}"
    request = pair.service.plain[0]
    assert (request.method, request.target) == ("POST", "/v3/kv/put?x=1")
    assert request.headers["host"] == "test"


def test_a_message_over_the_limit_is_refused_before_its_end(pair: Http2Pair) -> None:
    response = call(pair, "/test.Echo/Unary", message(b"x" * 100_001))
    assert response.status == (8, "grpc: received message larger than max (100001 vs. 100000)")
    assert pair.service.calls == []
    assert pair.unary().is_ended


def test_a_message_over_the_limit_ends_a_stream(pair: Http2Pair) -> None:
    response = call(pair, "/test.Echo/Stream", message(b"x" * 100_001))
    assert response.status == (8, "grpc: received message larger than max (100001 vs. 100000)")
    assert pair.service.streams[0].heard == ["closed"]


@pytest.mark.parametrize(
    ("body", "code"), [(b"", 13), (message(b"a") + message(b"b"), 13), (message(b"abc")[:-1], 13)]
)
@pytest.mark.parametrize("calls_before", [0, 3])
def test_a_unary_call_takes_exactly_one_whole_message(
    pair: Http2Pair, body: bytes, code: int, calls_before: int
) -> None:
    for _ in range(calls_before):
        pair.unary()
    assert call(pair, "/test.Echo/Unary", body).status[0] == code
    assert len(pair.service.calls) == calls_before
    assert not pair.server.is_closing


def test_a_stream_cut_within_a_message_fails(pair: Http2Pair) -> None:
    assert call(pair, "/test.Echo/Stream", message(b"abc")[:-1]).status == (13, "unexpected EOF")


def test_gzip_is_accepted_on_both_paths(pair: Http2Pair) -> None:
    body = message(gzip.compress(b"hello" * 50), flag=1)
    for _ in range(3):
        headers = grpc_headers("/test.Echo/Unary", ("grpc-encoding", "gzip"))
        assert pair.request(headers, body).body == message(b"hello" * 50)


def test_another_compression_is_refused(pair: Http2Pair) -> None:
    headers = grpc_headers("/test.Echo/Unary", ("grpc-encoding", "snappy"))
    text = 'grpc: Decompressor is not installed for grpc-encoding "snappy"'
    assert pair.request(headers, message(b"")).status == (12, text)


@pytest.mark.parametrize("header", [("grpc-timeout", "soon"), ("x-bin", "!")])
def test_malformed_headers_are_refused(pair: Http2Pair, header: tuple[str, str]) -> None:
    response = pair.request(grpc_headers("/test.Echo/Unary", header), message(b""))
    assert response.headers[":status"] == "400"
    assert response.status[0] == 13


def test_a_stream_receives_each_message_as_it_completes(pair: Http2Pair) -> None:
    data = message(b"one") + message(b"two")
    response = pair.request(grpc_headers("/test.Echo/Stream"), data[:11], is_end=False)
    stream = pair.service.streams[0]
    assert stream.messages == [b"one"]
    pair.client.send_data(1, data[11:], end_stream=True)
    pair.exchange()
    assert stream.messages == [b"one", b"two"]
    assert stream.heard == ["half_closed"]
    assert response.body == data
    assert response.status == (0, "")


def test_a_cancelled_stream_hears_it_once(pair: Http2Pair) -> None:
    call_headers = grpc_headers("/test.Echo/Stream")
    pair.request(call_headers, message(b"a"), is_end=False)
    pair.client.reset_stream(1)
    pair.exchange()
    stream = pair.service.streams[0]
    assert stream.heard == ["closed"]
    assert not stream.call.is_open
    stream.call.send(b"late")
    stream.call.finish()
    assert pair.server.sender.take() == b""


def test_a_handler_may_end_its_stream_amid_the_messages_of_one_frame(pair: Http2Pair) -> None:
    pair.request(grpc_headers("/test.Echo/Stream"), is_end=False)
    stream = pair.service.streams[0]
    stream.message_received = lambda message: stream.call.finish(3, "no")  # type: ignore[method-assign]
    pair.client.send_data(1, message(b"a") + message(b"b"))
    pair.exchange()
    assert pair.responses[1].status == (3, "no")


def test_unfinished_messages_of_a_connection_are_bounded(
    pair: Http2Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "HELD_BYTES_MAX", 50_000)
    part = message(b"x" * 90_000)[:20_000]
    responses = [
        pair.request(grpc_headers("/test.Echo/Unary"), part, is_end=False) for _ in range(3)
    ]
    assert responses[2].status == (8, "grpc: too many unfinished messages")
    pair.client.reset_stream(1)
    pair.exchange()
    assert pair.server._requests.held_bytes == 20_000  # type: ignore[attr-defined]


def test_a_stream_that_failed_while_much_is_queued_hears_nothing_more(pair: Http2Pair) -> None:
    pair.acknowledges_data = False
    pair.request(grpc_headers("/test.Echo/Stream"), is_end=False)
    stream = pair.service.streams[0]
    stream.call.send(b"x" * 90_000)
    for body in (message(b"x" * 100_001)[:10], message(b"late"), message(b"x" * 100_001)[:10]):
        pair.client.send_data(1, body)
        pair.exchange()
    pair.client.end_stream(1)
    pair.exchange()
    pair.server.lost()
    assert stream.heard == ["closed"]
    assert stream.messages == []
