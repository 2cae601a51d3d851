"""One member of three left, on the real etcd and on ours: what still answers, how the rest fails.

Ten of each call at once, since each waits for the server's own timeout of 7 s.
"""

from collections import Counter

import pytest
from google.protobuf.message import Message

from kvstore.wire.pb import rpc_pb2
from tests.support.cluster_process import ClusterProcess, Program, wait_until
from tests.support.target import Target

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

REPEATS = 10
LEAKED_DEADLINES = (
    ("UNKNOWN", "context deadline exceeded"),
    ("DEADLINE_EXCEEDED", "context deadline exceeded"),
)
REQUEST_TIMED_OUT = ("UNAVAILABLE", "etcdserver: request timed out")
TIMEOUT_S = 20.0
NEEDS_LEADER = (("hasleader", "true"),)
LINEARIZABLE = rpc_pb2.RangeRequest(key=b"a")
SERIALIZABLE = rpc_pb2.RangeRequest(key=b"a", serializable=True)

Metadata = tuple[tuple[str, str], ...]
CALLS: dict[str, tuple[str, Message, Metadata]] = {
    "put": ("Put", rpc_pb2.PutRequest(key=b"a"), ()),
    "put, leader required": ("Put", rpc_pb2.PutRequest(key=b"a"), NEEDS_LEADER),
    "linearizable range": ("Range", LINEARIZABLE, ()),
    "linearizable range, leader required": ("Range", LINEARIZABLE, NEEDS_LEADER),
    "serializable range": ("Range", SERIALIZABLE, ()),
    "serializable range, leader required": ("Range", SERIALIZABLE, NEEDS_LEADER),
    "empty txn": ("Txn", rpc_pb2.TxnRequest(), ()),
    "lease grant": ("LeaseGrant", rpc_pb2.LeaseGrantRequest(TTL=10), ()),
    "lease revoke": ("LeaseRevoke", rpc_pb2.LeaseRevokeRequest(ID=5), ()),
    "compact": ("Compact", rpc_pb2.CompactionRequest(revision=1), ()),
    "leases": ("LeaseLeases", rpc_pb2.LeaseLeasesRequest(), ()),
    "hash": ("HashKV", rpc_pb2.HashKVRequest(), ()),
    "members, local": ("MemberList", rpc_pb2.MemberListRequest(), ()),
    "members": ("MemberList", rpc_pb2.MemberListRequest(linearizable=True), ()),
    "status": ("Status", rpc_pb2.StatusRequest(), ()),
}


def statuses_without_quorum(program: Program) -> dict[str, Counter[tuple[str, str]]]:
    with ClusterProcess(program, 3) as cluster:
        target = Target(program.name, cluster.endpoints)
        assert target.call("Put", rpc_pb2.PutRequest(key=b"a", value=b"b")).is_ok
        target.barrier(0)
        for member in cluster.members[1:]:
            member.kill()
        wait_until(lambda: _leader(target) == 0, 20, "the last member still sees a leader")
        pending = {
            name: [
                target.start(rpc, request, timeout_s=TIMEOUT_S, metadata=metadata)
                for _ in range(REPEATS)
            ]
            for name, (rpc, request, metadata) in CALLS.items()
        }
        statuses = {
            name: Counter((outcome.code, outcome.text) for outcome in (p.outcome() for p in calls))
            for name, calls in pending.items()
        }
        target.close()
        return statuses


def _leader(target: Target) -> int:
    outcome = target.call("Status", rpc_pb2.StatusRequest())
    assert isinstance(outcome.response, rpc_pb2.StatusResponse)
    return outcome.response.leader


def test_without_quorum_the_same_calls_work_and_the_others_fail_alike(
    reference_etcd: Program, candidate: Program
) -> None:
    theirs = statuses_without_quorum(reference_etcd)
    ours = statuses_without_quorum(candidate)
    assert theirs["put, leader required"] == {("UNAVAILABLE", "etcdserver: no leader"): REPEATS}
    assert theirs["put"].total() == REPEATS
    if candidate != reference_etcd:
        theirs = {name: as_declared(statuses) for name, statuses in theirs.items()}
    assert ours == theirs


def as_declared(statuses: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """What we answer where `Allowed.TIMEOUT_WITHOUT_LEADER` differs."""
    return Counter(
        {
            REQUEST_TIMED_OUT if status in LEAKED_DEADLINES else status: n
            for status, n in statuses.items()
        }
    )
