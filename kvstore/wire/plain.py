"""Requests that are not gRPC, whichever version of HTTP carried them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol


class PlainRequest(NamedTuple):
    """A whole request; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    client_name: str = ""
    """The common name of the client's verified certificate; empty without one."""
    is_secure: bool = False
    """Whether it came over TLS."""


class PlainResponse(NamedTuple):
    """A whole response; `content-length` is added when it is sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BodyEvents(Protocol):
    """Who sends the body of a response bit by bit."""

    def drained(self) -> None:
        """`unsent_bytes` is low again, after it was not."""
        ...

    def closed(self) -> None:
        """The client has gone; nothing can be sent any more."""
        ...


class Body(Protocol):
    """The body of a response, as it is sent bit by bit."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the client's windows and socket have not taken yet."""
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes; never waits."""
        ...

    def end(self) -> None:
        """End the response, after everything queued."""
        ...


class Respond(Protocol):
    """Answers a request once, now or later; a second answer is dropped."""

    @property
    def is_open(self) -> bool:
        """Whether an answer can still reach the client."""
        ...

    def __call__(self, response: PlainResponse) -> None:
        """Answer with a whole response."""
        ...

    def begin(self, status: int, headers: Mapping[str, str], events: BodyEvents) -> Body:
        """Answer with a response whose body follows."""
        ...


ServePlain = Callable[[PlainRequest, Respond], None]
"""Answers a request by way of `Respond`."""

TOO_LARGE = PlainResponse(
    413, {"content-type": "text/plain; charset=utf-8"}, b"Request Entity Too Large\n"
)
