"""The writing side: a client notes what it asks and what it is told, as it happens."""

from dataclasses import dataclass, replace

from kvstore.base.clock import Clock
from kvstore.check.history import (
    FOREVER,
    NOTHING,
    Band,
    History,
    Operation,
    Outcome,
    Watch,
    WatchResponse,
)
from kvstore.check.json_value import Fields, Json


@dataclass(slots=True)
class OpenBand:
    """A fault or a term that goes on."""

    place: int


class Call:
    """One invocation; exactly one of `ok`, `refused` and `unknown` ends it.

    One that is never ended counts as unknown and open.
    """

    __slots__ = ("_operation", "_recorder")

    def __init__(self, recorder: "Recorder", operation: Operation) -> None:
        self._recorder = recorder
        self._operation = operation

    def ok(self, result: Json = None) -> None:
        """It took effect, with this result."""
        self._end(Outcome.OK, result=result)

    def refused(self, error: str = "") -> None:
        """It did not take effect, and never will."""
        self._end(Outcome.REFUSED, error=error)

    def unknown(self, error: str = "") -> None:
        """It may have taken effect, may do so later, or never."""
        self._end(Outcome.UNKNOWN, error=error)

    def _end(self, outcome: Outcome, *, result: Json = None, error: str = "") -> None:
        now = self._recorder.now()
        ended = replace(self._operation, outcome=outcome, returned=now, result=result, error=error)
        self._recorder.finish(ended)


class Recorder:
    """Collects one history. Not for several threads at once: give each its own, on one clock."""

    def __init__(self, clock: Clock, *, start_revision: int = 1, is_complete: bool = True) -> None:
        self._clock = clock
        self._start_revision = start_revision
        self._is_complete = is_complete
        self._operations: list[Operation] = []
        self._bands: list[Band] = []
        self._watches: dict[str, tuple[Watch, list[WatchResponse]]] = {}

    def now(self) -> float:
        """Return the instant that the next record gets."""
        return self._clock.monotonic()

    def invoke(
        self, client: str, kind: str, arguments: Fields = NOTHING, *, endpoint: str = ""
    ) -> Call:
        """Note a call before it is made."""
        operation = Operation(
            index=len(self._operations),
            client=client,
            kind=kind,
            arguments=arguments,
            invoked=self.now(),
            returned=FOREVER,
            outcome=Outcome.UNKNOWN,
            endpoint=endpoint,
        )
        self._operations.append(operation)
        return Call(self, operation)

    def finish(self, ended: Operation) -> None:
        """Replace the open operation by how it ended; `Call` does this."""
        assert self._operations[ended.index].returned == FOREVER, "an operation ends once"
        self._operations[ended.index] = ended

    def begin(self, kind: str, name: str, target: str = "") -> OpenBand:
        """Note that a fault or a leader's term began."""
        band = Band(kind=kind, name=name, start=self.now(), end=FOREVER, target=target)
        self._bands.append(band)
        return OpenBand(len(self._bands) - 1)

    def end(self, band: OpenBand) -> None:
        """Note that it ended."""
        self._bands[band.place] = replace(self._bands[band.place], end=self.now())

    def watch(self, watch: Watch) -> None:
        """Note a watch before it is asked for; its name must be new."""
        assert watch.name not in self._watches
        self._watches[watch.name] = (watch, list(watch.responses))

    def told(self, watch: str, response: WatchResponse) -> None:
        """Note a response, in the order of arrival."""
        self._watches[watch][1].append(response)

    def history(self) -> History:
        """Return what was recorded so far."""
        return History(
            operations=tuple(self._operations),
            watches=tuple(
                replace(watch, responses=tuple(told)) for watch, told in self._watches.values()
            ),
            bands=tuple(self._bands),
            is_complete=self._is_complete,
            start_revision=self._start_revision,
        )
