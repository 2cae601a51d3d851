"""The ports between the wire and the services: calls that are answered when their time has come.

A handler is a plain function. It may answer at once or keep the call and answer in a later turn; no
task or future stands behind a call. Answers of one turn leave in one write a connection.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from kvstore.wire.plain import Body, BodyEvents


class UnaryCall(Protocol):
    """One unary rpc in progress. Answered once; answers after the client left are dropped."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Request metadata; keys in lower case; `-bin` values base64-decoded as latin-1."""
        ...

    @property
    def client_name(self) -> str:
        """The common name of the client's verified certificate; empty without one."""
        ...

    @property
    def timeout_s(self) -> float | None:
        """What `grpc-timeout` said, in seconds; None without it."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether an answer can still reach the client."""
        ...

    def reply(self, message: bytes) -> None:
        """End the call with OK and `message`."""
        ...

    def begin(self, message_bytes: int, events: BodyEvents) -> Body:
        """End the call with OK and a message of so many bytes, which are written bit by bit."""
        ...

    def fail(self, code: int, text: str) -> None:
        """End the call with a gRPC status other than OK."""
        ...


class WholeReply:
    """The `Body` of a call whose answer can only be given whole: the parts wait for the last."""

    unsent_bytes = 0

    def __init__(self, reply: Callable[[bytes], None]) -> None:
        self._reply = reply
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Take a part."""
        self._parts.append(data)

    def end(self) -> None:
        """Answer."""
        self._reply(b"".join(self._parts))


class UnaryCalls(Protocol):
    """Unary rpcs of one method that arrived together, with the same metadata.

    Each costs a fraction of what a call by itself does.
    """

    @property
    def metadata(self) -> Mapping[str, str]:
        """What each of them has; see `UnaryCall`."""
        ...

    def one(self, index: int) -> UnaryCall:
        """Return one of them, to be answered by itself."""
        ...

    def reply_each(self, first: int, messages: Sequence[bytes]) -> None:
        """End the calls from `first` on with OK, each with its message."""
        ...

    def fail(self, code: int, text: str) -> None:
        """End all that have not been answered with a status other than OK."""
        ...


class StreamCall(Protocol):
    """One streaming rpc in progress, as its handler may use it."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Request metadata, as in `UnaryCall`."""
        ...

    @property
    def client_name(self) -> str:
        """The client's certified name, as in `UnaryCall`."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether a message can still reach the client."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """Bytes handed to `send` that the client's windows and socket have not taken yet."""
        ...

    def send(self, message: bytes) -> None:
        """Queue a message; never waits. Watch `unsent_bytes`, and resume at `drained`."""
        ...

    def finish(self, code: int = 0, text: str = "") -> None:
        """End the stream with a gRPC status, after everything queued."""
        ...


class StreamHandler(Protocol):
    """The server's side of one streaming rpc."""

    def message_received(self, message: bytes) -> None:
        """A whole message of the client."""
        ...

    def half_closed(self) -> None:
        """The client sends no more."""
        ...

    def drained(self) -> None:
        """`unsent_bytes` has fallen to at most a quarter of the limit for watch streams."""
        ...

    def closed(self) -> None:
        """The client cancelled or its connection is gone; nothing can be sent any more."""
        ...


class MethodShape(Enum):
    """How many messages go each way."""

    UNARY = "unary"
    STREAM = "stream"
    """Server, client or bidirectional streaming: the handler decides."""


class UnaryMethod(NamedTuple):
    """A route to a unary handler, called with the call and the request's bytes."""

    handle: Callable[[UnaryCall, bytes], None]
    handle_each: Callable[[UnaryCalls, list[bytes]], None] | None = None
    """The same for calls that arrived together, and their requests."""
    shape: MethodShape = MethodShape.UNARY


class StreamMethod(NamedTuple):
    """A route to a streaming rpc: `open` returns the handler of one new stream."""

    open: Callable[[StreamCall], StreamHandler]
    shape: MethodShape = MethodShape.STREAM


Method = UnaryMethod | StreamMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request that is not gRPC, over HTTP/1.1 or HTTP/2."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    client_name: str = ""
    """The common name of the client's verified certificate; empty without one."""
    is_secure: bool = False
    """Whether it came over TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """A whole answer to a `HttpRequest`."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class Respond(Protocol):
    """Answers a `HttpRequest` once, now or later."""

    @property
    def is_open(self) -> bool:
        """Whether an answer can still reach the client."""
        ...

    def __call__(self, response: HttpResponse) -> None:
        """Answer with a whole response."""
        ...

    def begin(self, head: HttpResponse, events: BodyEvents) -> Body:
        """Answer with the status and headers of `head`; its body follows."""
        ...


HttpHandler = Callable[[HttpRequest, Respond], None]
"""Called with the request and what answers it."""
