"""Changes of the members, in a simulated cluster on virtual time."""

import pytest

from kvstore.base.ids import MemberId
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Status
from tests.simulation.members.machine import Machine
from tests.support.sim_member_lab import ELECTION_S, MemberLab


def lab_of(members: int) -> MemberLab:
    """Return a cluster whose members have told their names and allow changes."""
    lab = MemberLab(members)
    lab.publish()
    return lab


def add(
    lab: MemberLab, at: Machine, url: str = "http://new:1", *, is_learner: bool = False
) -> MemberId:
    request = rpc_pb2.MemberAddRequest(peerURLs=[url], isLearner=is_learner)
    answer = lab.call(at, "Cluster/MemberAdd", request, rpc_pb2.MemberAddResponse)
    assert isinstance(answer, rpc_pb2.MemberAddResponse), answer
    return MemberId(answer.member.ID)


def remove(lab: MemberLab, at: Machine, member: MemberId) -> list[int] | Status:
    request = rpc_pb2.MemberRemoveRequest(ID=member)
    answer = lab.call(at, "Cluster/MemberRemove", request, rpc_pb2.MemberRemoveResponse)
    return answer if isinstance(answer, Status) else [each.ID for each in answer.members]


def promote(lab: MemberLab, at: Machine, member: MemberId) -> Status | None:
    request = rpc_pb2.MemberPromoteRequest(ID=member)
    answer = lab.call(at, "Cluster/MemberPromote", request, rpc_pb2.MemberPromoteResponse)
    return answer if isinstance(answer, Status) else None


def listed(lab: MemberLab, at: Machine) -> dict[int, bool]:
    """Return who is a member, and whether as a learner."""
    request = rpc_pb2.MemberListRequest(linearizable=True)
    answer = lab.call(at, "Cluster/MemberList", request, rpc_pb2.MemberListResponse)
    assert isinstance(answer, rpc_pb2.MemberListResponse), answer
    return {member.ID: member.isLearner for member in answer.members}


def voters(machine: Machine) -> frozenset[MemberId]:
    return machine.node.member.consensus.membership.voters


@pytest.mark.parametrize("asks_leader", [True, False])
def test_a_member_that_joins_becomes_a_voter_by_itself(*, asks_leader: bool) -> None:
    lab = lab_of(3)
    at = lab.leader() if asks_leader else lab.follower()
    lab.put(at, b"k", b"v")
    new = add(lab, at)
    assert listed(lab, at)[new] is False
    assert new not in voters(at)
    joined = lab.join(new)
    lab.elapse(2.0)
    assert new in voters(lab.leader())
    assert lab.value(joined, b"k") == b"v"


def test_a_single_member_goes_on_while_the_second_is_missing() -> None:
    lab = lab_of(1)
    new = add(lab, lab.leader())
    lab.put(lab.leader(), b"k", b"v")
    lab.join(new)
    lab.elapse(2.0)
    assert voters(lab.leader()) == {MemberId(1), new}


def test_a_learner_is_promoted_once_it_has_caught_up_and_not_before() -> None:
    lab = lab_of(3)
    new = add(lab, lab.leader(), is_learner=True)
    for number in range(20):
        lab.put(lab.leader(), b"k%d" % number, b"v")
    refused = promote(lab, lab.follower(), new)
    assert refused is not None
    assert "in sync with leader" in refused.text
    learner = lab.join(new)
    lab.elapse(2.0)
    assert listed(lab, lab.leader())[new] is True
    assert learner.node.member.is_learner
    assert promote(lab, lab.follower(), new) is None
    lab.elapse(1.0)
    assert new in voters(lab.leader())
    assert not learner.node.member.is_learner


def test_a_removed_follower_answers_and_stops() -> None:
    lab = lab_of(3)
    gone = lab.follower()
    rest = remove(lab, gone, gone.id)
    assert isinstance(rest, list), rest
    assert gone.id not in rest
    lab.elapse(1.0)
    assert not gone.is_alive
    assert voters(lab.leader()) == {each.id for each in lab.machines if each is not gone}


def test_a_leader_hands_over_before_it_is_removed() -> None:
    lab = lab_of(3)
    leader = lab.leader()
    changes = max(each.node.member.leader_changes for each in lab.machines)
    rest = remove(lab, leader, leader.id)
    assert isinstance(rest, list), rest
    lab.elapse(1.0)
    assert not leader.is_alive
    after = lab.leader()
    assert leader.id not in voters(after)
    assert after.node.member.leader_changes <= changes + 2
    lab.put(after, b"k", b"v")


def test_the_last_member_and_a_needed_one_cannot_be_removed() -> None:
    lab = lab_of(1)
    refused = remove(lab, lab.leader(), MemberId(1))
    assert isinstance(refused, Status)
    assert "not enough started members" in refused.text
    lab = lab_of(3)
    down = lab.follower()
    down.kill()
    lab.elapse(0.1)
    up = next(each for each in lab.machines if each.is_alive and not each.leads)
    lab.elapse(1.0)
    refused = remove(lab, lab.leader(), up.id)
    assert isinstance(refused, Status)
    assert refused.text == "etcdserver: unhealthy cluster"


def test_changes_asked_for_at_once_are_done_one_after_the_other() -> None:
    lab = lab_of(3)
    answers: list[bytes | Status] = []
    for number in range(4):
        request = rpc_pb2.MemberAddRequest(peerURLs=[f"http://new{number}:1"])
        lab.ask(lab.machines[number % 3], "Cluster/MemberAdd", request, answers)
    lab.elapse(8.0)
    # The voters that have not started yet are a reason to refuse; nothing is lost or done twice.
    added = [
        rpc_pb2.MemberAddResponse.FromString(answer).member.ID
        for answer in answers
        if isinstance(answer, bytes)
    ]
    assert len(answers) == 4
    assert set(added) == set(listed(lab, lab.leader())) - {1, 2, 3}


def test_a_change_that_a_deposed_leader_took_ends_as_unknown_or_done() -> None:
    lab = lab_of(3)
    deposed = lab.leader()
    lab.isolate(deposed)
    answers: list[bytes | Status] = []
    request = rpc_pb2.MemberAddRequest(peerURLs=["http://new:1"])
    lab.ask(deposed, "Cluster/MemberAdd", request, answers)
    lab.elapse(2 * ELECTION_S + 6.0)
    lab.heal()
    lab.elapse(10.0)
    (answer,) = answers
    assert isinstance(answer, Status)
    assert answer.text.startswith(("etcdserver: request timed out", "etcdserver: unhealthy"))
    assert set(listed(lab, lab.leader())) == {1, 2, 3}
