"""How many calls of each method began, and how they ended: for metrics, at a few additions a call.

Calls that come and go together are added together. What succeeded is what was answered; a call
whose client left before its answer counts as cancelled when the answer comes.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from kvstore.base.errors import Code
from kvstore.base.histogram import RPC_BOUNDS_S, Histogram

VERSIONS_MAX = 100
"""Clients name their version themselves: further ones are counted together."""
_OTHER = "other"
UNKNOWN = "unknown"


class Tally:
    """Of one method, and of clients of one version."""

    __slots__ = ("clock", "ended", "is_stream", "received", "seconds", "sent", "started")

    def __init__(
        self, *, is_stream: bool = False, clock: Callable[[], float] | None = None
    ) -> None:
        """`clock`: seconds, if the time of each call is to be measured."""
        self.is_stream = is_stream
        self.clock = clock
        self.started = 0
        self.received = 0
        """Messages."""
        self.sent = 0
        self.ended: Counter[int] = Counter()
        """Calls by their status; those of unary methods that succeeded are `sent`."""
        self.seconds = Histogram(RPC_BOUNDS_S)

    def by_code(self) -> Iterator[tuple[int, int]]:
        """Yield each status that calls ended with, and their number."""
        if not self.is_stream and self.sent:
            yield Code.OK, self.sent
        yield from sorted(self.ended.items())


UNCOUNTED = Tally()
"""Of calls that are no method's."""


class Tallies:
    """Those of a server, by path and version of the client."""

    def __init__(self, *, clock: Callable[[], float] | None = None) -> None:
        """`clock`: seconds, if the time of each call is to be measured."""
        self._clock = clock
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._versions: set[str] = set()

    def of(self, path: str, version: str, *, is_stream: bool) -> Tally:
        """Return the tally of a method that is served."""
        if version not in self._versions:
            if len(self._versions) >= VERSIONS_MAX:
                version = _OTHER
            self._versions.add(version)
        found = self._tallies.get((path, version))
        if found is None:
            found = Tally(is_stream=is_stream, clock=self._clock)
            self._tallies[path, version] = found
        return found

    def items(self) -> Iterator[tuple[str, str, Tally]]:
        """Yield path, version and tally of every method that was called."""
        for (path, version), tally in sorted(self._tallies.items(), key=lambda item: item[0]):
            yield path, version, tally
