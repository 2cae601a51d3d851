"""The JSON gateway: every rpc as `POST /v3/...`, with JSON in and out as etcd's gateway writes it.

A request calls the same handlers as gRPC does. A stream's messages come as one JSON object a line,
`{"result":{...}}`, as they happen; the body of a watch may hold several requests.
"""

import json
from collections.abc import Iterator, Mapping

from google.protobuf import json_format
from google.protobuf.message import Message

from kvstore.base.errors import Code
from kvstore.rpc.access import AccessControl
from kvstore.rpc.call import (
    HttpRequest,
    HttpResponse,
    Method,
    Respond,
    StreamHandler,
    StreamMethod,
    UnaryMethod,
    WholeReply,
)
from kvstore.rpc.gateway_routes import ROUTES, GatewayRoute
from kvstore.wire.plain import Body, BodyEvents

_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
_METADATA_PREFIX = "grpc-metadata-"
_FROM_GATEWAY = "grpcgateway-accept"
_HEADERS = {"grpc-metadata-content-type": "application/grpc"}
_NAMED_CLIENT = HttpResponse(
    status=400,
    body=b"CommonName of client sending a request against gateway will be ignored and not used "
    b"as expected\n",
    headers={"x-content-type-options": "nosniff"},
)
_DECODER = json.JSONDecoder()


class Gateway:
    """Serves requests below `/v3/` by the methods of a member."""

    def __init__(
        self, methods: Mapping[str, Method], access: AccessControl, *, trusts_certificates: bool
    ) -> None:
        self._methods = methods
        self._access = access
        self._trusts_certificates = trusts_certificates

    def __call__(self, request: HttpRequest, respond: Respond) -> None:
        """Answer one request, now or bit by bit."""
        path = request.path
        if path.startswith("/v3beta/"):
            path = "/v3/" + path.removeprefix("/v3beta/")
        route = ROUTES.get(path)
        if route is None:
            respond(_error(Code.NOT_FOUND, "Not Found"))
            return
        if request.method != "POST":
            respond(_error(Code.UNIMPLEMENTED, "Method Not Allowed"))
            return
        if self._trusts_certificates and request.client_name and self._access.is_on:
            respond(_NAMED_CLIENT)
            return
        method = self._methods.get(route.method)
        if method is None:
            service, _, name = route.method.removeprefix("/").partition("/")
            text = f"unknown method {name} for service {service}"
            respond(_error(Code.UNIMPLEMENTED, text))
            return
        try:
            messages = list(_messages(route, request.body))
        except ValueError as problem:
            respond(_error(Code.INVALID_ARGUMENT, str(problem)))
            return
        metadata = _metadata(request.headers)
        if isinstance(method, UnaryMethod):
            call = _UnaryCall(route, metadata, respond)
            method.handle(call, messages[0].SerializeToString())
        else:
            _open(method, _StreamCall(route, metadata, respond), messages)


def json_of(message: Message) -> str:
    """Return a message in proto3's JSON, with the proto's names and without a space."""
    shown = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return json.dumps(shown, separators=(",", ":"), ensure_ascii=False)


def _open(method: StreamMethod, call: "_StreamCall", messages: list[Message]) -> None:
    handler = method.open(call)
    call.attach(handler)
    for message in messages:
        if not call.is_open:
            return
        handler.message_received(message.SerializeToString())
    if call.is_open:
        handler.half_closed()


def _messages(route: GatewayRoute, body: bytes) -> Iterator[Message]:
    """Yield the requests in a body: one, or as many as there are for a stream.

    Raises:
        ValueError: it is not the JSON of such requests.
    """
    try:
        text = body.decode().strip()
    except UnicodeDecodeError as problem:
        raise ValueError(f"proto: invalid UTF-8: {problem}") from problem
    if not text:
        yield route.request()
        return
    position = 0
    while position < len(text):
        try:
            content, position = _DECODER.raw_decode(text, position)
        except RecursionError as problem:
            raise ValueError("proto: exceeded max recursion depth") from problem
        except ValueError as problem:
            raise ValueError(f"proto: syntax error: {problem}") from problem
        if not isinstance(content, dict):
            raise ValueError("proto: syntax error: unexpected token")  # noqa: TRY004 - bad input
        try:
            yield json_format.ParseDict(content, route.request(), ignore_unknown_fields=True)
        except (json_format.ParseError, TypeError, RecursionError) as problem:
            raise ValueError(f"proto: {problem}") from problem
        if not route.is_stream:
            return  # as etcd's: what follows the first object is not looked at
        while position < len(text) and text[position].isspace():
            position += 1


def _metadata(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the metadata of a call that comes through the gateway."""
    metadata = {
        name.removeprefix(_METADATA_PREFIX): value
        for name, value in headers.items()
        if name.startswith(_METADATA_PREFIX)
    }
    if "authorization" in headers:
        metadata["authorization"] = headers["authorization"]
    metadata[_FROM_GATEWAY] = headers.get("accept", "")
    return metadata


def _error(code: int, text: str) -> HttpResponse:
    content = {"code": int(code), "message": text}
    body = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    return HttpResponse(
        status=_STATUS.get(Code(code), 500), body=body, content_type="application/json"
    )


class _UnaryCall:
    """`UnaryCall` that is answered in JSON."""

    timeout_s: float | None = None
    client_name = ""
    """Whoever comes through the gateway is known by a token only."""

    def __init__(self, route: GatewayRoute, metadata: Mapping[str, str], respond: Respond) -> None:
        self.metadata = metadata
        self._route = route
        self._respond = respond

    @property
    def is_open(self) -> bool:
        return self._respond.is_open

    def reply(self, message: bytes) -> None:
        body = json_of(self._route.reply.FromString(message)).encode()
        self._respond(
            HttpResponse(status=200, body=body, content_type="application/json", headers=_HEADERS)
        )

    def begin(self, message_bytes: int, events: BodyEvents) -> Body:
        return WholeReply(self.reply)

    def fail(self, code: int, text: str) -> None:
        self._respond(_error(code, text))


class _StreamCall:
    """`StreamCall` whose messages go out as lines of JSON."""

    client_name = ""

    def __init__(self, route: GatewayRoute, metadata: Mapping[str, str], respond: Respond) -> None:
        self.metadata = metadata
        self._route = route
        self._respond = respond
        self._body: Body | None = None
        self._handler: StreamHandler | None = None
        self._is_open = True

    def attach(self, handler: StreamHandler) -> None:
        """Know who is to hear of the client."""
        self._handler = handler

    @property
    def is_open(self) -> bool:
        return self._is_open

    @property
    def unsent_bytes(self) -> int:
        return 0 if self._body is None else self._body.unsent_bytes

    def send(self, message: bytes) -> None:
        if self._is_open:
            text = json_of(self._route.reply.FromString(message))
            self._started().write(f'{{"result":{text}}}\n'.encode())

    def finish(self, code: int = 0, text: str = "") -> None:
        if not self._is_open:
            return
        self._is_open = False
        if not code:
            self._started().end()
            return
        error = json.dumps(
            {"error": {"code": int(code), "message": text}},
            separators=(",", ":"),
            ensure_ascii=False,
        )
        if self._body is None:
            self._respond(
                HttpResponse(
                    status=_STATUS.get(Code(code), 500),
                    body=error.encode(),
                    content_type="application/json",
                )
            )
        else:
            self._body.write(error.encode() + b"\n")
            self._body.end()

    # --- what the body tells

    def drained(self) -> None:
        if self._is_open and self._handler is not None:
            self._handler.drained()

    def closed(self) -> None:
        if self._is_open:
            self._is_open = False
            if self._handler is not None:
                self._handler.closed()

    def _started(self) -> Body:
        if self._body is None:
            head = HttpResponse(status=200, content_type="application/json", headers=_HEADERS)
            self._body = self._respond.begin(head, self)
        return self._body
