"""Nothing is answered or shown before the disk has it; what fails for good stops the member."""

import pytest

from kvstore.apply import StateMachine
from kvstore.apply.state_machine import Turn
from kvstore.backend.schema import KEYS
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Answer, Status
from tests.simulation.members.machine import Machine
from tests.support.sim_member_lab import MemberLab

HELD_S = 3.0
PUT = rpc_pb2.PutRequest(key=b"k", value=b"new")


def look(lab: MemberLab, machine: Machine) -> bytes | None:
    """Read without asking anybody: what this very member shows."""
    request = rpc_pb2.RangeRequest(key=b"k", serializable=True)
    answer = lab.call(machine, "KV/Range", request, rpc_pb2.RangeResponse)
    assert isinstance(answer, rpc_pb2.RangeResponse)
    return answer.kvs[0].value if answer.kvs else None


def test_a_member_alone_answers_and_shows_nothing_before_its_disk_has_it() -> None:
    lab = MemberLab(1)
    alone = lab.leader()
    lab.put(alone, b"k", b"old")
    watched = lab.watch(alone, rpc_pb2.WatchCreateRequest(key=b"k"))
    lab.put(alone, b"other", b"1")
    alone.hold_disk(HELD_S)
    answers: list[Answer] = []
    lab.ask(alone, "KV/Put", PUT, answers)
    lab.elapse(HELD_S - 0.5)
    assert (answers, watched.values) == ([], [])
    assert look(lab, alone) == b"old"
    assert lab.value(alone, b"k") == b"old"
    lab.elapse(1.0)
    assert len(answers) == 1
    assert watched.values == [b"new"]


def test_a_follower_shows_nothing_before_its_own_disk_has_it() -> None:
    lab = MemberLab(3)
    leader, follower = lab.leader(), lab.follower()
    lab.put(leader, b"k", b"old")
    lab.elapse(1.0)
    watched = lab.watch(follower, rpc_pb2.WatchCreateRequest(key=b"k"))
    follower.hold_disk(HELD_S)
    lab.put(leader, b"k", b"new")
    lab.elapse(HELD_S - 1.0)
    assert look(lab, leader) == b"new", "the others go on"
    assert watched.values == []
    assert look(lab, follower) == b"old"
    lab.elapse(2.0)
    assert watched.values == [b"new"]


def test_a_failed_sync_stops_the_member_and_answers_nobody_with_success() -> None:
    lab = MemberLab(1)
    alone = lab.leader()
    lab.put(alone, b"k", b"old")
    alone.fail_syncs()
    answers: list[Answer] = []
    lab.ask(alone, "KV/Put", PUT, answers)
    lab.elapse(0.1)
    assert alone.node.member.failure is not None
    assert lab.oracle.counts["member stopped by its disk"] == 1
    (answer,) = answers
    assert isinstance(answer, Status)


def test_an_exception_in_apply_stops_the_member_and_nothing_of_the_entry_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = MemberLab(1)
    alone = lab.leader()
    machine: StateMachine = alone.node.member.machine
    commit = Turn.commit

    def fail(turn: Turn) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Turn, "commit", fail)
    lab.ask(alone, "KV/Put", PUT, [])
    with pytest.raises(ZeroDivisionError):  # a machine passes on what it did not foresee
        lab.elapse(0.1)
    assert isinstance(alone.node.member.failure, ZeroDivisionError)
    monkeypatch.setattr(Turn, "commit", commit)
    lab.elapse(1.0)
    assert machine.applied.index < alone.node.member.consensus.commit_index
    view = machine.backend.begin_read()
    assert view.get(KEYS, b"k") is None


def test_what_comes_while_the_disk_is_busy_becomes_one_entry() -> None:
    lab = MemberLab(1)
    alone = lab.leader()
    lab.put(alone, b"k", b"old")
    before = alone.node.member.consensus.last_index
    alone.hold_disk(HELD_S)
    answers: list[Answer] = []
    for _ in range(3):
        lab.ask(alone, "KV/Put", PUT, answers)
        lab.elapse(0.1)
    assert alone.node.member.consensus.last_index == before + 1
    lab.elapse(HELD_S)
    assert len(answers) == 3
    assert alone.node.member.consensus.last_index == before + 2


def test_a_follower_whose_disk_is_busy_shows_what_was_durable_before() -> None:
    lab = MemberLab(3)
    leader, follower = lab.leader(), lab.follower()
    lab.put(leader, b"k", b"old")
    follower.hold_disk(HELD_S)
    lab.put(leader, b"k", b"new")
    lab.elapse(0.2)
    assert look(lab, follower) == b"old"
