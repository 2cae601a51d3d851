"""Defragmentation of a member that goes on serving, on virtual time."""

from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Answer, Status
from tests.simulation.members.machine import Machine
from tests.support.sim_member_lab import MemberLab

PATH = "Maintenance/Defragment"


def defragment(lab: MemberLab, machine: Machine) -> list[Answer]:
    answers: list[Answer] = []
    lab.ask(machine, PATH, rpc_pb2.DefragmentRequest(), answers)
    return answers


def hash_of(lab: MemberLab, machine: Machine) -> tuple[int, int]:
    answer = lab.call(
        machine, "Maintenance/HashKV", rpc_pb2.HashKVRequest(), rpc_pb2.HashKVResponse
    )
    assert isinstance(answer, rpc_pb2.HashKVResponse), answer
    return answer.hash, answer.hash_revision


def test_what_is_written_meanwhile_is_in_the_copy() -> None:
    lab = MemberLab(3)
    leader = lab.leader()
    lab.put(leader, b"before", b"1")
    former = leader.node.member.machine.backend
    answers = defragment(lab, leader)
    number = 0
    while not answers:
        number += 1
        lab.put(leader, b"k%d" % number, b"v")
    assert isinstance(answers[0], bytes), answers
    assert number > 0
    assert leader.node.member.machine.backend is not former
    assert lab.value(leader, b"before") == b"1"
    assert lab.value(leader, b"k%d" % number) == b"v"
    lab.elapse(1.0)
    assert len({hash_of(lab, machine) for machine in lab.machines}) == 1


def test_a_lease_keeps_its_deadline_through_a_defragmentation_of_the_leader() -> None:
    lab = MemberLab(1)
    leader = lab.leader()
    lab.grant(leader, 7, 10)
    lab.put(leader, b"k", b"v", lease=7)
    lab.elapse(6.0)
    answers = defragment(lab, leader)
    lab.elapse(1.0)
    assert isinstance(answers[0], bytes)
    lab.elapse(5.0)
    assert lab.value(leader, b"k") is None


def test_a_second_request_joins_the_first() -> None:
    lab = MemberLab(1)
    leader = lab.leader()
    first, second = defragment(lab, leader), defragment(lab, leader)
    lab.elapse(1.0)
    assert first == second == [b""]


def test_a_member_that_restarts_finds_the_keyspace_that_its_log_names() -> None:
    lab = MemberLab(1)
    machine = lab.leader()
    lab.put(machine, b"k", b"1")
    defragment(lab, machine)
    lab.elapse(1.0)
    lab.put(machine, b"k", b"2")
    machine.cut_power()
    machine.start()
    assert lab.value(lab.leader(), b"k") == b"2"


def test_a_full_disk_refuses_and_changes_nothing() -> None:
    lab = MemberLab(1)
    machine = lab.leader()
    lab.put(machine, b"k", b"1")
    machine.fill_disk()
    answers = defragment(lab, machine)
    lab.elapse(1.0)
    assert isinstance(answers[0], Status)
    assert "space exceeded" in answers[0].text
    machine.free_disk()
    lab.put(machine, b"k", b"2")


def test_a_transfer_to_a_named_member_and_to_a_stranger() -> None:
    lab = MemberLab(3)
    leader, target = lab.leader(), lab.follower()

    def move(at: Machine, to: int) -> rpc_pb2.MoveLeaderResponse | Status:
        request = rpc_pb2.MoveLeaderRequest(targetID=to)
        return lab.call(at, "Maintenance/MoveLeader", request, rpc_pb2.MoveLeaderResponse)

    refused = move(leader, 99)
    assert isinstance(refused, Status)
    assert refused.text == "etcdserver: bad leader transferee"
    refused = move(target, target.id)
    assert isinstance(refused, Status)
    assert refused.text == "etcdserver: not leader"
    assert isinstance(move(leader, leader.id), rpc_pb2.MoveLeaderResponse)
    assert isinstance(move(leader, target.id), rpc_pb2.MoveLeaderResponse)
    assert lab.leader() is target


def test_downgrades_are_validated_in_etcds_words() -> None:
    lab = MemberLab(1)
    actions = rpc_pb2.DowngradeRequest

    def ask(version: str, action: int = actions.VALIDATE) -> str:
        request = rpc_pb2.DowngradeRequest(action=action, version=version)  # type: ignore[arg-type]
        answer = lab.call(lab.leader(), "Maintenance/Downgrade", request, rpc_pb2.DowngradeResponse)
        return answer.text if isinstance(answer, Status) else answer.version

    assert ask("3.5") == ask("3.5.0") == "3.6"
    assert ask("x") == "etcdserver: wrong downgrade target version format"
    assert ask("3.4") == "etcdserver: invalid downgrade target version"
    assert ask("", actions.CANCEL) == "3.6"
