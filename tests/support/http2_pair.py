"""An HTTP/2 client (the `h2` library) and our server connection, joined by function calls."""

from collections.abc import Callable

import h2.config
import h2.connection
import h2.events

from kvstore.base.limits import Limits
from kvstore.wire.grpc.calls import StreamCall, StreamRoute, UnaryCall, UnaryRoute
from kvstore.wire.grpc.dispatch import Dispatcher, Routes
from kvstore.wire.grpc.framing import PREFIX
from kvstore.wire.grpc.replies import FREQUENT
from kvstore.wire.http2.connection import ServerConnection
from kvstore.wire.http2.plain import PlainConsumer
from kvstore.wire.http2.request_head import RequestHead
from kvstore.wire.http2.sender import Sender
from kvstore.wire.http2.stream import Stream
from kvstore.wire.plain import PlainRequest, PlainResponse, Respond

MESSAGE_BYTES_MAX = 100_000
BODY_BYTES_MAX = 200_000

GRPC_HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test.Echo/Unary"),
    (":authority", "test"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


def grpc_headers(path: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """Return the header list of a gRPC request."""
    return [(n, path if n == ":path" else v) for n, v in GRPC_HEADERS] + list(more)


def plain_headers(path: str, method: str = "GET") -> list[tuple[str, str]]:
    """Return the header list of a request that is not gRPC."""
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")]


def message(body: bytes, flag: int = 0) -> bytes:
    """Return a length-prefixed message."""
    return PREFIX.pack(flag, len(body)) + body


class EchoStream:
    """Sends each message back; remembers what else it heard."""

    def __init__(self, call: StreamCall) -> None:
        self.call = call
        self.messages: list[bytes] = []
        self.heard: list[str] = []

    def message_received(self, message: bytes) -> None:
        self.messages.append(message)
        self.call.send(message)

    def half_closed(self) -> None:
        self.heard.append("half_closed")
        self.call.finish()

    def drained(self) -> None:
        self.heard.append("drained")

    def closed(self) -> None:
        self.heard.append("closed")


class EchoService:
    """Routes to an echo, and what came of them."""

    def __init__(self) -> None:
        self.calls: list[tuple[UnaryCall, bytes]] = []
        self.streams: list[EchoStream] = []
        self.plain: list[PlainRequest] = []
        self.respond: list[Respond] = []
        self.answers_at_once = True

    def routes(self) -> Routes:
        return Routes(
            {
                "/test.Echo/Unary": UnaryRoute(self._unary),
                "/test.Echo/Stream": StreamRoute(self._stream),
            }
        )

    def _unary(self, call: UnaryCall, request: bytes) -> None:
        self.calls.append((call, request))
        if self.answers_at_once:
            call.reply(request)

    def _stream(self, call: StreamCall) -> EchoStream:
        stream = EchoStream(call)
        self.streams.append(stream)
        return stream

    def serve_plain(self, request: PlainRequest, respond: Respond) -> None:
        self.plain.append(request)
        self.respond.append(respond)
        if self.answers_at_once:
            respond(PlainResponse(200, {"content-type": "text/plain"}, b"plain:" + request.body))

    def open_plain(self, sender: Sender, stream: Stream, head: RequestHead) -> PlainConsumer:
        return PlainConsumer(sender, stream, head, self.serve_plain, body_bytes_max=BODY_BYTES_MAX)


def server_connection(
    service: EchoService, limits: Limits | None = None, wake: Callable[[], None] = lambda: None
) -> ServerConnection:
    """Return a connection that serves `service`."""
    return ServerConnection(
        lambda sender: Dispatcher(
            sender, service.routes(), service.open_plain, message_bytes_max=MESSAGE_BYTES_MAX
        ),
        limits=limits or Limits(),
        frequent=FREQUENT,
        wake=wake,
        now=0.0,
    )


class Response:
    """What the client saw of one stream."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.body = b""
        self.is_ended = False
        self.reset_code: int | None = None

    @property
    def status(self) -> tuple[int, str]:
        """The gRPC status, wherever it was sent."""
        fields = self.trailers or self.headers
        return int(fields["grpc-status"]), fields.get("grpc-message", "")


class Http2Pair:
    """Both ends; `exchange` carries bytes until neither has any."""

    def __init__(self, service: EchoService | None = None, limits: Limits | None = None) -> None:
        self.service = service or EchoService()
        self.now = 1.0
        self.wakes = 0
        self.server = server_connection(self.service, limits, self._woken)
        self.client = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self.responses: dict[int, Response] = {}
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.acknowledges_data = True
        self.client.initiate_connection()
        self.exchange()

    def _woken(self) -> None:
        self.wakes += 1

    def send(self, data: bytes) -> None:
        """Give the server raw bytes, then exchange."""
        self.server.receive(data, self.now)
        self.exchange()

    def raw(self, data: bytes) -> bytes:
        """Give the server raw bytes behind the client's back; return its answer."""
        self.server.receive(data, self.now)
        return self.server.sender.take()

    def exchange(self) -> None:
        while True:
            to_server = self.client.data_to_send()
            if to_server:
                self.server.receive(to_server, self.now)
            to_client = self.server.sender.take()
            if to_client:
                for event in self.client.receive_data(to_client):
                    self._take(event)
            if not to_server and not to_client:
                return

    def request(
        self, headers: list[tuple[str, str]], body: bytes | None = None, *, is_end: bool = True
    ) -> Response:
        """Send a request with its whole body in one go; return what has come of it."""
        stream_id = self.client.get_next_available_stream_id()
        self.responses[stream_id] = response = Response()
        self.client.send_headers(stream_id, headers, end_stream=is_end and body is None)
        if body is not None:
            for start in range(0, len(body) or 1, 16_384):
                piece = body[start : start + 16_384]
                is_last = start + 16_384 >= len(body)
                if response.is_ended or response.reset_code is not None:
                    return response
                self.client.send_data(stream_id, piece, end_stream=is_end and is_last)
                if not is_last:
                    self.exchange()
        self.exchange()
        return response

    def unary(self, body: bytes = b"hello", *more: tuple[str, str]) -> Response:
        return self.request(grpc_headers("/test.Echo/Unary", *more), message(body))

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event
            return
        stream_id = getattr(event, "stream_id", None)
        response = self.responses.setdefault(stream_id, Response()) if stream_id else None
        if response is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            response.headers = dict(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            response.trailers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            response.body += event.data
            if self.acknowledges_data and event.flow_controlled_length:
                self.client.acknowledge_received_data(event.flow_controlled_length, stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            response.is_ended = True
        elif isinstance(event, h2.events.StreamReset):
            response.reset_code = int(event.error_code)
