"""Clusters for tests: real members on this machine, faults, recorded histories, judged.

    from kvstore.testing import Cluster

    with Cluster(3) as cluster, cluster.client() as client:
        client.put("k", "v")
        cluster.partition(cluster.leader())
        cluster.heal()

It imports the client and the checker, and starts servers by their command line: ours, or a real
etcd. Nothing needs privileges: networks are cut by relays, small disks live in user namespaces,
clocks are skewed by libfaketime. What a machine cannot do raises `FaultUnavailable` and says why.

Reading order: `program`, `member` (a process, and what can be done to it), `cluster`, then what
the faults are made of: `peer_network`, `small_disk`, `slow_disk`, `member_clock`. `recording` and
`recorded_watch` note histories. `plugin` is what pytest loads. `stateful` needs Hypothesis and is
imported by name: the base class of property tests. `chaos` is the long run behind `kvstore chaos`.

Invariants: a member's process, its disk and its relays end with its cluster, and its cluster with
the process that made it, but for members left by a SIGKILL of that process. No two clusters of one
machine share a port or a directory.
"""

from kvstore.testing.cluster import QUICK_ELECTIONS, Cluster
from kvstore.testing.errors import FaultUnavailable, MemberDidNotStart
from kvstore.testing.member import Member
from kvstore.testing.program import KVSTORED, Program, etcd
from kvstore.testing.recorded_watch import RecordedWatch
from kvstore.testing.recording import RecordingClient, SharedRecorder
from kvstore.testing.waiting import wait_until, wait_until_async

__all__ = [
    "KVSTORED",
    "QUICK_ELECTIONS",
    "Cluster",
    "FaultUnavailable",
    "Member",
    "MemberDidNotStart",
    "Program",
    "RecordedWatch",
    "RecordingClient",
    "SharedRecorder",
    "etcd",
    "wait_until",
    "wait_until_async",
]
