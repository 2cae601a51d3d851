"""The history as one self-contained HTML page: clients are rows, operations are bars.

The picture is inline SVG, complete without scripts; the script adds a pane of details and zoom. No
asset is loaded: the page's own policy forbids it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from kvstore.check.history import FOREVER, Band, History, Operation, Outcome, Watch
from kvstore.check.report import Report
from kvstore.check.timeline_page import PAGE
from kvstore.check.verdict import Finding, Verdict
from kvstore.check.wording import call_text, operation_text, outcome_text, printable

_ROW = 22
_BAR = 16
_HEAD = 44
"""Height above the first row: the axis and the strip of terms."""
_WIDTH_MIN, _WIDTH_MAX = 1200, 24_000
_BAR_WIDTH = 16
"""Pixels that each operation of the busiest row gets on average."""
_LABELLED_MIN = 60
"""A narrower bar has no text inside."""
_TITLE_MAX = 180
_EVENT_TITLES_MAX = 2000
"""Watch responses beyond this many are drawn without hover text, to bound the size of the page."""
_CLASSES = {Outcome.OK: "o", Outcome.REFUSED: "r", Outcome.UNKNOWN: "u"}
_MARKS = {Verdict.HOLDS: "✓", Verdict.VIOLATED: "✗", Verdict.UNKNOWN: "?"}


def timeline(report: Report) -> str:
    """Return the page. Its size grows by about 300 bytes an operation."""
    history = report.history
    failing = frozenset(
        index
        for finding in report.findings
        if finding.verdict is Verdict.VIOLATED
        for index in finding.operations
    )
    watches = frozenset(f.watch for f in report.findings if f.verdict is Verdict.VIOLATED)
    picture = _Picture(history, failing, watches)
    page = PAGE.substitute(
        verdict=report.verdict.value,
        findings="\n".join(_finding(finding) for finding in report.findings),
        failing=_failing_part(report),
        labels=picture.labels(),
        chart=picture.chart(),
    )
    return printable(page)


def _finding(finding: Finding) -> str:
    steps = "".join(f"<li>{escape(step)}</li>" for step in finding.steps)
    links = " ".join(f'<a href="#o{index}">#{index}</a>' for index in finding.operations[:40])
    if finding.watch:
        links += f' <a href="#{_watch_id(finding.watch)}">⊙ {escape(finding.watch)}</a>'
    return (
        f'<li class="{finding.verdict.value}"><b>{_MARKS[finding.verdict]} '
        f"{escape(finding.guarantee)}</b>: {escape(finding.summary)} {links}"
        f"{f'<ul>{steps}</ul>' if steps else ''}</li>"
    )


# --- the whole history


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    bars: tuple[Operation, ...] = ()
    watches: tuple[Watch, ...] = ()


class _Picture:
    def __init__(
        self, history: History, failing: frozenset[int], failing_watches: frozenset[str]
    ) -> None:
        self._history = history
        self._failing = failing
        self._failing_watches = failing_watches
        self._rows = [
            *_client_rows(history),
            *_watch_rows(history),
        ]
        busiest = max((len(row.bars) for row in self._rows), default=0)
        self._width = min(max(busiest * _BAR_WIDTH, _WIDTH_MIN), _WIDTH_MAX)
        self._start = history.start
        self._span = (history.end - history.start) or 1.0
        self._height = _HEAD + _ROW * len(self._rows) + 4
        told = sum(len(watch.responses) for watch in history.watches)
        self._has_event_titles = told <= _EVENT_TITLES_MAX

    def labels(self) -> str:
        """Return the column of names, which does not scroll."""
        names = "".join(
            f"<text x=4 y={_HEAD + _ROW * place + 12}{self._mark(row)}>{escape(row.label)}</text>"
            for place, row in enumerate(self._rows)
        )
        leader = "<text x=4 y=36 class=s>leader</text>"
        return f"<svg width=140 height={self._height}>{leader}{names}</svg>"

    def _mark(self, row: _Row) -> str:
        is_failing = any(watch.name in self._failing_watches for watch in row.watches)
        return " class=f" if is_failing else ""

    def chart(self) -> str:
        """Return the drawing."""
        parts = [*self._axis(), *self._bands()]
        for place, row in enumerate(self._rows):
            y = _HEAD + _ROW * place
            parts.append(f"<path class=g d='M0 {y + _ROW - 3}H{self._width}'/>")
            parts += [self._bar(operation, y) for operation in row.bars]
            for watch in row.watches:
                parts += self._responses(watch, y)
        return (
            f"<svg id=chart width={self._width} height={self._height} "
            f'viewBox="0 0 {self._width} {self._height}" preserveAspectRatio=none>'
            f"{''.join(parts)}</svg>"
        )

    def _x(self, instant: float) -> float:
        instant = min(instant, self._start + self._span)
        return round((instant - self._start) / self._span * self._width, 1)

    def _axis(self) -> Iterator[str]:
        for tick in range(0, self._width, 200):
            instant = self._start + tick / self._width * self._span
            yield f"<path class=g d='M{tick} 14V{self._height}'/>"
            yield f"<text x={tick + 2} y=10 class=s>{instant:.3f} s</text>"

    def _bands(self) -> Iterator[str]:
        for band in self._history.bands:
            x, end = self._x(band.start), self._x(band.end)
            width = max(round(end - x, 1), 1)
            title = f"<title>{escape(_band_text(band))}</title>"
            if band.kind == "term":
                yield f"<rect class=t x={x} y=24 width={width} height=14>{title}</rect>"
                yield f"<text x={x + 3} y=35 class=s>{escape(f'{band.name} {band.target}')}</text>"
            else:
                height = self._height - 14
                yield f"<rect class=x x={x} y=14 width={width} height={height}>{title}</rect>"
                yield f"<text x={x + 3} y=22 class=s>{escape(f'{band.name} {band.target}')}</text>"

    def _bar(self, operation: Operation, y: int) -> str:
        x, end = self._x(operation.invoked), self._x(operation.returned)
        width = max(round(end - x, 1), 1.5)
        kind = _CLASSES[operation.outcome]
        identity = f" id=o{operation.index}" if operation.index in self._failing else ""
        if identity:
            kind = f'"{kind} f"'
        title = escape(_cut(operation_text(operation)), quote=False)
        bar = (
            f"<rect class={kind}{identity} x={x} y={y} width={width} height={_BAR}>"
            f"<title>{title}</title></rect>"
        )
        if width < _LABELLED_MIN:
            return bar
        text = _cut(call_text(operation), int(width / 6))
        style = "d" if operation.outcome is Outcome.UNKNOWN else "i"
        return f"{bar}<text x={x + 3} y={y + 12} class={style}>{escape(text, quote=False)}</text>"

    def _responses(self, watch: Watch, y: int) -> Iterator[str]:
        kind = "w"
        if watch.name in self._failing_watches:
            kind = '"w f"'
            x, end = (self._x(watch.responses[place].time) for place in (0, -1))
            width = max(round(end - x, 1), 2)
            yield (
                f"<rect id={_watch_id(watch.name)} class=h x={x - 6} y={y - 2} "
                f"width={width + 12} height={_BAR + 4}><title>{escape(watch.name)}</title></rect>"
            )
        if not self._has_event_titles:
            ticks = "".join(f"M{self._x(r.time)} {y + 3}v10" for r in watch.responses)
            yield f"<path class={kind} d='{ticks}'/>"
            return
        for response in watch.responses:
            events = ", ".join(
                f"{'delete' if e.is_delete else 'put'} {e.key}@{e.revision}"
                for e in response.events
            )
            text = _cut(
                f"{watch.name} {response.kind.value} at {response.time:.6f}, "
                f"revision {response.revision} {events}"
            )
            yield (
                f"<circle class={kind} cx={self._x(response.time)} cy={y + 8} r=4>"
                f"<title>{escape(text, quote=False)}</title></circle>"
            )


def _client_rows(history: History) -> Iterator[_Row]:
    """Yield a row per client, and more where its operations overlap."""
    by_client: dict[str, list[Operation]] = {}
    for operation in sorted(history.operations, key=lambda o: (o.invoked, o.index)):
        by_client.setdefault(operation.client, []).append(operation)
    for client, operations in sorted(by_client.items(), key=lambda item: _natural(item[0])):
        lanes: list[list[Operation]] = []
        for operation in operations:
            free = (lane for lane in lanes if lane[-1].returned <= operation.invoked)
            lane = next(free, None)
            if lane is None:
                lanes.append([operation])
            else:
                lane.append(operation)
        for number, lane in enumerate(lanes):
            yield _Row(client if number == 0 else f"{client} +{number}", tuple(lane))


def _watch_rows(history: History) -> Iterator[_Row]:
    """Yield a row per client, and more where its watches overlap."""
    by_client: dict[str, list[Watch]] = {}
    for watch in history.watches:
        if watch.responses:
            by_client.setdefault(watch.client, []).append(watch)
    for client in sorted(by_client, key=_natural):
        watches = by_client[client]
        lanes: list[list[Watch]] = []
        for watch in sorted(watches, key=lambda watch: watch.responses[0].time):
            begin = watch.responses[0].time
            free = (lane for lane in lanes if lane[-1].responses[-1].time <= begin)
            lane = next(free, None)
            if lane is None:
                lanes.append([watch])
            else:
                lane.append(watch)
        for lane in lanes:
            names = lane[0].name if len(lane) == 1 else f"{lane[0].name} …"
            yield _Row(f"{names} ⊙", watches=tuple(lane))


def _watch_id(name: str) -> str:
    """Return the name as an identity that needs no quotes in markup."""
    return "w" + "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in name)


def _natural(name: str) -> tuple[int, str]:
    """Order c2 before c10."""
    return (len(name), name)


def _band_text(band: Band) -> str:
    end = "the end" if band.end == FOREVER else f"{band.end:.3f} s"
    return f"{band.kind} {band.name} {band.target}: {band.start:.3f} s to {end}"


def _cut(text: str, length: int = _TITLE_MAX) -> str:
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"


# --- the failing part


def _failing_part(report: Report) -> str:
    """Return the first violation's operations alone, in the order of their instants."""
    violation = report.violation
    if violation is None or not violation.operations:
        return ""
    operations = [report.history.operations[index] for index in violation.operations]
    instants = _instants(operations)
    step = 900 / len(instants)
    place_of = {instant: place for place, instant in enumerate(instants)}
    clients = list(dict.fromkeys(o.client for o in sorted(operations, key=lambda o: o.invoked)))
    parts = []
    for number, operation in enumerate(sorted(operations, key=lambda o: o.invoked)):
        y = 6 + 40 * number
        x = 120 + round(step * place_of[operation.invoked], 1)
        end = 120 + round(step * place_of.get(operation.returned, len(instants)), 1)
        text = f"#{operation.index} {call_text(operation)} → {outcome_text(operation)}"
        colour = clients.index(operation.client) % 2
        parts.append(
            f"<text x=4 y={y + 29} class=k{colour}>{escape(operation.client)}</text>"
            f"<text x={x} y={y + 12}>{escape(_cut(text, 140))}</text>"
            f'<rect class="{_CLASSES[operation.outcome]} f" x={x} y={y + 17} '
            f"width={max(end - x, 2)} height={_BAR}><title>{escape(operation_text(operation))}"
            f"</title></rect>"
        )
    height = 10 + 40 * len(operations)
    return (
        f"<h2>The failing part</h2><p>{escape(violation.summary)}. Instants are in their order, "
        f"not to scale.</p><div class=scroll><svg id=failing width=1500 height={height}>"
        f"{''.join(parts)}</svg></div>"
    )


def _instants(operations: Sequence[Operation]) -> list[float]:
    instants: Iterable[float] = (i for o in operations for i in (o.invoked, o.returned))
    return sorted({instant for instant in instants if instant != FOREVER})
