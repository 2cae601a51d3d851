"""What a run of seeds says at its end."""

from collections import Counter

from tests.simulation.members.cluster import Outcome

PROBES = (
    "converged",
    "election",
    "operation ok",
    "lease renewed",
    "lease ended",
    "lease revoked",
    "lease found expired",
    "watch opened",
    "watch response",
    "watch progress",
    "watch compacted",
    "read of a compacted revision",
    "snapshot installed",
    "unknown outcome that happened",
    "power cut while starting",
    "member stopped by its disk",
    "fault: kill",
    "fault: power_cut",
    "fault: power_cut_all",
    "fault: power_cut_after_snapshot",
    "fault: pause",
    "fault: partition",
    "fault: partial_partition",
    "fault: one_way",
    "fault: break",
    "fault: old_leader",
    "fault: stalled_leader",
    "fault: slow_disk",
    "fault: held_disk",
    "fault: failing_sync",
    "fault: full_disk",
    "fault: transfer",
    "fault: drift",
    "fault: message_loss",
    "refused: etcdserver: too many requests",
    "refused: etcdserver: leader changed",
    "refused: etcdserver: request timed out, possibly due to connection lost",
    "refused: etcdserver: request timed out, possibly due to previous leader failure",
)
"""Rare things that matter: over many seeds each must have happened, or the dice are wrong."""

_SEEDS_FOR_PROBES = 200


def summary(
    done: int,
    failures: list[Outcome],
    totals: Counter[str],
    *,
    seconds: float,
    virtual_s: float,
) -> str:
    """Return the lines to print."""
    lines = [f"  {what}: {totals[what]}" for what in sorted(totals)]
    for failure in sorted(failures, key=lambda outcome: outcome.seed):
        lines += [
            f"seed {failure.seed} breaks {failure.guarantee}: {failure.detail}",
            f"  replay: python -m tests.simulation.members --trace {failure.seed}",
        ]
    verdict = f"{len(failures)} failed of {done}" if failures else f"{done} ok"
    minutes = max(seconds, 0.001) / 60
    lines.append(
        f"speed: {done / minutes:.0f} seeds, {virtual_s / 3600 / minutes:.1f} simulated hours and "
        f"{totals['operation ok'] / minutes:.0f} operations a minute"
    )
    lines.append(f"seeds: {verdict} ({totals['seed counted']} counted, {seconds:.0f} s)")
    return "\n".join(lines)


def problems(done: int, totals: Counter[str]) -> list[str]:
    """Return what a long run ought to have seen and has not."""
    if done < _SEEDS_FOR_PROBES:
        return []
    return [f"never happened: {probe}" for probe in PROBES if not totals[probe]]
