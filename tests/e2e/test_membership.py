"""Growing, shrinking and repairing clusters of real processes."""

import shutil
from collections.abc import Iterator

import pytest
from google.protobuf.message import Message

from kvstore.wire.pb import rpc_pb2
from tests.support.cluster_process import ClusterProcess, MemberProcess, Program, wait_until
from tests.support.target import Outcome, Target

pytestmark = [pytest.mark.slow]

STEP_S = 30.0


@pytest.fixture
def alone(candidate: Program) -> Iterator[ClusterProcess]:
    with ClusterProcess(candidate, 1) as running:
        yield running


@pytest.fixture
def three(candidate: Program) -> Iterator[ClusterProcess]:
    with ClusterProcess(candidate, 3) as running:
        yield running


def target(cluster: ClusterProcess) -> Target:
    return Target("candidate", cluster.endpoints)


def add(cluster: ClusterProcess, newcomer: MemberProcess, *, is_learner: bool = False) -> int:
    """Add a member; return its id. Waits until the cluster is settled enough to be changed."""
    request = rpc_pb2.MemberAddRequest(peerURLs=[newcomer.peer_url], isLearner=is_learner)
    outcome = until_healthy(cluster, "MemberAdd", request)
    assert isinstance(outcome.response, rpc_pb2.MemberAddResponse), outcome
    return outcome.response.member.ID


def until_healthy(cluster: ClusterProcess, rpc: str, request: Message, asked: int = 0) -> Outcome:
    """Call until the cluster is settled: `unhealthy cluster` it says in the first 5 s."""
    calls = target(cluster)
    outcomes: list[Outcome] = []

    def is_healthy() -> bool:
        outcomes.append(calls.call(rpc, request, asked))
        return not any(word in outcomes[-1].text for word in ("unhealthy", "leader changed"))

    wait_until(is_healthy, STEP_S, f"{rpc}: the cluster stays unhealthy", poll_s=0.2)
    calls.close()
    return outcomes[-1]


def remove(cluster: ClusterProcess, member_id: int, asked: int = 0) -> None:
    request = rpc_pb2.MemberRemoveRequest(ID=member_id)
    outcome = until_healthy(cluster, "MemberRemove", request, asked)
    assert outcome.is_ok, outcome


def members(cluster: ClusterProcess) -> dict[int, rpc_pb2.Member]:
    outcome = until_healthy(cluster, "MemberList", rpc_pb2.MemberListRequest(linearizable=True))
    assert isinstance(outcome.response, rpc_pb2.MemberListResponse), outcome
    return {member.ID: member for member in outcome.response.members}


def ids(cluster: ClusterProcess) -> dict[str, int]:
    return {member.name: member_id for member_id, member in members(cluster).items()}


def put(cluster: ClusterProcess, member: int, key: bytes, value: bytes) -> None:
    calls = target(cluster)
    outcome = calls.call("Put", rpc_pb2.PutRequest(key=key, value=value), member)
    calls.close()
    assert outcome.is_ok, outcome


def value(cluster: ClusterProcess, member: int, key: bytes) -> bytes:
    calls = target(cluster)
    outcome = calls.call("Range", rpc_pb2.RangeRequest(key=key), member)
    calls.close()
    assert isinstance(outcome.response, rpc_pb2.RangeResponse), outcome
    return outcome.response.kvs[0].value if outcome.response.kvs else b""


def test_one_member_grows_to_three_and_each_serves(alone: ClusterProcess) -> None:
    put(alone, 0, b"before", b"1")
    for name in ("m1", "m2"):
        newcomer = alone.newcomer(name)
        add(alone, newcomer)
        alone.join(newcomer)
    for member in range(3):
        put(alone, member, b"k%d" % member, b"v")
        assert value(alone, member, b"before") == b"1"
    assert sorted(ids(alone)) == ["m0", "m1", "m2"]
    assert not any(member.isLearner for member in members(alone).values())
    # The newcomers vote: the founder can go.
    alone.members[0].kill()
    wait_until(alone.members[1].is_healthy, STEP_S, "no quorum without the founder")


def test_a_learner_serves_what_learners_serve_and_is_promoted(alone: ClusterProcess) -> None:
    put(alone, 0, b"k", b"v")
    newcomer = alone.newcomer("m1")
    learner = add(alone, newcomer, is_learner=True)
    second = rpc_pb2.MemberAddRequest(peerURLs=["http://127.0.0.1:9"], isLearner=True)
    calls = target(alone)
    assert "too many learner" in calls.call("MemberAdd", second).text
    promote = rpc_pb2.MemberPromoteRequest(ID=learner)
    assert "in sync with leader" in calls.call("MemberPromote", promote).text
    alone.join(newcomer)
    calls.close()
    calls = target(alone)
    read = rpc_pb2.RangeRequest(key=b"k", serializable=True)
    wait_until(
        lambda: bool(getattr(calls.call("Range", read, 1).response, "kvs", ())),
        STEP_S,
        "the learner does not catch up",
    )
    linearizable = calls.call("Range", rpc_pb2.RangeRequest(key=b"k"), 1)
    assert linearizable.text == "etcdserver: rpc not supported for learner"
    status = calls.call("Status", rpc_pb2.StatusRequest(), 1).response
    assert isinstance(status, rpc_pb2.StatusResponse)
    assert status.isLearner
    assert calls.call("MemberPromote", promote).is_ok
    again = calls.call("MemberPromote", promote)
    assert again.text == "etcdserver: can only promote a learner member"
    wait_until(
        lambda: calls.call("Range", rpc_pb2.RangeRequest(key=b"k"), 1).is_ok,
        STEP_S,
        "the promoted member does not serve",
    )
    calls.close()


def test_a_leader_that_removes_itself_hands_over_first_and_stays_away(
    three: ClusterProcess,
) -> None:
    leader = target(three).leader()
    remove(three, ids(three)[f"m{leader}"], asked=leader)
    gone = three.members[leader]
    assert gone.wait_for_exit() == 0
    assert "permanently removed from the cluster" in gone.log()
    gone.start()
    assert gone.wait_for_exit() == 0
    assert "permanently removed from the cluster" in gone.log()
    put(three, (leader + 1) % 3, b"k", b"v")


def test_a_member_whose_data_is_gone_is_replaced_by_a_new_one(three: ClusterProcess) -> None:
    put(three, 0, b"k", b"v")
    dead = three.members[2]
    dead.kill()
    shutil.rmtree(dead.data_dir)
    remove(three, ids(three)["m2"])
    del three.members[2]
    newcomer = three.newcomer("m2")
    add(three, newcomer)
    three.join(newcomer)
    assert value(three, 2, b"k") == b"v"


def test_a_lost_cluster_goes_on_from_one_member(three: ClusterProcess) -> None:
    put(three, 0, b"k", b"v")
    for member in three.members:
        member.kill()
    alone = three.members[1]
    alone.start_with("--force-new-cluster")
    wait_until(alone.is_healthy, STEP_S, "it does not lead")
    assert value(three, 1, b"k") == b"v"
    calls = Target("candidate", [alone.endpoint])
    listed = calls.call("MemberList", rpc_pb2.MemberListRequest(linearizable=True)).response
    assert isinstance(listed, rpc_pb2.MemberListResponse)
    assert [member.name for member in listed.members] == ["m1"]
    calls.close()
    # The others belong to a cluster that is no more: they do not disturb the new one.
    three.members[0].start()
    assert three.members[0].wait_for_exit() == 0
