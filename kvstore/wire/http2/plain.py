"""Requests that are not gRPC, over HTTP/2."""

from kvstore.wire.http2.header_encoder import Fields
from kvstore.wire.http2.request_head import RequestHead
from kvstore.wire.http2.sender import Sender
from kvstore.wire.http2.stream import Stream
from kvstore.wire.plain import TOO_LARGE, PlainRequest, PlainResponse, ServePlain


class PlainConsumer:
    """Collects a request's body and sends what the server answers."""

    __slots__ = ("_body", "_body_bytes_max", "_head", "_sender", "_serve", "_stream", "expects_end")

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

    def data(self, payload: bytes) -> None:
        if self._stream.has_headers:
            return  # refused already; the client has not heard it yet
        self._body += payload
        if len(self._body) > self._body_bytes_max:
            self._respond(TOO_LARGE)

    def ended(self) -> None:
        self.expects_end = False
        if self._stream.has_headers:
            return
        head = self._head
        headers = dict(head.headers)
        if head.authority:
            headers["host"] = head.authority
        request = PlainRequest(head.method, head.path, headers, bytes(self._body))
        self._serve(request, self._respond)

    def drained(self) -> None:
        pass

    def released(self) -> None:
        self._body.clear()

    def aborted(self) -> None:
        pass

    def _respond(self, response: PlainResponse) -> None:
        stream = self._stream
        if not stream.is_open or stream.has_headers:
            return
        fields: Fields = (
            (b":status", str(response.status).encode()),
            *(
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in response.headers.items()
            ),
            (b"content-length", str(len(response.body)).encode()),
        )
        body = b"" if self._head.method == "HEAD" else response.body
        self._sender.respond(stream, fields, body)
