from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Answer
from tests.simulation.members.machine import Machine
from tests.support.sim_member_lab import ELECTION_S, MemberLab


def put_during_transfer(lab: MemberLab, at: Machine, to: Machine) -> list[Answer]:
    """Ask for a put while leadership is on its way."""
    lab.leader().node.member.consensus.transfer_leadership(to.id)
    answers: list[Answer] = []
    lab.ask(at, "KV/Put", rpc_pb2.PutRequest(key=b"k", value=b"v"), answers)
    return answers


def test_what_is_asked_during_a_transfer_is_done_by_the_next_leader() -> None:
    lab = MemberLab(3)
    leader, target = lab.leader(), lab.follower()
    answers = put_during_transfer(lab, leader, target)
    lab.elapse(1.0)
    assert lab.leader() is target
    assert isinstance(answers[0], bytes)
    assert lab.value(leader, b"k") == b"v"


def test_a_transfer_that_fails_holds_requests_up_without_spinning() -> None:
    lab = MemberLab(3)
    leader, target = lab.leader(), lab.follower()
    target.pause(10.0)
    for at in (leader, next(each for each in lab.machines if each not in {leader, target})):
        answers = put_during_transfer(lab, at, target)
        before = lab.world.events_run
        lab.elapse(0.8 * ELECTION_S)
        assert not answers
        assert lab.world.events_run - before < 1000
        lab.elapse(ELECTION_S)
        assert isinstance(answers[0], bytes)
        assert leader.leads
