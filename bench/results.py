"""What earlier runs measured: read back from their JSON lines, as medians over the rounds."""

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

REFERENCE, OURS = "etcd", "kvstore"

Cell = tuple[str, int]
"""Workload and requests in flight."""

FIELDS = (
    "rate",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "max_ms",
    "server_cpu_us",
    "anonymous_mib",
    "disk_bytes",
)
"""What is kept of a measurement; a run of an older form may lack the last ones."""


@dataclass(frozen=True, slots=True)
class Results:
    """The medians of one run."""

    commit: str
    machine: str
    medians: dict[tuple[Cell, str], dict[str, float]]
    """By cell and server."""

    @property
    def cells(self) -> list[Cell]:
        """Those that both servers were measured in, in the order in which they were."""
        return [
            cell
            for cell in dict.fromkeys(cell for cell, _ in self.medians)
            if (cell, OURS) in self.medians and (cell, REFERENCE) in self.medians
        ]

    def of(self, cell: Cell, server: str) -> dict[str, float]:
        """The medians of one side of a cell."""
        return self.medians[cell, server]

    def ratio(self, cell: Cell) -> float:
        """Our rate by etcd's."""
        return self.of(cell, OURS)["rate"] / self.of(cell, REFERENCE)["rate"]

    def cpu_ratio(self, cell: Cell) -> float:
        """etcd's CPU time per operation by ours."""
        return self.of(cell, REFERENCE)["server_cpu_us"] / self.of(cell, OURS)["server_cpu_us"]


def load_results(file: Path) -> Results:
    """Read a run.

    Raises:
        ValueError: the file holds no measurements.
    """
    measured: dict[tuple[Cell, str], list[dict[str, float]]] = defaultdict(list)
    line: dict[str, object] = {}
    for text in file.read_text().splitlines():
        line = json.loads(text)
        cell = (str(line["workload"]), int(str(line["in_flight"])))
        values = {name: float(str(line[name])) for name in FIELDS if name in line}
        measured[cell, str(line["server"])].append(values)
    if not line:
        raise ValueError(f"{file}: no measurements")
    medians = {
        key: {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        for key, rounds in measured.items()
    }
    machine = f"{line['cpus']} x {line['cpu']}, {line['file_system']}, Python {line['python']}"
    return Results(str(line["commit"]), machine, medians)


def comparison(before: Results, after: Results) -> str:
    """The cells that both runs measured, side by side.

    The ratios to etcd of each run's own minute are what can be compared; rates cannot.
    """
    lines = [
        f"before: {before.commit}, {before.machine}",
        f"after:  {after.commit}, {after.machine}",
        f"{'workload':24} {'in flight':>9} | {'ratio to etcd':>20} {'change':>7}"
        f" | {'our cpu µs':>17} {'change':>7} | {'our p99 ms':>17}",
    ]
    for cell in after.cells:
        if cell not in before.cells:
            continue
        ratios = before.ratio(cell), after.ratio(cell)
        ours = before.of(cell, OURS), after.of(cell, OURS)
        cpu = ours[0]["server_cpu_us"], ours[1]["server_cpu_us"]
        lines.append(
            f"{cell[0]:24} {cell[1]:9} | {ratios[0]:8.2f}x → {ratios[1]:8.2f}x"
            f" {_change(*ratios):>7} | {cpu[0]:7.1f} → {cpu[1]:7.1f} {_change(*cpu):>7}"
            f" | {ours[0]['p99_ms']:7.2f} → {ours[1]['p99_ms']:7.2f}"
        )
    return "\n".join(lines)


def _change(before: float, after: float) -> str:
    return f"{100 * (after / before - 1):+.0f} %"
