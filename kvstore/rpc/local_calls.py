"""Calls of this member's own services, on behalf of a client of another one of them.

They pass the same handlers as a client's calls, with that client's identity: whoever may not do
something by the KV service may not do it by a lock either.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from kvstore.base.errors import Code, RequestRefused, RpcError
from kvstore.member.ports import Scheduler
from kvstore.rpc.call import Method, StreamHandler, StreamMethod, UnaryMethod, WholeReply
from kvstore.wire.plain import Body, BodyEvents

_Reply = TypeVar("_Reply", bound=Message)

UNSENT_BYTES_MAX = 4 << 20


class Client(Protocol):
    """A client's call, unary or not."""

    @property
    def metadata(self) -> Mapping[str, str]: ...

    @property
    def client_name(self) -> str: ...

    @property
    def is_open(self) -> bool: ...


class CallFailed(RequestRefused):
    """How a call of ours ended, as it is told to the client: with its text."""

    def __init__(self, code: int, message: str) -> None:
        self.code = Code(code)
        self.message = message
        super().__init__()


class LocalCalls:
    """The methods of this member, called without a wire."""

    def __init__(self, methods: Mapping[str, Method], scheduler: Scheduler) -> None:
        self._methods = methods
        self._scheduler = scheduler

    def unary(
        self,
        path: str,
        request: Message,
        reply: type[_Reply],
        client: Client,
        done: Callable[[_Reply | RpcError], None],
    ) -> None:
        """Call a unary method; `done` gets its reply or how it failed, now or later."""
        method = self._methods[path]
        assert isinstance(method, UnaryMethod)

        def answered(message: bytes | RpcError) -> None:
            done(message if isinstance(message, RpcError) else reply.FromString(message))

        method.handle(_UnaryCall(client, answered), request.SerializeToString())

    def stream(
        self,
        path: str,
        request: Message,
        client: Client,
        received: Callable[[bytes], None],
        ended: Callable[[RpcError | None], None],
    ) -> Callable[[], None]:
        """Open a streaming method with one request; return what closes it.

        `received` gets each message; `ended` is called once, unless the stream is closed first.
        """
        method = self._methods[path]
        assert isinstance(method, StreamMethod)
        call = _StreamCall(client, self._scheduler, received, ended)
        handler = method.open(call)
        if call.is_open:
            handler.message_received(request.SerializeToString())
        return lambda: call.close(handler)


class _UnaryCall:
    """`UnaryCall` whose answer goes to a function."""

    timeout_s: float | None = None

    def __init__(self, client: Client, answered: Callable[[bytes | RpcError], None]) -> None:
        self._client = client
        self._answered: Callable[[bytes | RpcError], None] | None = answered

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._client.metadata

    @property
    def client_name(self) -> str:
        return self._client.client_name

    @property
    def is_open(self) -> bool:
        # Even if the client has left: what was begun for it may have to be taken back.
        return self._answered is not None

    def reply(self, message: bytes) -> None:
        self._answer(message)

    def begin(self, message_bytes: int, events: BodyEvents) -> Body:
        return WholeReply(self.reply)

    def fail(self, code: int, text: str) -> None:
        self._answer(CallFailed(code, text))

    def _answer(self, answer: bytes | RpcError) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(answer)


class _StreamCall:
    """`StreamCall` whose messages go to a function, in a step of their own.

    What sends them is in the middle of something: a watch hub that publishes, for one.
    """

    unsent_bytes = 0

    def __init__(
        self,
        client: Client,
        scheduler: Scheduler,
        received: Callable[[bytes], None],
        ended: Callable[[RpcError | None], None],
    ) -> None:
        self._client = client
        self._scheduler = scheduler
        self._received = received
        self._ended = ended
        self._is_open = True
        self._is_closed = False
        """Whether nobody listens any more."""

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._client.metadata

    @property
    def client_name(self) -> str:
        return self._client.client_name

    @property
    def is_open(self) -> bool:
        return self._is_open

    def send(self, message: bytes) -> None:
        self._scheduler.soon(partial(self._deliver, message))

    def finish(self, code: int = 0, text: str = "") -> None:
        if self._is_open:
            self._is_open = False
            error = CallFailed(code, text) if code else None
            self._scheduler.soon(partial(self._end, error))

    def close(self, handler: StreamHandler) -> None:
        self._is_closed = True
        if self._is_open:
            self._is_open = False
            handler.closed()

    def _deliver(self, message: bytes) -> None:
        if not self._is_closed:
            self._received(message)

    def _end(self, error: RpcError | None) -> None:
        if not self._is_closed:
            self._ended(error)
