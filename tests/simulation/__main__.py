"""Run seeds of engines: `python -m tests.simulation --seeds 0:1000 --jobs 2`."""

import sys
from functools import partial

from tests.simulation import failed_seeds
from tests.simulation.cluster import run_seed
from tests.simulation.runner import Simulation, main

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

SIMULATION = Simulation(
    "tests.simulation",
    run_seed,
    partial(run_seed, is_traced=True),
    PROBES,
    failed_before=failed_seeds.ENGINES,
)

if __name__ == "__main__":
    sys.exit(main(SIMULATION))
