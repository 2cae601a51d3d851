"""Which pages of other origins may use the HTTP side (`--cors`): answered for every request."""

from collections.abc import Collection
from dataclasses import replace

from kvstore.rpc.call import (
    HttpHandler,
    HttpRequest,
    HttpResponse,
    Respond,
)
from kvstore.wire.plain import Body, BodyEvents

_EVERYBODY = "*"


class CrossOrigin:
    """A handler in front of another one."""

    def __init__(self, handle: HttpHandler, origins: Collection[str]) -> None:
        """`origins`: as browsers name them; `*` for any."""
        self._handle = handle
        self._origins = frozenset(origins)

    def __call__(self, request: HttpRequest, respond: Respond) -> None:
        """Answer one request; a question whether one may ask (OPTIONS) is answered here."""
        origin = _EVERYBODY if _EVERYBODY in self._origins else request.headers.get("origin", "")
        if origin not in self._origins:
            self._handle(request, respond)
            return
        allowing = _Allowing(respond, origin)
        if request.method == "OPTIONS":
            allowing(HttpResponse(status=200))
        else:
            self._handle(request, allowing)


class _Allowing:
    """A `Respond` that says in each answer who may read it."""

    def __init__(self, respond: Respond, origin: str) -> None:
        self._respond = respond
        self._headers = {
            "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
            "access-control-allow-origin": origin,
            "access-control-allow-headers": "accept, content-type, authorization",
        }

    @property
    def is_open(self) -> bool:
        return self._respond.is_open

    def __call__(self, response: HttpResponse) -> None:
        self._respond(self._with(response))

    def begin(self, head: HttpResponse, events: BodyEvents) -> Body:
        return self._respond.begin(self._with(head), events)

    def _with(self, response: HttpResponse) -> HttpResponse:
        return replace(response, headers={**self._headers, **response.headers})
