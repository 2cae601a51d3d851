"""A few seeds of the simulation; `make sim` runs many."""

import pytest

from tests.simulation import failed_seeds
from tests.simulation.cluster import run_seed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(1000, 1012), *failed_seeds.ENGINES])
def test_every_guarantee_holds_under_faults(seed: int) -> None:
    outcome = run_seed(seed)
    assert not outcome.guarantee, f"{outcome.detail}; python -m tests.simulation --trace {seed}"
