"""Members that compare their data, on virtual time; one has its stored bytes changed."""

import pytest

from kvstore.apply.alarms import CORRUPT
from kvstore.backend.schema import REVISIONS
from kvstore.base.ids import MemberId
from kvstore.member.config import CorruptionConfig
from kvstore.member.corruption import NOBODY, Answer, CorruptionCheck, contradicted
from kvstore.mvcc import HashResult
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.machine import Machine
from tests.support.sim_member_lab import MemberLab

ONE, TWO, THREE = map(MemberId, (1, 2, 3))
PERIODIC = CorruptionConfig(interval_s=5.0)
COMPACTIONS = CorruptionConfig(compares_compactions=True, compaction_interval_s=5.0)


def lab_with(config: CorruptionConfig, members: int = 3) -> MemberLab:
    lab = MemberLab(members)
    for machine in lab.machines:
        machine.node.corruption = CorruptionCheck(machine.node.member, config)
    for number in range(10):
        lab.put(lab.leader(), b"key%d" % number, b"value")
    lab.elapse(0.5)
    return lab


def flip_a_stored_byte(machine: Machine) -> None:
    backend = machine.node.member.machine.backend
    txn = backend.begin_write()
    place, record = next(iter(txn.scan(REVISIONS)))
    txn.put(REVISIONS, place, record[:-1] + bytes([record[-1] ^ 1]))
    txn.commit()
    machine.node.member.close_view()


def raised(lab: MemberLab) -> list[tuple[MemberId, int]]:
    return lab.leader().node.member.machine.alarms.raised()


def test_members_with_equal_data_raise_no_alarm() -> None:
    lab = lab_with(PERIODIC)
    lab.elapse(30.0)
    assert raised(lab) == []


@pytest.mark.parametrize("leads", [False, True])
def test_the_member_that_the_majority_contradicts_is_named(leads: bool) -> None:
    lab = lab_with(PERIODIC)
    corrupt = lab.leader() if leads else lab.follower()
    flip_a_stored_byte(corrupt)
    lab.elapse(10.0)
    assert raised(lab) == [(corrupt.id, CORRUPT)]


def test_of_two_members_that_differ_neither_is_named() -> None:
    lab = lab_with(PERIODIC, members=2)
    flip_a_stored_byte(lab.follower())
    lab.elapse(10.0)
    assert raised(lab) == [(NOBODY, CORRUPT)]


def test_a_cluster_with_corrupt_data_takes_no_writes_until_the_alarm_is_disarmed() -> None:
    lab = lab_with(PERIODIC)
    flip_a_stored_byte(lab.follower())
    lab.elapse(10.0)
    put = rpc_pb2.PutRequest(key=b"k", value=b"v")
    refused = lab.call(lab.leader(), "KV/Put", put, rpc_pb2.PutResponse)
    assert "corrupt cluster" in str(refused)


def test_what_is_left_at_a_compaction_is_compared_once() -> None:
    lab = lab_with(COMPACTIONS)
    corrupt = lab.follower()
    flip_a_stored_byte(corrupt)
    lab.elapse(10.0)
    assert raised(lab) == [], "nothing was compacted yet"
    compact = rpc_pb2.CompactionRequest(revision=5, physical=True)
    lab.call(lab.leader(), "KV/Compact", compact, rpc_pb2.CompactionResponse)
    lab.elapse(10.0)
    assert raised(lab) == [(corrupt.id, CORRUPT)]


def test_a_member_compares_itself_before_it_serves() -> None:
    lab = lab_with(CorruptionConfig())
    told: list[bool] = []
    follower = lab.follower()
    follower.node.corruption.check_itself(told.append)
    lab.elapse(1.0)
    flip_a_stored_byte(follower)
    follower.node.corruption.check_itself(told.append)
    lab.elapse(1.0)
    assert told == [True, False]


def test_a_member_that_nobody_answers_believes_itself() -> None:
    lab = lab_with(CorruptionConfig())
    follower = lab.follower()
    lab.isolate(follower)
    told: list[bool] = []
    follower.node.corruption.check_itself(told.append)
    lab.elapse(30.0)
    assert told == [True]


def answer(crc: int | None, compacted: int = -1, revision: int = 9) -> Answer:
    found = None if crc is None else HashResult(crc, compacted, revision)
    return Answer(found, revision, compacted)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({ONE: answer(1), TWO: answer(1), THREE: answer(1)}, set()),
        ({ONE: answer(1), TWO: answer(2), THREE: answer(1)}, {TWO}),
        ({ONE: answer(1), TWO: answer(2), THREE: answer(3)}, {NOBODY}),
        ({ONE: answer(1), TWO: answer(2)}, {NOBODY}),
        ({ONE: answer(1), TWO: answer(2, compacted=5), THREE: answer(1)}, set()),
        ({ONE: answer(1), TWO: answer(None), THREE: answer(1)}, set()),
        ({ONE: answer(None), TWO: answer(2), THREE: answer(3)}, set()),
    ],
)
def test_only_comparable_hashes_convict(
    answers: dict[MemberId, Answer], expected: set[MemberId]
) -> None:
    assert contradicted(ONE, 3, answers) == expected
