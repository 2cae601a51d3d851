"""Requests that are not gRPC, whichever version of HTTP carried them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple


class PlainRequest(NamedTuple):
    """A whole request; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class PlainResponse(NamedTuple):
    """A whole response; `content-length` is added when it is sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Respond = Callable[[PlainResponse], None]
ServePlain = Callable[[PlainRequest, Respond], None]
"""Answers a request by calling `Respond`, now or later; a second answer is dropped."""

TOO_LARGE = PlainResponse(
    413, {"content-type": "text/plain; charset=utf-8"}, b"Request Entity Too Large\n"
)
