"""A few seeds of whole members; `python -m tests.simulation.members` runs many."""

import pytest

from tests.simulation import failed_seeds
from tests.simulation.members.cluster import run_seed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(1000, 1008), *failed_seeds.MEMBERS])
def test_every_guarantee_holds_under_faults(seed: int) -> None:
    outcome = run_seed(seed)
    replay = f"python -m tests.simulation.members --trace {seed}"
    assert not outcome.guarantee, f"{outcome.detail}; {replay}"
    assert outcome.counts["converged"]
