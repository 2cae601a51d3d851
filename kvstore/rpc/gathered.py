"""Calls of many connections that came in one turn, to be answered together.

One client with many calls sends them in one piece (`UnaryCalls`). Many clients with a call each are
as many pieces; what is done for all of them at once costs each as little.
"""

from collections.abc import Callable, Mapping, Sequence

from kvstore.member import Member
from kvstore.rpc.call import UnaryCall, UnaryCalls

_NO_METADATA: Mapping[str, str] = {}


class GatheredCalls:
    """`UnaryCalls` made of single calls; who gathers them has looked at their metadata."""

    __slots__ = ("_calls",)

    def __init__(self, calls: list[UnaryCall]) -> None:
        self._calls = calls

    @property
    def metadata(self) -> Mapping[str, str]:
        """None that matters any more."""
        return _NO_METADATA

    def one(self, index: int) -> UnaryCall:
        """Return one of them."""
        return self._calls[index]

    def reply_each(self, first: int, messages: Sequence[bytes]) -> None:
        """End the calls from `first` on with OK, each with its message."""
        calls = self._calls[first : first + len(messages)]
        for call, message in zip(calls, messages, strict=True):
            call.reply(message)

    def fail(self, code: int, text: str) -> None:
        """End all that have not been answered with a status other than OK."""
        for call in self._calls:
            call.fail(code, text)


Handle = Callable[[UnaryCalls, list[bytes]], None]
"""Serves calls of one kind together, and raises nothing."""


class Gathering:
    """Gathers calls until the member's next turn, in the order in which they came."""

    __slots__ = ("_asked", "_calls", "_groups", "_handle", "_member")

    def __init__(self, member: Member) -> None:
        self._member = member
        self._groups: list[tuple[Handle, list[UnaryCall], list[bytes]]] = []
        self._handle: Handle | None = None
        """Of the last group; None without groups."""
        self._calls: list[UnaryCall] = []
        self._asked: list[bytes] = []

    def add(self, handle: Handle, call: UnaryCall, asked: bytes) -> None:
        """Take a call that passed all checks of its own."""
        is_first = self._handle is None
        if handle is not self._handle:
            self._handle, self._calls, self._asked = handle, [], []
            self._groups.append((handle, self._calls, self._asked))
        self._calls.append(call)
        self._asked.append(asked)
        if is_first:
            self._member.before_turn(self.hand_over)

    def hand_over(self) -> None:
        """Serve what has been gathered: before whatever is not to overtake it."""
        if self._handle is None:
            return
        groups, self._groups, self._handle = self._groups, [], None
        for handle, calls, asked in groups:
            handle(GatheredCalls(calls), asked)
