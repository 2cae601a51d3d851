import pytest

from kvstore.wire.http1 import Http1Connection, starts_http1
from kvstore.wire.plain import PlainRequest, PlainResponse, Respond


class Server:
    def __init__(self, *, answers_at_once: bool = True) -> None:
        self.requests: list[PlainRequest] = []
        self.responds: list[Respond] = []
        self.answers_at_once = answers_at_once
        self.connection = Http1Connection(
            self.serve, body_bytes_max=1000, header_bytes_max=2000, wake=lambda: None
        )

    def serve(self, request: PlainRequest, respond: Respond) -> None:
        self.requests.append(request)
        self.responds.append(respond)
        if self.answers_at_once:
            respond(PlainResponse(200, {"content-type": "text/plain"}, request.target.encode()))

    def send(self, data: bytes) -> bytes:
        self.connection.receive(data, 0.0)
        return self.connection.take()


GET = b"GET /health?x=1 HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\n\r\n"


def test_a_request_is_answered() -> None:
    server = Server()
    answer = server.send(GET)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n/health?x=1")
    assert b"content-length: 11\r\n" in answer.lower()
    assert server.requests == [PlainRequest("GET", "/health?x=1", {"host": "a", "x": "1,2"}, b"")]
    assert not server.connection.is_closing


def test_bodies_arrive_whole_in_any_pieces_by_length_or_chunks() -> None:
    for data in (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    ):
        server = Server()
        for byte in data:
            server.send(bytes([byte]))
        assert [request.body for request in server.requests] == [b"abcdef"]


def test_pipelined_requests_are_served_one_after_the_other() -> None:
    server = Server(answers_at_once=False)
    server.send(GET + GET.replace(b"health", b"second"))
    assert len(server.requests) == 1
    server.responds[0](PlainResponse(200, {}, b"1"))
    assert len(server.requests) == 2
    server.responds[1](PlainResponse(204, {}, b""))
    answer = server.connection.take()
    assert answer.index(b" 200 ") < answer.index(b" 204 ")
    assert server.connection.is_idle


def test_many_pipelined_requests_answered_at_once_do_not_nest() -> None:
    server = Server()
    assert server.send(GET * 2000).count(b"HTTP/1.1 200") == 2000


def test_head_has_no_body() -> None:
    answer = Server().send(GET.replace(b"GET", b"HEAD"))
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 11" in answer.lower()


def test_a_second_answer_is_dropped() -> None:
    server = Server(answers_at_once=False)
    server.send(GET)
    for text in (b"one", b"two"):
        server.responds[0](PlainResponse(200, {}, text))
    assert server.connection.take().endswith(b"one")


def test_expect_continue_is_answered_before_the_body() -> None:
    server = Server()
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    assert server.send(head).startswith(b"HTTP/1.1 100 ")
    assert b" 200 " in server.send(b"x")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 3000, b"431"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000, b"413"),
    ],
)
def test_what_cannot_be_served_is_refused_and_closed(data: bytes, status: bytes) -> None:
    server = Server()
    assert server.send(data).startswith(b"HTTP/1.1 " + status)
    assert server.connection.is_closing
    assert server.requests == []


def test_a_client_that_wants_to_close_is_closed_after_its_answer() -> None:
    server = Server(answers_at_once=False)
    server.send(b"GET / HTTP/1.0\r\n\r\n")
    assert not server.connection.is_closing
    server.responds[0](PlainResponse(200, {}, b"x"))
    assert server.connection.is_closing


def test_an_unfinished_request_is_closed_after_the_timeout() -> None:
    server = Server()
    server.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    for now, is_closing in ((10.0, False), (29.0, False), (40.0, True)):
        server.connection.tick(now, stalled_timeout_s=30.0)
        assert server.connection.is_closing is is_closing


def test_a_slow_answer_is_no_stall() -> None:
    server = Server(answers_at_once=False)
    server.send(GET)
    for now in (10.0, 100.0, 1000.0):
        server.connection.tick(now, stalled_timeout_s=30.0)
    assert not server.connection.is_closing


def test_a_shutdown_finishes_the_request_in_progress() -> None:
    server = Server(answers_at_once=False)
    server.send(GET)
    server.connection.begin_shutdown()
    assert not server.connection.is_closing
    server.responds[0](PlainResponse(200, {}, b"x"))
    assert b"connection: close" in server.connection.take().lower()
    assert server.connection.is_closing


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"G", None),
        (b"POS", None),
        (b"GET ", True),
        (b"POST /x", True),
        (b"PRI * HTTP/2.0", False),
        (b"\x16\x03\x01", False),
        (b"INVALID", False),
    ],
)
def test_the_first_bytes_tell_http1(data: bytes, verdict: bool | None) -> None:
    assert starts_http1(data) is verdict


class Teller:
    """Sends the body of a response bit by bit, and hears what becomes of it."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def drained(self) -> None:
        self.heard.append("drained")

    def closed(self) -> None:
        self.heard.append("closed")


def streaming() -> tuple[Server, Teller]:
    server, teller = Server(answers_at_once=False), Teller()
    server.send(GET)
    return server, teller


def test_a_body_that_is_sent_bit_by_bit_goes_in_chunks_and_the_connection_lives_on() -> None:
    server, teller = streaming()
    body = server.responds[0].begin(200, {"content-type": "text/plain"}, teller)
    head = server.connection.take()
    body.write(b"one\n")
    first = server.connection.take()
    body.end()
    last = server.connection.take()

    assert b"transfer-encoding: chunked" in head.lower()
    assert first == b"4\r\none\n\r\n"
    assert last == b"0\r\n\r\n"
    assert server.send(GET) == b""  # served next; it is not answered yet
    assert len(server.requests) == 2


def test_what_the_socket_does_not_take_is_kept_and_told_when_it_drains() -> None:
    server, teller = streaming()
    body = server.responds[0].begin(200, {}, teller)
    server.connection.take()
    server.connection.set_writable(is_writable=False)
    body.write(b"x" * 100)

    assert server.connection.take() == b""
    assert body.unsent_bytes >= 100

    server.connection.set_writable(is_writable=True)

    assert teller.heard == ["drained"]
    assert b"x" * 100 in server.connection.take()
    assert body.unsent_bytes == 0


def test_a_client_that_leaves_is_told_to_who_streams_and_nothing_more_is_sent() -> None:
    server, teller = streaming()
    body = server.responds[0].begin(200, {}, teller)
    server.connection.take()

    server.connection.lost()
    body.write(b"too late")
    body.end()

    assert teller.heard == ["closed"]
    assert server.connection.take() == b""


def test_a_client_that_leaves_before_its_answer_is_seen_to_be_gone() -> None:
    server, _ = streaming()
    assert server.responds[0].is_open

    server.connection.lost()

    assert not server.responds[0].is_open
