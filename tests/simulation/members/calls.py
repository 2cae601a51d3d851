"""A client's end of an rpc: requests and answers take time, and the server may die in between."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from kvstore.base.errors import Code
from kvstore.rpc.call import StreamMethod, UnaryMethod
from tests.simulation.members.machine import Machine
from tests.support.world import World

REFUSED_CONNECTION = "connection refused"
LOST_CONNECTION = "connection lost"
CLIENT_DEADLINE = "client deadline"
ROOT = "root"
"""The name in every client's certificate; a token counts before it."""
_DETECTION_S = 0.01
_AMBIGUOUS = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED)


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ended, if not well."""

    code: Code
    text: str

    @property
    def is_ambiguous(self) -> bool:
        """Whether the request may have been, or may yet be, carried out."""
        return self.code in _AMBIGUOUS and self.text != REFUSED_CONNECTION


class Wire:
    """Delays between clients and members."""

    def __init__(self, world: World, delay_s: tuple[float, float]) -> None:
        self.world = world
        self._delay_s = delay_s

    def later(self, action: Callable[..., None], *arguments: object) -> None:
        self.world.after(self.world.dice.uniform(*self._delay_s), action, *arguments)


Answer = bytes | Status


class UnaryRequest:
    """One unary rpc; `done` is called once."""

    def __init__(  # noqa: PLR0913 - the two ends, and what goes between
        self,
        wire: Wire,
        machine: Machine,
        path: str,
        message: bytes,
        done: Callable[[Answer], None],
        *,
        timeout_s: float,
        token: str = "",
    ) -> None:
        self.metadata: Mapping[str, str] = {"token": token} if token else {}
        self.client_name = ROOT
        self.is_open = True
        self._wire = wire
        self._machine = machine
        self._done = done
        wire.later(self._arrive, path, message)
        wire.world.after(timeout_s, self._finish, Status(Code.DEADLINE_EXCEEDED, CLIENT_DEADLINE))

    # --- the server's side (kvstore.rpc UnaryCall)

    def reply(self, message: bytes) -> None:
        self._answer(message)

    def fail(self, code: int, text: str) -> None:
        self._answer(Status(Code(code), text))

    # --- inside

    def _arrive(self, path: str, message: bytes) -> None:
        machine = self._machine
        if not self.is_open:
            return
        if not machine.is_alive:
            self._wire.later(self._finish, Status(Code.UNAVAILABLE, REFUSED_CONNECTION))
            return
        method = machine.methods[path]
        assert isinstance(method, UnaryMethod)
        machine.connections[self] = self._lost
        machine.post(0.0, method.handle, self, message)

    def _answer(self, answer: Answer) -> None:
        self._machine.connections.pop(self, None)
        self._wire.later(self._finish, answer)

    def _lost(self) -> None:
        lost = Status(Code.UNAVAILABLE, LOST_CONNECTION)
        self._wire.world.after(_DETECTION_S, self._finish, lost)

    def _finish(self, answer: Answer) -> None:
        if self.is_open:
            self.is_open = False
            self._machine.connections.pop(self, None)
            self._done(answer)


class StreamReader(Protocol):
    """The client's program behind a stream."""

    def received(self, message: bytes, sent_state: int) -> None:
        """A message, and what `state` was when it was sent."""
        ...

    def ended(self, status: Status) -> None:
        """Nothing more comes."""
        ...


class StreamRequest:
    """One streaming rpc. Messages arrive in order, one after the other at the reader's pace."""

    def __init__(  # noqa: PLR0913 - the two ends, and what goes between
        self,
        wire: Wire,
        machine: Machine,
        path: str,
        reader: StreamReader,
        *,
        message_s: float,
        state: Callable[[], int] = lambda: 0,
    ) -> None:
        self.metadata: Mapping[str, str] = {"hasleader": "true"}
        self.client_name = ROOT
        self.is_open = True
        self.unsent_bytes = 0
        self._wire = wire
        self._machine = machine
        self._reader = reader
        self._message_s = message_s
        self._state = state
        self._queue: deque[tuple[bytes, int]] = deque()
        self._end: Status | None = None
        self._requests: deque[bytes] = deque()
        self._is_accepted = False
        self._is_reading = False
        wire.later(self._arrive, path)

    # --- the client's side

    def request(self, message: bytes) -> None:
        self._requests.append(message)
        if self._is_accepted:
            self._wire.later(self._deliver)

    def cancel(self) -> None:
        """Close without a word."""
        if self.is_open:
            self._close()
            if self._is_accepted:
                self._machine.post(0.0, self._handler.closed)

    # --- the server's side (kvstore.rpc StreamCall)

    def send(self, message: bytes) -> None:
        self.unsent_bytes += len(message)
        self._queue.append((message, self._state()))
        self._read_on()

    def finish(self, code: int = 0, text: str = "") -> None:
        self._end = Status(Code(code), text)
        self._read_on()

    # --- inside

    def _arrive(self, path: str) -> None:
        machine = self._machine
        if not self.is_open:
            return
        if not machine.is_alive:
            self._wire.later(self._ended, Status(Code.UNAVAILABLE, REFUSED_CONNECTION))
            return
        method = machine.methods[path]
        assert isinstance(method, StreamMethod)
        machine.connections[self] = self._lost
        machine.post(0.0, self._accept, method)

    def _accept(self, method: StreamMethod) -> None:
        self._handler = method.open(self)
        self._is_accepted = True
        for _ in range(len(self._requests)):
            self._deliver()

    def _deliver(self) -> None:
        if self.is_open and self._requests:
            message = self._requests.popleft()
            self._machine.post(0.0, self._handler.message_received, message)

    def _read_on(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self._wire.world.after(self._message_s, self._read)

    def _read(self) -> None:
        self._is_reading = False
        if not self.is_open:
            return
        if self._queue:
            message, state = self._queue.popleft()
            self.unsent_bytes -= len(message)
            self._reader.received(message, state)
            if not self.is_open:
                return
            if not self._queue and self._machine.is_alive and self._end is None:
                self._machine.post(0.0, self._handler.drained)
        elif self._end is not None:
            self._ended(self._end)
            return
        if self._queue or self._end is not None:
            self._read_on()

    def _lost(self) -> None:
        lost = Status(Code.UNAVAILABLE, LOST_CONNECTION)
        self._wire.world.after(_DETECTION_S, self._ended, lost)

    def _ended(self, status: Status) -> None:
        if self.is_open:
            self._close()
            self._reader.ended(status)

    def _close(self) -> None:
        self.is_open = False
        self._machine.connections.pop(self, None)
