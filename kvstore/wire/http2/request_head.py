"""The head of a request: header fields checked by RFC 9113 §8.3."""

from collections.abc import Iterable

from kvstore.wire.http2.errors import MalformedRequest
from kvstore.wire.http2.header_decoder import AUTHORITY, METHOD, PATH, REGULAR, SCHEME, Field

_CONTENT_LENGTH_DIGITS_MAX = 18


class RequestHead:
    """What a request asks for. Shared by all requests with the same block: never changed.

    The exceptions are what the layer above derives once a block and not once a request: `route`,
    and `takes_whole`, that it wants the body as a whole if that comes in one frame.
    """

    __slots__ = (
        "authority",
        "content_length",
        "headers",
        "method",
        "path",
        "route",
        "scheme",
        "takes_whole",
    )

    def __init__(self, pseudo: list[str | None], headers: dict[str, str]) -> None:
        _, method, scheme, authority, path = pseudo
        self.method = method or ""
        self.scheme = scheme or ""
        self.authority = authority if authority is not None else headers.get("host", "")
        self.path = path or ""
        self.headers = headers
        self.content_length = _content_length(headers)
        self.route: object = None
        self.takes_whole = False


def request_head(fields: Iterable[Field]) -> RequestHead:
    """Return the head of a request.

    Raises:
        MalformedRequest: RFC 9113 §8.1.1.
    """
    pseudo: list[str | None] = [None] * 5
    headers: dict[str, str] = {}
    for kind, name, value, _ in fields:
        if kind == REGULAR:
            if name in headers:
                separator = "; " if name == "cookie" else ","
                headers[name] += separator + value
            else:
                headers[name] = value
        elif kind > PATH or headers or pseudo[kind] is not None:
            # Forbidden, or a pseudo-header after a regular field, or one that is repeated.
            raise MalformedRequest(name)
        else:
            pseudo[kind] = value
    if pseudo[METHOD] == "CONNECT":
        if pseudo[SCHEME] is not None or pseudo[PATH] is not None or not pseudo[AUTHORITY]:
            raise MalformedRequest("CONNECT")
    elif not pseudo[METHOD] or not pseudo[SCHEME] or not pseudo[PATH]:
        raise MalformedRequest("a pseudo-header is missing")
    return RequestHead(pseudo, headers)


def check_trailers(fields: Iterable[Field]) -> None:
    """Check the trailers of a request, which are then ignored.

    Raises:
        MalformedRequest: a pseudo-header or a forbidden field (RFC 9113 §8.1).
    """
    for kind, name, _, _ in fields:
        if kind != REGULAR:
            raise MalformedRequest(name)


def _content_length(headers: dict[str, str]) -> int | None:
    text = headers.get("content-length")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _CONTENT_LENGTH_DIGITS_MAX:
        raise MalformedRequest("content-length")
    return int(text)
