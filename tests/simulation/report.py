"""What a run of seeds says at its end."""

from collections import Counter

from tests.simulation.cluster import Outcome

PROBES = (
    "election",
    "write acknowledged",
    "read answered",
    "compaction",
    "snapshot installed",
    "membership change",
    "power cut inside an installation",
    "read failed: ReadLeaderChanged",
    "fault: crash",
    "fault: crash_all",
    "fault: crash after a vote",
    "fault: partition",
    "fault: break",
    "fault: stall",
    "fault: slow_disk",
    "fault: pause",
    "fault: old_leader",
    "fault: transfer",
)
"""Rare things that matter: over many seeds each must have happened, or the dice are wrong."""

_SEEDS_FOR_PROBES = 100


def summary(done: int, failures: list[Outcome], totals: Counter[str], *, seconds: float) -> str:
    """Return the lines to print."""
    lines = [f"  {what}: {totals[what]}" for what in sorted(totals)]
    for failure in sorted(failures, key=lambda outcome: outcome.seed):
        lines += [
            f"seed {failure.seed} breaks {failure.guarantee}: {failure.detail}",
            f"  replay: python -m tests.simulation --trace {failure.seed}",
        ]
    verdict = f"{len(failures)} failed of {done}" if failures else f"{done} ok"
    lines.append(f"seeds: {verdict} ({totals['seed counted']} counted, {seconds:.0f} s)")
    return "\n".join(lines)


def problems(done: int, totals: Counter[str]) -> list[str]:
    """Return what a long run ought to have seen and has not."""
    if done < _SEEDS_FOR_PROBES:
        return []
    return [f"never happened: {probe}" for probe in PROBES if not totals[probe]]
