"""Calls in progress: what a service holds while it makes up its mind.

A call outlives its stream harmlessly: once the client has gone, answers are dropped here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from kvstore.base.errors import Code
from kvstore.wire.grpc.metadata import metadata_of, timeout_s
from kvstore.wire.grpc.replies import (
    OK_TRAILERS,
    begin_message,
    send_message,
    send_replies,
    send_reply,
    send_status,
)
from kvstore.wire.grpc.tallies import UNCOUNTED, Tally
from kvstore.wire.http2.sender import Sender
from kvstore.wire.http2.stream import Stream
from kvstore.wire.plain import BodyEvents


class UnaryCall:
    """One unary rpc. The first answer counts, later ones are dropped."""

    __slots__ = ("_rpc", "_sender", "_stream")

    def __init__(self, sender: Sender, stream: Stream, rpc: "Rpc") -> None:
        self._sender = sender
        self._stream = stream
        self._rpc = rpc

    @property
    def metadata(self) -> Mapping[str, str]:
        """Request metadata; shared with other calls, so not to be changed."""
        return self._rpc.metadata

    @property
    def client_name(self) -> str:
        """The common name of the client's verified certificate; empty without one."""
        return self._sender.client_name

    @property
    def timeout_s(self) -> float | None:
        """The client's `grpc-timeout` in seconds."""
        return self._rpc.timeout_s

    @property
    def is_open(self) -> bool:
        """Whether an answer can still reach the client."""
        stream = self._stream
        return stream.is_open and stream.trailers is None

    def reply(self, message: bytes) -> None:
        """End the call with OK and `message`."""
        stream = self._stream
        if stream.is_open and stream.trailers is None:
            self._rpc.tally.sent += 1
            send_reply(self._sender, stream, message)
        else:
            self._rpc.tally.ended[Code.CANCELLED] += 1

    def begin(self, message_bytes: int, events: BodyEvents) -> "ReplyBody":
        """End the call with OK and a message of so many bytes, which follow."""
        self._rpc.tally.sent += 1
        return ReplyBody(self._sender, self._stream, message_bytes, events)

    def fail(self, code: int, text: str) -> None:
        """End the call with a status other than OK."""
        assert code, "a unary call that succeeds has a message"
        if self.is_open:
            self._rpc.tally.ended[code] += 1
            send_status(self._sender, self._stream, code, text)


class ReplyBody:
    """The message of a unary call, sent bit by bit; and who hears of its stream meanwhile."""

    expects_end = False

    def __init__(
        self, sender: Sender, stream: Stream, message_bytes: int, events: BodyEvents
    ) -> None:
        self._sender = sender
        self._stream = stream
        self._events = events
        self._left_bytes = message_bytes
        if stream.is_open:
            stream.consumer = self
            begin_message(sender, stream, message_bytes)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that neither windows nor socket have taken."""
        return self._stream.queued_bytes

    def write(self, data: bytes) -> None:
        """Queue a part; never waits."""
        self._left_bytes -= len(data)
        assert self._left_bytes >= 0, "a message longer than was said"
        self._sender.data(self._stream, data)

    def end(self) -> None:
        """End the call with OK, after everything queued."""
        assert not self._left_bytes or not self._stream.is_open, "a message shorter than was said"
        self._sender.end(self._stream, OK_TRAILERS)

    # --- the stream's consumer, once the request is whole

    def data(self, payload: bytes) -> None:
        """Nothing follows a whole request."""

    def ended(self) -> None:
        """It had ended."""

    def drained(self) -> None:
        """Go on."""
        self._events.drained()

    def released(self) -> None:
        """Nothing of the request is held."""

    def aborted(self) -> None:
        """The client is gone."""
        self._events.closed()


class TimedUnaryCall(UnaryCall):
    """One whose time is measured, from its whole request to its answer."""

    __slots__ = ("_started",)

    def __init__(self, sender: Sender, stream: Stream, rpc: "Rpc") -> None:
        super().__init__(sender, stream, rpc)
        self._started = _now(rpc.tally)

    def reply(self, message: bytes) -> None:
        """End the call with OK and `message`."""
        self._measure()
        super().reply(message)

    def begin(self, message_bytes: int, events: BodyEvents) -> ReplyBody:
        """End the call with OK and a message that follows; measured up to here."""
        self._measure()
        return super().begin(message_bytes, events)

    def fail(self, code: int, text: str) -> None:
        """End the call with a status other than OK."""
        self._measure()
        super().fail(code, text)

    def _measure(self) -> None:
        tally = self._rpc.tally
        tally.seconds.observe(_now(tally) - self._started)


def _now(tally: Tally) -> float:
    assert tally.clock is not None, "the time of these calls is not measured"
    return tally.clock()


class UnaryCalls:
    """Unary rpcs of one connection that arrived together, all with the same head."""

    __slots__ = ("_rpc", "_sender", "_streams")

    def __init__(self, sender: Sender, streams: list[Stream], rpc: "Rpc") -> None:
        self._sender = sender
        self._streams = streams
        self._rpc = rpc

    @property
    def metadata(self) -> Mapping[str, str]:
        """Request metadata; shared with other calls, so not to be changed."""
        return self._rpc.metadata

    def one(self, index: int) -> UnaryCall:
        """Return one of them, to be answered by itself."""
        return UnaryCall(self._sender, self._streams[index], self._rpc)

    def reply_each(self, first: int, messages: Sequence[bytes]) -> None:
        """End the calls from `first` on with OK, each with its message."""
        self._rpc.tally.sent += len(messages)
        send_replies(self._sender, self._streams[first : first + len(messages)], messages)

    def fail(self, code: int, text: str) -> None:
        """End all that have not been answered with a status other than OK."""
        for index in range(len(self._streams)):
            self.one(index).fail(code, text)


class StreamCall:
    """One streaming rpc, as its handler may use it."""

    __slots__ = ("_rpc", "_sender", "_started", "_stream", "_tally")

    def __init__(self, sender: Sender, stream: Stream, rpc: "Rpc") -> None:
        self._sender = sender
        self._stream = stream
        self._rpc = rpc
        self._tally: Tally | None = rpc.tally
        """None once its end is counted."""
        rpc.tally.started += 1
        self._started = rpc.tally.clock() if rpc.tally.clock is not None else 0.0

    @property
    def metadata(self) -> Mapping[str, str]:
        """Request metadata; shared with other calls, so not to be changed."""
        return self._rpc.metadata

    @property
    def client_name(self) -> str:
        """The common name of the client's verified certificate; empty without one."""
        return self._sender.client_name

    @property
    def timeout_s(self) -> float | None:
        """The client's `grpc-timeout` in seconds."""
        return self._rpc.timeout_s

    @property
    def is_open(self) -> bool:
        """Whether a message can still reach the client."""
        stream = self._stream
        return stream.is_open and stream.trailers is None

    @property
    def unsent_bytes(self) -> int:
        """Bytes given to `send` that neither windows nor socket have taken."""
        return self._stream.queued_bytes

    def send(self, message: bytes) -> None:
        """Queue a message; never waits."""
        stream = self._stream
        if stream.trailers is None:
            self._rpc.tally.sent += 1
            send_message(self._sender, stream, message)

    def finish(self, code: int = 0, text: str = "") -> None:
        """End the stream with a status, after everything queued."""
        if self.is_open:
            self.count_end(code)
            send_status(self._sender, self._stream, code, text)

    def count_received(self, messages: int) -> None:
        """Count messages of the client."""
        self._rpc.tally.received += messages

    def count_end(self, code: int) -> None:
        """Count the end of the stream; the first one counts."""
        tally, self._tally = self._tally, None
        if tally is not None:
            tally.ended[code] += 1
            if tally.clock is not None:
                tally.seconds.observe(tally.clock() - self._started)


class StreamHandler(Protocol):
    """The service's side of one streaming rpc; see the port of the same name in `rpc.call`."""

    def message_received(self, message: bytes) -> None:
        """A whole message of the client."""
        ...

    def half_closed(self) -> None:
        """The client sends no more."""
        ...

    def drained(self) -> None:
        """`unsent_bytes` is low again."""
        ...

    def closed(self) -> None:
        """Nothing can be sent any more."""
        ...


class UnaryRoute(NamedTuple):
    """Serves a method with one request and one reply."""

    handle: Callable[[UnaryCall, bytes], None]
    handle_each: Callable[[UnaryCalls, list[bytes]], None] | None = None
    """The same for calls that arrived together, if that is cheaper."""


class StreamRoute(NamedTuple):
    """Serves a method with any number of messages each way."""

    open: Callable[[StreamCall], StreamHandler]


class Refusal(NamedTuple):
    """Answers every call with the same status."""

    code: int
    text: str
    http_status: int = 200


class Rpc:
    """What a request head asks of gRPC: derived once a header block, kept in its `route`."""

    __slots__ = ("encoding", "metadata", "route", "tally", "timeout_s")

    def __init__(
        self,
        route: UnaryRoute | StreamRoute | Refusal,
        headers: Mapping[str, str],
        tally: Tally = UNCOUNTED,
    ) -> None:
        """Raises BadMetadata."""
        self.route = route
        self.tally = tally
        self.encoding = headers.get("grpc-encoding")
        timeout = headers.get("grpc-timeout")
        self.timeout_s = None if timeout is None else timeout_s(timeout)
        self.metadata: Mapping[str, str] = metadata_of(headers)
