"""A run as a picture: ratios to etcd as bars, rates against requests in flight, latencies."""

from collections import defaultdict
from html import escape
from math import log10

from bench.results import OURS, REFERENCE, Cell, Results

_WIDTH = 960
_BAR_HEIGHT, _BAR_GAP = 18, 8
_LABEL_WIDTH = 260
_CHART_WIDTH, _CHART_HEIGHT = 420, 240
_COLOURS = {OURS: "#1f6feb", REFERENCE: "#9aa0a6"}
_PERCENTILES = ("p50_ms", "p99_ms", "p999_ms", "max_ms")


class _Svg:
    """Collects shapes; y grows downwards."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.height = 0.0

    def text(
        self, x: float, y: float, words: str, *, size: int = 12, anchor: str = "start"
    ) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}"'
            f' fill="{colour}"/>'
        )

    def line(self, points: list[tuple[float, float]], colour: str) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )

    def document(self) -> str:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{self.height:.0f}"'
            ' font-family="sans-serif" fill="#24292f">'
        )
        return "\n".join(
            [head, '<rect width="100%" height="100%" fill="white"/>', *self.parts, "</svg>\n"]
        )


def picture(results: Results) -> str:
    """Return an SVG of the run."""
    svg = _Svg()
    svg.text(20, 30, f"kvstore {results.commit} and etcd, medians of one alternating run", size=18)
    svg.text(20, 50, results.machine)
    y = _ratio_bars(svg, results, 80)
    curves: dict[str, list[Cell]] = defaultdict(list)
    for cell in results.cells:
        curves[cell[0]].append(cell)
    column = 0
    for name, cells in curves.items():
        x = 50 + column * (_WIDTH / 2)
        if len(cells) > 1:
            _rates(svg, results, name, sorted(cells), (x, y))
        else:
            _latencies(svg, results, cells[0], (x, y))
        column = 1 - column
        if column == 0:
            y += _CHART_HEIGHT + 70
    svg.height = y + (_CHART_HEIGHT + 70 if column else 0)
    return svg.document()


def _ratio_bars(svg: _Svg, results: Results, y: float) -> float:
    svg.text(20, y, "our rate by etcd's; the line is where they are equal", size=14)
    y += 12
    most = max((results.ratio(cell) for cell in results.cells), default=1.0)
    scale = (_WIDTH - _LABEL_WIDTH - 120) / max(most, 1.0)
    top = y
    for cell in results.cells:
        ratio = results.ratio(cell)
        svg.text(_LABEL_WIDTH - 8, y + 14, f"{cell[0]}, {cell[1]}", anchor="end")
        svg.box(_LABEL_WIDTH, y, ratio * scale, _BAR_HEIGHT, _COLOURS[OURS])
        cpu = results.cpu_ratio(cell)
        svg.text(_LABEL_WIDTH + ratio * scale + 6, y + 14, f"{ratio:.2f}x (CPU {cpu:.1f}x)")
        y += _BAR_HEIGHT + _BAR_GAP
    svg.line([(_LABEL_WIDTH + scale, top - 4), (_LABEL_WIDTH + scale, y)], "#d1242f")
    return y + 30


def _rates(
    svg: _Svg, results: Results, name: str, cells: list[Cell], corner: tuple[float, float]
) -> None:
    x, y = corner
    svg.text(x, y, f"{name}: operations a second against requests in flight", size=13)
    sides = {server: [results.of(cell, server)["rate"] for cell in cells] for server in _COLOURS}
    most = max(max(rates) for rates in sides.values())
    bottom = y + _CHART_HEIGHT
    for index, cell in enumerate(cells):
        svg.text(x + _step(index, cells), bottom + 16, str(cell[1]), anchor="middle")
    for server, rates in sides.items():
        points = [
            (x + _step(index, cells), bottom - rate / most * (_CHART_HEIGHT - 30))
            for index, rate in enumerate(rates)
        ]
        svg.line(points, _COLOURS[server])
        svg.text(points[-1][0], points[-1][1] - 6, f"{server} {rates[-1]:,.0f}", anchor="end")


def _step(index: int, cells: list[Cell]) -> float:
    return index * (_CHART_WIDTH - 40) / max(len(cells) - 1, 1) + 20


def _latencies(svg: _Svg, results: Results, cell: Cell, corner: tuple[float, float]) -> None:
    x, y = corner
    svg.text(x, y, f"{cell[0]} at {cell[1]}: milliseconds, logarithmic", size=13)
    bottom = y + _CHART_HEIGHT
    values = {
        server: [results.of(cell, server).get(name, 0.0) for name in _PERCENTILES]
        for server in _COLOURS
    }
    most = max(max(one) for one in values.values())
    for index, name in enumerate(_PERCENTILES):
        left = x + 20 + index * 95
        svg.text(left + 26, bottom + 16, name.removesuffix("_ms"), anchor="middle")
        for offset, (server, one) in enumerate(values.items()):
            height = log10(1 + 99 * one[index] / most) / 2 * (_CHART_HEIGHT - 50)
            svg.box(left + offset * 28, bottom - height, 26, height, _COLOURS[server])
            label = f"{one[index]:.1f}"
            svg.text(left + offset * 28 + 13, bottom - height - 4, label, size=9, anchor="middle")
