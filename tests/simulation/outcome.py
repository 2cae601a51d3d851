"""What is common to the runs of all simulations: when a seed counts, and what became of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from tests.support.world import START, World

OPERATIONS_MIN = 200
FAULTS_MIN = 5
VIRTUAL_MIN_S = 60.0
_PACE = 1.05
_FAULTS_FOR_MAX_S = 480.0
"""A run that has not seen enough by then does not count."""
_STEP_S = 2.0


class Violation(AssertionError):
    """A guarantee is broken."""

    def __init__(self, guarantee: str, detail: str) -> None:
        super().__init__(f"{guarantee}: {detail}")
        self.guarantee = guarantee


@dataclass(slots=True)
class Outcome:
    """What became of a seed."""

    seed: int
    guarantee: str = ""
    """The one that is broken; empty: none."""
    detail: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    virtual_s: float = 0.0
    operations: int = 0

    @property
    def is_counted(self) -> bool:
        """Whether this was enough for a seed to count."""
        return (
            self.operations >= OPERATIONS_MIN
            and faults_in(self.counts) >= FAULTS_MIN
            and self.virtual_s >= VIRTUAL_MIN_S
            and self.counts["converged"] == 1
        )

    def __str__(self) -> str:
        return (
            f"{self.operations} operations, {faults_in(self.counts)} faults, "
            f"{self.virtual_s:.1f} virtual seconds"
        )


class Cluster(Protocol):
    """One run of a simulation."""

    faults_for_s: float
    """Virtual seconds that faults rage at least; what it takes to converge is added."""

    @property
    def world(self) -> World: ...

    @property
    def counts(self) -> Counter[str]: ...

    @property
    def operations(self) -> int:
        """How many operations of clients were answered."""
        ...

    def converge(self) -> None:
        """Heal everything: the cluster must get over it, and whatever was recorded is judged."""
        ...


def is_ahead(cluster: Cluster) -> bool:
    """Whether clients may take it easy: they have done what makes a seed count by now."""
    elapsed_s = cluster.world.now - START
    return cluster.operations > _PACE * OPERATIONS_MIN * elapsed_s / cluster.faults_for_s


def faults_in(counts: Counter[str]) -> int:
    """Return how many faults were counted."""
    return sum(count for what, count in counts.items() if what.startswith("fault: "))


def run(seed: int, cluster: Cluster, *, is_traced: bool) -> Outcome:
    """Let faults rage until the seed counts, then heal and judge."""
    world = cluster.world
    outcome = Outcome(seed, counts=cluster.counts)
    try:
        world.run(START + cluster.faults_for_s)
        while not _is_enough(cluster) and world.now < START + _FAULTS_FOR_MAX_S:
            world.run(world.now + _STEP_S)
        cluster.converge()
    except Violation as violation:
        outcome.guarantee, outcome.detail = violation.guarantee, str(violation)
    except Exception as problem:  # whatever stops a member is a finding
        outcome.guarantee = f"no_exception ({type(problem).__name__})"
        outcome.detail = f"{problem!r} (at {world.now - START:.4f} s)"
        if is_traced:
            print("\n".join(world.trace or []))
            raise
    outcome.trace = world.trace or []
    outcome.virtual_s = world.now - START
    outcome.operations = cluster.operations
    return outcome


def _is_enough(cluster: Cluster) -> bool:
    return cluster.operations >= OPERATIONS_MIN and faults_in(cluster.counts) >= FAULTS_MIN
