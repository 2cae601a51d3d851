"""Results: a JSON line per measurement, and the table of medians at the end."""

import json
import statistics
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from bench.machine import Machine
from bench.measuring import Measurement
from bench.results import OURS, REFERENCE, Cell
from bench.workload import Workload

RESULTS = Path(__file__).parent / "results"


class Report:
    """Everything measured in one run."""

    def __init__(self, machine: Machine, form: str) -> None:
        RESULTS.mkdir(exist_ok=True)
        self.file = RESULTS / time.strftime("%Y%m%d-%H%M%S.jsonl", time.gmtime())
        self._machine = machine
        self._form = form
        self._measured: dict[tuple[Cell, str], list[Measurement]] = defaultdict(list)
        self._workloads: dict[str, Workload] = {}

    def add(
        self, workload: Workload, in_flight: int, server: str, measurement: Measurement, turn: int
    ) -> None:
        """Keep a measurement, and append it to the file at once."""
        self._workloads[workload.name] = workload
        self._measured[(workload.name, in_flight), server].append(measurement)
        line = {
            "workload": workload.name,
            "in_flight": in_flight,
            "server": server,
            "round": turn,
            "form": self._form,
            "rate": round(measurement.load.rate, 1),
            **asdict(measurement.load),
            "server_cpu_us": round(measurement.server_cpu_us, 2),
            "server_cores": round(measurement.server_cores, 3),
            "anonymous_mib": round(measurement.anonymous_mib, 1),
            "disk_bytes": round(measurement.disk_bytes, 1),
            **self._machine.fields(),
        }
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def table(self) -> str:
        """Medians over the rounds, and their ratios."""
        lines = [
            f"{'workload':22} {'in flight':>9} | {'etcd/s':>8} {'p50 ms':>7} {'p99 ms':>7}"
            f" {'p99.9':>7} {'max':>7} {'cpu µs':>7} {'MiB':>5} {'disk B':>7}"
            f" | {'ours/s':>8} {'p50 ms':>7} {'p99 ms':>7} {'p99.9':>7} {'max':>7} {'cpu µs':>7}"
            f" {'MiB':>5} {'disk B':>7} | {'ratio':>6} {'goal':>5} {'cpu':>6} | client µs"
        ]
        for cell in dict.fromkeys(cell for cell, _ in self._measured):
            sides = [self._measured[cell, server] for server in (REFERENCE, OURS)]
            if not all(sides):
                continue
            rates = [_median(side, "rate") for side in sides]
            cpus = [statistics.median(one.server_cpu_us for one in side) for side in sides]
            goal = self._workloads[cell[0]].goals.get(cell[1])
            columns = " | ".join(_columns(side) for side in sides)
            clients = "/".join(f"{_median(side, 'driver_cpu_us'):.1f}" for side in sides)
            lines.append(
                f"{cell[0]:22} {cell[1]:9} | {columns} | {rates[1] / rates[0]:5.2f}x"
                f" {f'{goal}x' if goal else '':>5} {cpus[0] / cpus[1]:5.1f}x"
                f" | {clients} ({sides[0][0].load.driver})"
            )
        return "\n".join(lines)

    def missed_goals(self) -> list[str]:
        """Cells whose ratio is below the goal their workload states."""
        missed = []
        for name, workload in self._workloads.items():
            for in_flight, goal in workload.goals.items():
                theirs, ours = (
                    self._measured[(name, in_flight), server] for server in (REFERENCE, OURS)
                )
                if not theirs or not ours:
                    continue
                ratio = _median(ours, "rate") / _median(theirs, "rate")
                if ratio < goal:
                    missed.append(f"{name} at {in_flight}: {ratio:.2f}x, goal {goal}x")
        return missed


def _columns(side: list[Measurement]) -> str:
    latencies = " ".join(
        f"{_median(side, name):7.2f}" for name in ("p50_ms", "p99_ms", "p999_ms", "max_ms")
    )
    cpu, memory, disk = (
        statistics.median(float(getattr(one, name)) for one in side)
        for name in ("server_cpu_us", "anonymous_mib", "disk_bytes")
    )
    return f"{_median(side, 'rate'):8.0f} {latencies} {cpu:7.1f} {memory:5.0f} {disk:7.0f}"


def _median(measurements: list[Measurement], field: str) -> float:
    return statistics.median(float(getattr(one.load, field)) for one in measurements)
