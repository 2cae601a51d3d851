"""Run seeds of whole members: `python -m tests.simulation.members --seeds 0:200 --jobs 2`."""

import sys
from functools import partial

from tests.simulation import failed_seeds
from tests.simulation.members.cluster import run_seed
from tests.simulation.runner import Simulation, main

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
    "authentication on",
    "permission held",
    "permission denied",
    "fault: defragment",
    "fault: bit_rot",
    "defragmented",
    "bit rot found",
    "lists appended to",
    "lock taken",
    "lock not taken",
    "done: MemberAdd",
    "done: MemberPromote",
    "done: MemberRemove",
    "member joined",
    "member removed",
    "fault: drift",
    "fault: message_loss",
    "refused: etcdserver: too many requests",
    "refused: etcdserver: leader changed",
    "refused: etcdserver: request timed out, possibly due to connection lost",
    "refused: etcdserver: request timed out, possibly due to previous leader failure",
)

SIMULATION = Simulation(
    "tests.simulation.members",
    run_seed,
    partial(run_seed, is_traced=True),
    PROBES,
    failed_before=failed_seeds.MEMBERS,
)

if __name__ == "__main__":
    sys.exit(main(SIMULATION))
