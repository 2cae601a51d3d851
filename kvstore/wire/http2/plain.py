"""Requests that are not gRPC, over HTTP/2."""

from collections.abc import Mapping

from kvstore.wire.http2.header_encoder import Fields
from kvstore.wire.http2.request_head import RequestHead
from kvstore.wire.http2.sender import Sender
from kvstore.wire.http2.stream import Stream
from kvstore.wire.plain import TOO_LARGE, BodyEvents, PlainRequest, PlainResponse, ServePlain


class PlainConsumer:
    """Collects a request's body and sends what the server answers: a `Respond`, and its `Body`."""

    __slots__ = (
        "_body",
        "_body_bytes_max",
        "_events",
        "_head",
        "_sender",
        "_serve",
        "_stream",
        "expects_end",
    )

    def __init__(
        self,
        sender: Sender,
        stream: Stream,
        head: RequestHead,
        serve: ServePlain,
        *,
        body_bytes_max: int,
    ) -> None:
        self.expects_end = True
        self._sender = sender
        self._stream = stream
        self._head = head
        self._serve = serve
        self._body = bytearray()
        self._body_bytes_max = body_bytes_max
        self._events: BodyEvents | None = None

    # --- the request

    def data(self, payload: bytes) -> None:
        if self._stream.has_headers:
            return  # refused already; the client has not heard it yet
        self._body += payload
        if len(self._body) > self._body_bytes_max:
            self(TOO_LARGE)

    def ended(self) -> None:
        self.expects_end = False
        if self._stream.has_headers:
            return
        head = self._head
        headers = dict(head.headers)
        if head.authority:
            headers["host"] = head.authority
        request = PlainRequest(
            head.method,
            head.path,
            headers,
            bytes(self._body),
            self._sender.client_name,
            self._sender.is_secure,
        )
        self._serve(request, self)

    def drained(self) -> None:
        if self._events is not None:
            self._events.drained()

    def released(self) -> None:
        self._body.clear()

    def aborted(self) -> None:
        if self._events is not None:
            self._events.closed()

    # --- the response

    @property
    def is_open(self) -> bool:
        """Whether an answer can still reach the client."""
        return self._stream.is_open and not self._stream.has_headers

    def __call__(self, response: PlainResponse) -> None:
        """Answer with a whole response."""
        if not self.is_open:
            return
        length = (b"content-length", str(len(response.body)).encode())
        fields = (*_fields(response.status, response.headers), length)
        body = b"" if self._head.method == "HEAD" else response.body
        self._sender.respond(self._stream, fields, body)

    def begin(self, status: int, headers: Mapping[str, str], events: BodyEvents) -> "PlainConsumer":
        """Answer with a response whose body follows."""
        assert not self._stream.has_headers
        self._events = events
        self._sender.headers(self._stream, _fields(status, headers))
        return self

    @property
    def unsent_bytes(self) -> int:
        """Bytes that neither windows nor socket have taken."""
        return self._stream.queued_bytes

    def write(self, data: bytes) -> None:
        """Queue a part of the body."""
        if self._stream.is_open and self._stream.trailers is None:
            self._sender.data(self._stream, data)

    def end(self) -> None:
        """End the response, after everything queued."""
        self._sender.end(self._stream)


def _fields(status: int, headers: Mapping[str, str]) -> Fields:
    return (
        (b":status", str(status).encode()),
        *(
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers.items()
        ),
    )
