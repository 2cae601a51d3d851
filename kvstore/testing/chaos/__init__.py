"""A long run of a real cluster under faults: drawn from a seed, recorded, judged, drawn.

`schedule` is pure: a seed gives the same faults at the same instants. `breaking` carries them out
on a `kvstore.testing.Cluster`. `clients` ask, each by a seed of its own; `leadership` notes who
leads. `run` puts it together, and lets `kvstore.check` judge what the clients saw. `console` breaks
a cluster by hand.

The same seed gives the same faults and the same requests, but real processes answer when they do:
a run is repeated by its seed, not replayed. The simulation in `tests/simulation` is what replays.
"""

from kvstore.testing.chaos.run import ChaosPlan, ChaosResult, run_chaos
from kvstore.testing.chaos.schedule import Fault, FaultKind, Step, schedule

__all__ = ["ChaosPlan", "ChaosResult", "Fault", "FaultKind", "Step", "run_chaos", "schedule"]
