"""What clients saw: the values that every checker reads, and the JSON lines they are kept in.

docs/formats/history.md describes the format. An instant is in seconds on one clock; only the order
of instants and, for leases, their distance matter.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from kvstore.check.json_value import (
    Fields,
    Json,
    MalformedHistory,
    flag,
    integer,
    items,
    mapping,
    number,
    text,
)

FORMAT = "kvstore-history"
VERSION = 1
NOTHING: Fields = MappingProxyType({})
FOREVER = float("inf")


class Outcome(StrEnum):
    """What a client knows about its operation when it stops waiting."""

    OK = "ok"
    """It took effect once, between invocation and return, with this result."""
    REFUSED = "refused"
    """It did not take effect, and never will."""
    UNKNOWN = "unknown"
    """It may take effect once, at any instant after its invocation, or never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call of one client."""

    index: int
    """Its place in the history, from 0: the name that reports use."""
    client: str
    kind: str
    arguments: Fields = field(default_factory=dict)
    invoked: float
    returned: float
    """When the client stopped waiting; `FOREVER` if the history ends before."""
    outcome: Outcome
    result: Json = None
    error: str = ""
    endpoint: str = ""
    """The member that was asked, where the client knows it."""

    @property
    def completed(self) -> float:
        """The latest instant at which it can have taken effect, if it has."""
        return self.returned if self.outcome is Outcome.OK else FOREVER

    @property
    def fields(self) -> Fields:
        """The result as an object; empty where it is none."""
        return self.result if isinstance(self.result, Mapping) else NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Something that went on beside the clients: a fault, or a member's time as leader."""

    kind: str
    """`fault` or `term`."""
    name: str
    start: float
    end: float
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change, as a watch shows it."""

    key: str
    revision: int
    """The revision of the change: the mod_revision of its key-value."""
    is_delete: bool = False
    value: str = ""
    create_revision: int = 0
    """0 where it was not recorded; so for `version`."""
    version: int = 0
    lease: int = 0
    previous: Fields | None = None
    """`{"value": ..., "mod_revision": ...}` of the key-value before; None where none was sent."""


class ResponseKind(StrEnum):
    """What a watch response is for."""

    CREATED = "created"
    EVENTS = "events"
    PROGRESS = "progress"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchResponse:
    """One response of a watch, as it came."""

    kind: ResponseKind
    time: float
    revision: int
    """The header's revision."""
    events: tuple[Event, ...] = ()
    is_fragment: bool = False
    """Whether the next response continues this one."""
    compact_revision: int = 0
    endpoint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One watch of one client and all that it was told, in the order of arrival."""

    name: str
    client: str
    key: str
    range_end: str = ""
    start_revision: int = 0
    no_put: bool = False
    no_delete: bool = False
    wants_previous: bool = False
    responses: tuple[WatchResponse, ...] = ()

    @property
    def created_revision(self) -> int | None:
        """The store's revision when the watch was created; None if that was never told."""
        created = (r.revision for r in self.responses if r.kind is ResponseKind.CREATED)
        return next(created, None)

    @property
    def events(self) -> Iterator[Event]:
        """All events, in the order of arrival."""
        return (event for response in self.responses for event in response.events)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that was recorded of one run."""

    operations: tuple[Operation, ...] = ()
    watches: tuple[Watch, ...] = ()
    bands: tuple[Band, ...] = ()
    is_complete: bool = True
    """Whether nobody else wrote to the store, so that every revision has a writer in here."""
    start_revision: int = 1
    """The store's revision when the history began; the keyspace was empty then."""

    def __post_init__(self) -> None:
        for index, operation in enumerate(self.operations):
            if operation.index != index:
                raise MalformedHistory(f"operation {index} calls itself {operation.index}")
            # `not (a <= b)` is true for NaN too, which would make every comparison below a lie.
            if not (operation.invoked <= operation.returned):
                raise MalformedHistory(f"operation {index} returns before it is invoked")

    @property
    def end(self) -> float:
        """The last instant that the history knows."""
        return max(self._instants(), default=0.0)

    @property
    def start(self) -> float:
        """The first instant that the history knows."""
        return min(self._instants(), default=0.0)

    def _instants(self) -> Iterator[float]:
        for operation in self.operations:
            yield operation.invoked
            if operation.returned != FOREVER:
                yield operation.returned
        for watch in self.watches:
            yield from (response.time for response in watch.responses)
        for band in self.bands:
            yield band.start
            if band.end != FOREVER:
                yield band.end


def read_history(lines: Iterable[str]) -> History:
    """Read a history from JSON lines; empty lines are skipped.

    Raises:
        MalformedHistory: a line is no record of this format; its number is in the text.
    """
    reader = _Reader()
    for line_number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                reader.add(mapping(json.loads(line), "a line"))
            except (MalformedHistory, ValueError, RecursionError) as problem:
                raise MalformedHistory(f"line {line_number}: {problem}") from problem
    return reader.history()


class _Reader:
    def __init__(self) -> None:
        self._header: Fields = NOTHING
        self._operations: list[Operation] = []
        self._bands: list[Band] = []
        self._watches: dict[str, tuple[Watch, list[WatchResponse]]] = {}

    def add(self, record: Fields) -> None:
        match record.get("type"):
            case "history":
                self._header = _checked_header(record)
            case "operation":
                self._operations.append(_operation(record, len(self._operations)))
            case "fault" | "term":
                self._bands.append(_band(record))
            case "watch":
                watch = _watch(record)
                if watch.name in self._watches:
                    raise MalformedHistory(f"watch {watch.name!r} is named twice")
                self._watches[watch.name] = (watch, [])
            case "watch_response":
                name = text(record, "watch")
                if name not in self._watches:
                    raise MalformedHistory(f"a response for {name!r}, which is no watch yet")
                self._watches[name][1].append(_response(record))
            case other:
                raise MalformedHistory(f"unknown type {other!r}")

    def history(self) -> History:
        return History(
            operations=tuple(self._operations),
            watches=tuple(
                replace(watch, responses=tuple(told)) for watch, told in self._watches.values()
            ),
            bands=tuple(self._bands),
            is_complete="complete" not in self._header or flag(self._header, "complete"),
            start_revision=integer(self._header, "start_revision", 1),
        )


def write_history(history: History) -> Iterator[str]:
    """Yield the lines (each ends with a newline) that `read_history` reads back as `history`."""
    header: dict[str, Json] = {"type": "history", "format": FORMAT, "version": VERSION}
    if not history.is_complete:
        header["complete"] = False
    if history.start_revision != 1:
        header["start_revision"] = history.start_revision
    yield _line(header)
    for band in history.bands:
        yield _line(_band_record(band))
    for operation in history.operations:
        yield _line(_operation_record(operation))
    for watch in history.watches:
        yield _line(_watch_record(watch))
        for response in watch.responses:
            yield _line(_response_record(watch.name, response))


def _line(record: Fields) -> str:
    return json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"


def _checked_header(record: Fields) -> Fields:
    if record.get("format") != FORMAT or record.get("version") != VERSION:
        raise MalformedHistory(
            f"this reads {FORMAT} version {VERSION}, "
            f"not {record.get('format')!r} version {record.get('version')!r}"
        )
    return record


def _operation(record: Fields, index: int) -> Operation:
    outcome = text(record, "outcome")
    if outcome not in set(Outcome):
        raise MalformedHistory(f"outcome must be ok, refused or unknown, not {outcome!r}")
    if outcome == Outcome.OK and record.get("return") is None:
        raise MalformedHistory("an operation that is ok has returned: 'return' is missing")
    return Operation(
        index=index,
        client=text(record, "client"),
        kind=text(record, "kind"),
        arguments=mapping(record.get("arguments", NOTHING), "'arguments'"),
        invoked=number(record, "invoke"),
        returned=FOREVER if record.get("return") is None else number(record, "return"),
        outcome=Outcome(outcome),
        result=record.get("result"),
        error=text(record, "error", ""),
        endpoint=text(record, "endpoint", ""),
    )


def _operation_record(operation: Operation) -> Fields:
    record: dict[str, Json] = {
        "type": "operation",
        "client": operation.client,
        "kind": operation.kind,
        "arguments": dict(operation.arguments),
        "invoke": operation.invoked,
        "outcome": operation.outcome.value,
    }
    if operation.returned != FOREVER:
        record["return"] = operation.returned
    if operation.result is not None:
        record["result"] = operation.result
    if operation.error:
        record["error"] = operation.error
    if operation.endpoint:
        record["endpoint"] = operation.endpoint
    return record


def _band(record: Fields) -> Band:
    return Band(
        kind=text(record, "type"),
        name=text(record, "name"),
        start=number(record, "start"),
        end=FOREVER if record.get("end") is None else number(record, "end"),
        target=text(record, "target", ""),
    )


def _band_record(band: Band) -> Fields:
    record: dict[str, Json] = {"type": band.kind, "name": band.name, "start": band.start}
    if band.end != FOREVER:
        record["end"] = band.end
    if band.target:
        record["target"] = band.target
    return record


def _watch(record: Fields) -> Watch:
    return Watch(
        name=text(record, "watch"),
        client=text(record, "client"),
        key=text(record, "key"),
        range_end=text(record, "range_end", ""),
        start_revision=integer(record, "start_revision", 0),
        no_put=flag(record, "no_put"),
        no_delete=flag(record, "no_delete"),
        wants_previous=flag(record, "prev_kv"),
    )


def _watch_record(watch: Watch) -> Fields:
    record: dict[str, Json] = {
        "type": "watch",
        "watch": watch.name,
        "client": watch.client,
        "key": watch.key,
    }
    optional: dict[str, Json] = {
        "range_end": watch.range_end,
        "start_revision": watch.start_revision,
        "no_put": watch.no_put,
        "no_delete": watch.no_delete,
        "prev_kv": watch.wants_previous,
    }
    return record | {name: value for name, value in optional.items() if value}


def _response(record: Fields) -> WatchResponse:
    kind = text(record, "kind")
    if kind not in set(ResponseKind):
        raise MalformedHistory(f"a watch response is no {kind!r}")
    return WatchResponse(
        kind=ResponseKind(kind),
        time=number(record, "time"),
        revision=integer(record, "revision"),
        events=tuple(_event(mapping(item, "an event")) for item in items(record, "events")),
        is_fragment=flag(record, "fragment"),
        compact_revision=integer(record, "compact_revision", 0),
        endpoint=text(record, "endpoint", ""),
    )


def _response_record(watch: str, response: WatchResponse) -> Fields:
    record: dict[str, Json] = {
        "type": "watch_response",
        "watch": watch,
        "kind": response.kind.value,
        "time": response.time,
        "revision": response.revision,
    }
    if response.events:
        record["events"] = [_event_record(event) for event in response.events]
    optional: dict[str, Json] = {
        "fragment": response.is_fragment,
        "compact_revision": response.compact_revision,
        "endpoint": response.endpoint,
    }
    return record | {name: value for name, value in optional.items() if value}


def _event(record: Fields) -> Event:
    kind = text(record, "event")
    if kind not in {"put", "delete"}:
        raise MalformedHistory(f"an event is a put or a delete, not {kind!r}")
    previous = record.get("prev_kv")
    return Event(
        key=text(record, "key"),
        revision=integer(record, "mod_revision"),
        is_delete=kind == "delete",
        value=text(record, "value", ""),
        create_revision=integer(record, "create_revision", 0),
        version=integer(record, "version", 0),
        lease=integer(record, "lease", 0),
        previous=None if previous is None else mapping(previous, "'prev_kv'"),
    )


def _event_record(event: Event) -> Fields:
    record: dict[str, Json] = {
        "event": "delete" if event.is_delete else "put",
        "key": event.key,
        "mod_revision": event.revision,
    }
    optional: dict[str, Json] = {
        "value": event.value,
        "create_revision": event.create_revision,
        "version": event.version,
        "lease": event.lease,
    }
    record |= {name: value for name, value in optional.items() if value}
    if event.previous is not None:
        record["prev_kv"] = dict(event.previous)
    return record
