"""From requests to calls: finds the method, refuses what gRPC refuses with grpc-go's texts."""

from collections.abc import Callable, Mapping
from functools import lru_cache

from kvstore.base.errors import Code
from kvstore.wire.grpc.calls import (
    Refusal,
    Rpc,
    StreamCall,
    StreamHandler,
    StreamRoute,
    TimedUnaryCall,
    UnaryCall,
    UnaryCalls,
    UnaryRoute,
)
from kvstore.wire.grpc.framing import PREFIX, PREFIX_BYTES, BadMessage, MessageReader
from kvstore.wire.grpc.metadata import BadMetadata
from kvstore.wire.grpc.replies import send_status
from kvstore.wire.grpc.tallies import UNCOUNTED, UNKNOWN, Tallies, Tally
from kvstore.wire.http2.request_head import RequestHead
from kvstore.wire.http2.sender import Sender
from kvstore.wire.http2.stream import Consumer, Stream

HELD_BYTES_MAX = 64 << 20
"""Unfinished messages of one connection."""

OpenPlain = Callable[[Sender, Stream, RequestHead], Consumer]
"""Serves a request that is not gRPC."""


_PLAIN = object()
"""The route of a request that is not gRPC."""


class Routes:
    """The methods of a server by path, shared by its connections."""

    def __init__(
        self, methods: Mapping[str, UnaryRoute | StreamRoute], tallies: Tallies | None = None
    ) -> None:
        self.tallies = tallies or Tallies()
        self._methods = dict(methods)
        self._services = {path.rpartition("/")[0] for path in methods}

    def find(self, head: RequestHead) -> UnaryRoute | StreamRoute | Refusal:
        """Return who serves `head`, or grpc-go's refusal of it."""
        if head.method != "POST":
            text = f'Received a HEADERS frame with :method "{head.method}" which should be POST'
            return Refusal(Code.INTERNAL, text, 405)
        encoding = head.headers.get("grpc-encoding", "identity")
        if encoding not in ("identity", "gzip"):
            text = f'grpc: Decompressor is not installed for grpc-encoding "{encoding}"'
            return Refusal(Code.UNIMPLEMENTED, text)
        route = self._methods.get(head.path)
        if route is not None:
            return route
        service, slash, method = head.path.removeprefix("/").rpartition("/")
        if not slash:
            return Refusal(Code.UNIMPLEMENTED, f'malformed method name: "{head.path}"')
        if f"/{service}" in self._services:
            text = f"unknown method {method} for service {service}"
            return Refusal(Code.UNIMPLEMENTED, text)
        return Refusal(Code.UNIMPLEMENTED, f"unknown service {service}")

    def tally(self, head: RequestHead, route: UnaryRoute | StreamRoute | Refusal) -> Tally:
        """Return where calls with this head are counted."""
        if isinstance(route, Refusal):
            return UNCOUNTED
        version = head.headers.get("client-api-version", UNKNOWN)
        return self.tallies.of(head.path, version, is_stream=isinstance(route, StreamRoute))


class Dispatcher:
    """Serves the requests of one connection (`http2.connection.Requests`)."""

    def __init__(
        self, sender: Sender, routes: Routes, open_plain: OpenPlain, *, message_bytes_max: int
    ) -> None:
        self.held_bytes = 0
        self._sender = sender
        self._routes = routes
        self._open_plain = open_plain
        self._message_bytes_max = message_bytes_max

    def prepare(self, head: RequestHead) -> None:
        """Tell gRPC from plain HTTP by the content type, and find the method."""
        if not head.headers.get("content-type", "").startswith("application/grpc"):
            head.route = _PLAIN
            return
        try:
            route = self._routes.find(head)
            rpc = Rpc(route, head.headers, self._routes.tally(head, route))
        except BadMetadata as error:
            rpc = Rpc(Refusal(Code.INTERNAL, str(error), 400), {})
        head.route = rpc
        head.takes_whole = type(rpc.route) is UnaryRoute

    def whole(self, head: RequestHead, streams: list[Stream], bodies: list[bytes]) -> None:
        """Serve requests that arrived together, each in one piece."""
        rpc = head.route
        if type(rpc) is Rpc and type(rpc.route) is UnaryRoute:
            messages = _messages(bodies, self._message_bytes_max)
            handle_each = rpc.route.handle_each
            if messages is not None:
                tally = rpc.tally
                tally.started += len(streams)
                if handle_each is not None and len(streams) > 1 and tally.clock is None:
                    handle_each(UnaryCalls(self._sender, streams, rpc), messages)
                    return
                handle = rpc.route.handle
                kind = UnaryCall if tally.clock is None else TimedUnaryCall
                for stream, message in zip(streams, messages, strict=True):
                    handle(kind(self._sender, stream, rpc), message)
                return
        for stream, body in zip(streams, bodies, strict=True):
            stream.consumer = consumer = self.open(stream, head)
            if body:
                consumer.data(body)
            if stream.is_open:
                consumer.ended()

    def open(self, stream: Stream, head: RequestHead) -> Consumer:
        """Serve a request whose body may follow."""
        rpc = head.route
        if type(rpc) is not Rpc:
            return self._open_plain(self._sender, stream, head)
        route = rpc.route
        if isinstance(route, Refusal):
            return self._refuse(stream, route)
        reader = MessageReader(message_bytes_max=self._message_bytes_max, encoding=rpc.encoding)
        if isinstance(route, UnaryRoute):
            rpc.tally.started += 1
            kind = UnaryCall if rpc.tally.clock is None else TimedUnaryCall
            return _UnaryConsumer(self, route, kind(self._sender, stream, rpc), reader)
        call = StreamCall(self._sender, stream, rpc)
        return _StreamConsumer(self, route.open(call), call, reader)

    def _refuse(self, stream: Stream, refusal: Refusal) -> Consumer:
        send_status(
            self._sender,
            stream,
            refusal.code,
            refusal.text,
            http_status=refusal.http_status,
        )
        return _NOBODY


def _messages(bodies: list[bytes], bytes_max: int) -> list[bytes] | None:
    """Return the one uncompressed message that each body holds, or None if one holds another."""
    messages = []
    size = len(bodies[0]) - PREFIX_BYTES
    if 0 <= size <= bytes_max:  # one look for all that are like the first
        start, length = _prefix(size), PREFIX_BYTES + size
        messages = [
            body[PREFIX_BYTES:] for body in bodies if len(body) == length and body.startswith(start)
        ]
        if len(messages) == len(bodies):
            return messages
        messages = []
    for body in bodies:
        size = len(body) - PREFIX_BYTES
        if not 0 <= size <= bytes_max or not body.startswith(_prefix(size)):
            return None
        messages.append(body[PREFIX_BYTES:])
    return messages


@lru_cache(1024)
def _prefix(size: int) -> bytes:
    return PREFIX.pack(0, size)


class _Nobody:
    """Consumes a request that has been answered already."""

    expects_end = False

    def data(self, payload: bytes) -> None:
        pass

    def ended(self) -> None:
        pass

    def drained(self) -> None:
        pass

    def released(self) -> None:
        pass

    def aborted(self) -> None:
        pass


_NOBODY = _Nobody()


class _Body:
    """Counts what a call's reader holds into its connection's bound."""

    __slots__ = ("_dispatcher", "_held_bytes", "_reader")

    def __init__(self, dispatcher: Dispatcher, reader: MessageReader) -> None:
        self._dispatcher = dispatcher
        self._reader = reader
        self._held_bytes = 0

    def messages(self, payload: bytes) -> list[bytes]:
        """Return the messages that `payload` completes."""
        messages = list(self._reader.messages(payload))
        self._hold(self._reader.held_bytes)
        if self._dispatcher.held_bytes > HELD_BYTES_MAX:
            raise BadMessage(Code.RESOURCE_EXHAUSTED, "grpc: too many unfinished messages")
        return messages

    @property
    def is_unfinished(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._held_bytes > 0

    def drop(self) -> None:
        """Hold nothing any more."""
        self._hold(0)

    def _hold(self, held_bytes: int) -> None:
        self._dispatcher.held_bytes += held_bytes - self._held_bytes
        self._held_bytes = held_bytes


class _UnaryConsumer:
    """Collects the one message of a unary call."""

    __slots__ = ("_body", "_call", "_message", "_route", "expects_end")

    def __init__(
        self, dispatcher: Dispatcher, route: UnaryRoute, call: UnaryCall, reader: MessageReader
    ) -> None:
        self.expects_end = True
        self._body = _Body(dispatcher, reader)
        self._route = route
        self._call = call
        self._message: bytes | None = None

    def data(self, payload: bytes) -> None:
        try:
            messages = self._body.messages(payload)
        except BadMessage as error:
            self._fail(error.code, error.text)
            return
        for message in messages:
            if self._message is not None:
                self._fail(
                    Code.INTERNAL,
                    "cardinality violation: received multiple request messages for "
                    "non-client-streaming RPC",
                )
                return
            self._message = message

    def ended(self) -> None:
        self.expects_end = False
        if self._body.is_unfinished:
            self._fail(Code.INTERNAL, "unexpected EOF")
        elif self._message is None:
            self._fail(
                Code.INTERNAL,
                "cardinality violation: received no request message from non-client-streaming RPC",
            )
        elif self._call.is_open:
            self._route.handle(self._call, self._message)

    def drained(self) -> None:
        pass

    def released(self) -> None:
        self._body.drop()

    def aborted(self) -> None:
        pass

    def _fail(self, code: Code, text: str) -> None:
        self._body.drop()
        self._call.fail(code, text)


class _StreamConsumer:
    """Hands a streaming call's messages to its handler as they come."""

    __slots__ = ("_body", "_call", "_handler", "_is_closed", "expects_end")

    def __init__(
        self,
        dispatcher: Dispatcher,
        handler: StreamHandler,
        call: StreamCall,
        reader: MessageReader,
    ) -> None:
        self.expects_end = False
        self._body = _Body(dispatcher, reader)
        self._handler = handler
        self._call = call
        self._is_closed = False

    def data(self, payload: bytes) -> None:
        if not self._call.is_open:
            return  # ended by us; what is queued for the client has not gone yet
        try:
            messages = self._body.messages(payload)
        except BadMessage as error:
            self._fail(error.code, error.text)
            return
        # A peer that stops within a message owes us its end; between messages it may rest.
        self.expects_end = self._body.is_unfinished
        self._call.count_received(len(messages))
        for message in messages:
            if not self._call.is_open:
                return
            self._handler.message_received(message)

    def ended(self) -> None:
        self.expects_end = False
        if not self._call.is_open:
            return
        if self._body.is_unfinished:
            self._fail(Code.INTERNAL, "unexpected EOF")
        else:
            self._handler.half_closed()

    def drained(self) -> None:
        if self._call.is_open:
            self._handler.drained()

    def released(self) -> None:
        self._body.drop()

    def aborted(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._call.count_end(Code.CANCELLED)
            self._handler.closed()

    def _fail(self, code: Code, text: str) -> None:
        self._body.drop()
        self._call.finish(code, text)
        self.aborted()
