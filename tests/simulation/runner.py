"""The command line of every simulation: many seeds on some processes, or the trace of one."""

import argparse
import gc
import multiprocessing.pool
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice

from tests.simulation.outcome import Outcome

_SEEDS_FOR_PROBES = 500
"""From so many on, each probe must have been seen."""
_PROGRESS_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Simulation:
    """One kind of cluster to be simulated."""

    module: str
    """What `python -m` runs."""
    run_seed: Callable[[int], Outcome]
    trace_seed: Callable[[int], Outcome]
    probes: tuple[str, ...]
    """Faults, and rare things that matter: over many seeds each must have happened."""
    failed_before: tuple[int, ...] = ()
    """Seeds that once failed; each run begins with them."""


@dataclass(slots=True)
class Totals:
    """Of all seeds run so far."""

    seeds: int = 0
    counted: int = 0
    operations: int = 0
    virtual_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.counted += outcome.is_counted
        self.operations += outcome.operations
        self.virtual_s += outcome.virtual_s
        self.counts += outcome.counts
        if outcome.guarantee:
            self.failures.append(outcome)


def main(simulation: Simulation, arguments: list[str] | None = None) -> int:
    """Run as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {simulation.module}")
    parser.add_argument(
        "--seeds", default="0:100", help="first:end; without an end it takes --minutes"
    )
    parser.add_argument("--minutes", type=float, help="begin no seed after so long")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--stop", type=int, default=5, help="failing seeds after which to stop")
    parser.add_argument("--trace", type=int, metavar="SEED", help="print the trace of one seed")
    chosen = parser.parse_args(arguments)
    if chosen.trace is not None:
        return _trace(simulation.trace_seed(chosen.trace))
    first, _, end = chosen.seeds.partition(":")
    began = time.monotonic()
    totals = Totals()
    seeds: Iterable[int] = range(int(first), int(end)) if end else count(int(first))
    if chosen.minutes is not None:
        until = began + 60 * chosen.minutes
        seeds = _while(lambda: time.monotonic() < until, seeds)
    with multiprocessing.Pool(chosen.jobs, _prepare) as pool:
        report_at = began + _PROGRESS_EVERY_S
        for outcome in _run_all(pool, simulation, seeds, chosen.jobs):
            totals.add(outcome)
            if outcome.guarantee or not outcome.is_counted:
                print(f"  ... seed {outcome.seed}: {outcome.detail or outcome}", flush=True)
            if len(totals.failures) == chosen.stop:
                break
            if time.monotonic() > report_at:
                report_at += _PROGRESS_EVERY_S
                print(f"  ... {totals.seeds} seeds", flush=True)
    print(summary(simulation, totals, seconds=time.monotonic() - began), flush=True)
    missing = problems(simulation, totals)
    for problem in missing:
        print(problem)
    return bool(totals.failures or missing)


def _trace(outcome: Outcome) -> int:
    print("\n".join(outcome.trace))
    print(outcome.detail or "ok", dict(outcome.counts))
    return bool(outcome.guarantee)


def _prepare() -> None:
    # A run leaves its whole world behind as one cycle: it is collected once, at its end.
    gc.disable()
    gc.freeze()


class _Measured:
    """A seed's run in a worker process."""

    def __init__(self, run_seed: Callable[[int], Outcome]) -> None:
        self._run_seed = run_seed

    def __call__(self, seed: int) -> Outcome:
        outcome = self._run_seed(seed)
        gc.collect()
        return outcome


def _run_all(
    pool: "multiprocessing.pool.Pool", simulation: Simulation, seeds: Iterable[int], jobs: int
) -> Iterator[Outcome]:
    """Run the seeds that failed before, then `seeds`; a few at a time, so that it can end early."""
    measured = _Measured(simulation.run_seed)
    yield from pool.imap_unordered(measured, simulation.failed_before)
    remaining = iter(seeds)
    while batch := list(islice(remaining, 64 * jobs)):
        yield from pool.imap_unordered(measured, batch, chunksize=2)


def _while(is_time: Callable[[], bool], seeds: Iterable[int]) -> Iterator[int]:
    for seed in seeds:
        if not is_time():
            return
        yield seed


def summary(simulation: Simulation, totals: Totals, *, seconds: float) -> str:
    """Return the lines to print at the end."""
    lines = [f"  {what}: {totals.counts[what]}" for what in sorted(totals.counts)]
    for failure in sorted(totals.failures, key=lambda outcome: outcome.seed):
        lines += [
            f"seed {failure.seed} breaks {failure.guarantee}: {failure.detail}",
            f"  replay: python -m {simulation.module} --trace {failure.seed}",
        ]
    minutes = max(seconds, 0.001) / 60
    lines.append(
        f"speed: {totals.seeds / minutes:.0f} seeds, "
        f"{totals.virtual_s / 3600 / minutes:.1f} simulated hours and "
        f"{totals.operations / minutes:.0f} operations a minute"
    )
    failed = len(totals.failures)
    verdict = f"{failed} failed of {totals.seeds}" if failed else f"{totals.seeds} ok"
    lines.append(f"seeds: {verdict} ({totals.counted} counted, {seconds:.0f} s)")
    return "\n".join(lines)


def problems(simulation: Simulation, totals: Totals) -> list[str]:
    """Return what a long run ought to have seen and has not."""
    if totals.failures:
        return []
    missing = []
    if totals.counted < totals.seeds:
        missing.append(f"{totals.seeds - totals.counted} seeds saw too little to count")
    if totals.seeds >= _SEEDS_FOR_PROBES:
        unseen = [probe for probe in simulation.probes if not totals.counts[probe]]
        missing += [f"never happened: {probe}" for probe in unseen]
    return missing
