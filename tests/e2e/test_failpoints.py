"""Held and failing WAL syncs on real processes: nothing is promised before it is durable."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from kvstore.wire.pb import rpc_pb2
from tests.support.cluster_process import ClusterProcess, MemberProcess, Program, wait_until
from tests.support.target import Pending, Stream, Target

pytestmark = [pytest.mark.slow]

HELD_S = 3.0
SYNC = "wal_before_sync"
KEY = b"held"


@contextmanager
def syncs_held(members: list[MemberProcess]) -> Iterator[None]:
    with ExitStack() as stack:
        for member in members:
            stack.enter_context(member.failpoint(SYNC).armed("hold"))
        yield


@pytest.fixture
def only_etcd_has_no_failpoints(candidate: Program) -> None:
    if candidate.name == "etcd":
        pytest.skip("the real etcd has no failpoints of ours")


def chosen(cluster: ClusterProcess, target: Target, which: str) -> list[MemberProcess]:
    leader = target.leader()
    followers = [member for number, member in enumerate(cluster.members) if number != leader]
    return {
        "leader": [cluster.members[leader]],
        "both followers": followers,
        "one follower": followers[:1],
    }[which]


def open_watch(target: Target, member: int) -> Stream:
    stream = target.watch(member)
    create = rpc_pb2.WatchCreateRequest(key=KEY)
    stream.send(rpc_pb2.WatchRequest(create_request=create))
    stream.wait(lambda: len(stream.responses) == 1, "created")
    return stream


def values(target: Target, member: int, *, serializable: bool) -> list[bytes] | None:
    """The key's values as read now; None if the read is not answered in time."""
    request = rpc_pb2.RangeRequest(key=KEY, serializable=serializable)
    response = target.start("Range", request, member, timeout_s=0.5).outcome().response
    if not isinstance(response, rpc_pb2.RangeResponse):
        return None
    return [kv.value for kv in response.kvs]


def assert_nothing_shows(target: Target, put: Pending, watches: list[Stream]) -> None:
    """For the whole hold: the put is not answered, and no read or watch shows its value."""
    until = time.monotonic() + HELD_S
    while time.monotonic() < until:
        for member in range(len(target.endpoints)):
            assert values(target, member, serializable=True) == [b"before"]
            assert values(target, member, serializable=False) in (None, [b"before"])
        assert not put.is_done, "answered before its sync"
        assert all(len(stream.responses) == 1 for stream in watches), "watched before its sync"


@pytest.mark.parametrize(
    ("members", "which"), [(1, "leader"), (3, "leader"), (3, "both followers")]
)
def test_nothing_is_shown_before_a_quorum_has_synced(
    candidate: Program, members: int, which: str, only_etcd_has_no_failpoints: None
) -> None:
    with ClusterProcess(candidate, members) as cluster:
        target = Target("candidate", cluster.endpoints)
        target.call("Put", rpc_pb2.PutRequest(key=KEY, value=b"before"))
        for member in range(members):
            target.barrier(member)
        watches = [open_watch(target, member) for member in range(members)]
        with syncs_held(chosen(cluster, target, which)):
            time.sleep(0.3)  # syncs under way pass the point first
            request = rpc_pb2.PutRequest(key=KEY, value=b"after")
            put = target.start("Put", request, target.leader(), timeout_s=HELD_S + 10)
            assert_nothing_shows(target, put, watches)
        outcome = put.outcome()
        assert outcome.is_ok, outcome
        for member, stream in enumerate(watches):
            target.barrier(member)
            assert values(target, member, serializable=False) == [b"after"]
            stream.wait(lambda stream=stream: len(stream.responses) == 2, "the event")  # type: ignore[misc]
            stream.close()
        target.close()


def test_puts_go_on_while_one_follower_cannot_sync(
    candidate: Program, only_etcd_has_no_failpoints: None
) -> None:
    with ClusterProcess(candidate, 3) as cluster:
        target = Target("candidate", cluster.endpoints)
        target.call("Put", rpc_pb2.PutRequest(key=KEY, value=b"before"))
        held = chosen(cluster, target, "one follower")
        leader = target.leader()
        with syncs_held(held):
            until = time.monotonic() + HELD_S
            puts = 0
            while time.monotonic() < until:
                request = rpc_pb2.PutRequest(key=KEY, value=b"%d" % puts)
                outcome = target.start("Put", request, leader, timeout_s=2).outcome()
                assert outcome.is_ok, outcome
                puts += 1
            behind = values(target, cluster.members.index(held[0]), serializable=True)
            assert behind != [b"%d" % (puts - 1)], "applied beyond its own log"
        target.barrier(cluster.members.index(held[0]))
        assert values(target, cluster.members.index(held[0]), serializable=True) == [
            b"%d" % (puts - 1)
        ]
        target.close()


@pytest.mark.parametrize("members", [1, 3])
def test_a_failed_sync_stops_the_member_and_the_others_go_on(
    candidate: Program, members: int, only_etcd_has_no_failpoints: None
) -> None:
    with ClusterProcess(candidate, members) as cluster:
        target = Target("candidate", cluster.endpoints)
        leader = target.leader()
        member = cluster.members[leader]
        with member.failpoint(SYNC).armed("error"):
            request = rpc_pb2.PutRequest(key=KEY, value=b"unsynced")
            outcome = target.start("Put", request, leader, timeout_s=5).outcome()
            assert member.wait_for_exit() != 0
            assert members > 1 or not outcome.is_ok, "answered without a sync"
        if members > 1:
            alive = (leader + 1) % members
            wait_until(
                lambda: (
                    target.start("Put", rpc_pb2.PutRequest(key=KEY), alive, timeout_s=2)
                    .outcome()
                    .is_ok
                ),
                20,
                "the others do not take over",
            )
        target.close()
