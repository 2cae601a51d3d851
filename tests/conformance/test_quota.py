"""A store that is over its quota, on the real etcd and on ours: the same codes and texts.

How many puts it takes is not compared: we count live pages, etcd counts its file.
"""

import pytest
from google.protobuf.message import Message

from kvstore.wire.pb import rpc_pb2
from tests.conformance.differential.differences import Allowed
from tests.support.cluster_process import ClusterProcess, Program
from tests.support.target import Outcome, Target

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

QUOTA_BYTES = 512 * 1024
PUTS_MAX = 200
VALUE = bytes(16 * 1024)
REPEATS = 10
READ_ONLY_TXN = rpc_pb2.TxnRequest(
    success=[rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=b"k"))]
)

AFTER_FULL: tuple[tuple[str, Message], ...] = (
    ("Put", rpc_pb2.PutRequest(key=b"a", value=b"small")),
    (
        "Txn",
        rpc_pb2.TxnRequest(
            success=[rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"a", value=b"b"))]
        ),
    ),
    ("LeaseGrant", rpc_pb2.LeaseGrantRequest(ID=7, TTL=1000)),
    ("Range", rpc_pb2.RangeRequest(key=b"k")),
    ("LeaseRevoke", rpc_pb2.LeaseRevokeRequest(ID=1)),
    ("LeaseTimeToLive", rpc_pb2.LeaseTimeToLiveRequest(ID=1)),
    ("HashKV", rpc_pb2.HashKVRequest()),
    ("Status", rpc_pb2.StatusRequest()),
)


def fill(target: Target) -> Outcome:
    """Put until the store refuses; return the refusal."""
    for _ in range(PUTS_MAX):
        outcome = target.call("Put", rpc_pb2.PutRequest(key=b"k", value=VALUE))
        if not outcome.is_ok:
            return outcome
    raise AssertionError(f"{target.name} took {PUTS_MAX} puts of {len(VALUE)} bytes")


def after_full(target: Target) -> list[tuple[str, str, str]]:
    """Statuses of what follows, in order, repeated so that a lucky answer is not enough."""
    statuses = []
    for _ in range(REPEATS):
        for rpc, request in AFTER_FULL:
            outcome = target.call(rpc, request)
            statuses.append((rpc, outcome.code, outcome.text))
    return statuses


def status_errors(target: Target) -> list[str]:
    """What Status complains of, without the member's id."""
    outcome = target.call("Status", rpc_pb2.StatusRequest())
    assert isinstance(outcome.response, rpc_pb2.StatusResponse)
    return [error.partition(" ")[2] for error in outcome.response.errors]


def alarms(target: Target) -> list[int]:
    """The kinds of alarms that are raised."""
    outcome = target.call("Alarm", rpc_pb2.AlarmRequest())
    assert isinstance(outcome.response, rpc_pb2.AlarmResponse)
    return [alarm.alarm for alarm in outcome.response.alarms]


def test_over_quota_writes_are_refused_and_all_else_is_served_alike(
    reference_etcd: Program, candidate: Program
) -> None:
    seen = []
    for name, program in (("reference", reference_etcd), ("candidate", candidate)):
        flags = ["--quota-backend-bytes", str(QUOTA_BYTES)]
        with ClusterProcess(program, 1, flags=flags) as cluster:
            target = Target(name, cluster.endpoints)
            target.call("LeaseGrant", rpc_pb2.LeaseGrantRequest(ID=1, TTL=1000))
            refusal = fill(target)
            deleted = target.call("DeleteRange", rpc_pb2.DeleteRangeRequest(key=b"gone"))
            seen.append(
                (
                    (refusal.code, refusal.text),
                    after_full(target),
                    (deleted.code, deleted.text),
                    status_errors(target),
                    alarms(target),
                )
            )
            read = target.call("Txn", READ_ONLY_TXN)
            if not Allowed.READ_ONLY_TXN_OVER_QUOTA.remains(target.version()):
                assert read.is_ok, read
            target.close()
    assert seen[0][0] == ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded")
    assert seen[1] == seen[0]
