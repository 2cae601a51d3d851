"""Situations in which etcd was wrong once, reached by whole members; docs/track_record.md.

Those that concern the watch hub alone are in tests/unit/watch/test_track_record.py.
"""

import pytest

from kvstore.base.limits import Limits
from kvstore.member.snapshots import _NUMBERED
from kvstore.mvcc import RangeQuery
from kvstore.raft.peer_session import Channel
from kvstore.wire.pb import rpc_pb2, v3lock_pb2
from tests.simulation.members.calls import Answer, Status, UnaryRequest
from tests.simulation.members.machine import Machine
from tests.support.keyspace import EVERYTHING
from tests.support.sim_member_lab import ELECTION_S, MemberLab

SMALL = Limits(
    wal_segment_bytes=16 * 1024,
    retained_entries=1,
    snapshot_entries=1,
    checkpoint_interval_s=0.2,
    compaction_batch=1,
    slice_s=0.0,
)


def state(machine: Machine) -> tuple[int, int, list[bytes]]:
    """Return (revision, compact revision, all keys and values) as the member has applied them."""
    store = machine.node.member.machine.store
    found = machine.node.member.view().range(RangeQuery(keys=EVERYTHING)).kvs
    return store.revision, store.compact_revision, found


@pytest.mark.parametrize("is_power_cut", [False, True], ids=["kill", "power cut"])
def test_13766_a_crash_under_load_leaves_index_and_data_of_one_moment(
    *, is_power_cut: bool
) -> None:
    lab = MemberLab(3, SMALL)
    for round_ in range(4):
        answers: list[Answer] = []
        for number in range(30):
            key = b"k%d" % (number % 7)
            request = rpc_pb2.PutRequest(key=key, value=b"%d.%d" % (round_, number))
            lab.ask(lab.leader(), "KV/Put", request, answers)
            lab.elapse(0.0005)
        for machine in lab.machines:
            if is_power_cut:
                machine.cut_power()
            else:
                machine.kill()
        for machine in lab.machines:
            machine.restart()
        lab.leader()
        lab.elapse(2.0)
    lab.put(lab.leader(), b"last", b"1")
    lab.elapse(1.0)
    first, second, third = map(state, lab.machines)
    assert first == second == third


def test_14370_one_member_answers_nothing_that_a_crash_takes_back() -> None:
    lab = MemberLab(1)
    alone = lab.leader()
    answers: list[Answer] = []
    for number in range(20):
        request = rpc_pb2.PutRequest(key=b"%d" % number, value=b"v")
        lab.ask(alone, "KV/Put", request, answers)
        lab.elapse(0.0004)
    acknowledged = [answer for answer in answers if isinstance(answer, bytes)]
    assert 0 < len(acknowledged) < 20, "the cut comes in the middle"
    last = max(rpc_pb2.PutResponse.FromString(each).header.revision for each in acknowledged)
    alone.cut_power()
    alone.restart()
    lab.elapse(1.0)
    assert state(lab.leader())[0] >= last


def test_17780_a_crash_during_compaction_takes_no_revision_back() -> None:
    lab = MemberLab(1, SMALL)
    alone = lab.leader()
    request = rpc_pb2.TxnRequest()
    for number in range(100):
        request.success.add().request_put.key = b"k%d" % number
    for _ in range(5):
        lab.call(alone, "KV/Txn", request, rpc_pb2.TxnResponse)
    delete = rpc_pb2.DeleteRangeRequest(key=b"k", range_end=b"l")
    lab.call(alone, "KV/DeleteRange", delete, rpc_pb2.DeleteRangeResponse)
    revision = alone.node.member.machine.store.revision
    lab.ask(alone, "KV/Compact", rpc_pb2.CompactionRequest(revision=revision), [])
    while alone.node.member.machine.store.compact_revision < 0:
        lab.elapse(0.00002)
    assert alone.node.member.machine.store.removal() is not None, "it is in the middle"
    alone.kill()
    alone.restart()
    lab.leader()
    lab.elapse(2.0)
    store = alone.node.member.machine.store
    assert (store.revision, store.compact_revision) == (revision, revision)
    assert store.removal() is None
    lab.put(alone, b"k", b"again")
    assert store.revision == revision + 1


def test_18055_a_second_snapshot_waits_while_the_first_is_about_to_be_in_force() -> None:
    lab = MemberLab(3, SMALL)
    leader, follower = lab.leader(), lab.follower()
    lab.isolate(follower)
    for number in range(40):
        lab.put(leader, b"k%d" % number, b"v" * 100)
    lab.elapse(1.0)
    follower._disk_worker.held_until = lab.world.now + 3.0
    lab.network.heal()
    lab.elapse(1.5)
    assert lab.oracle.counts["snapshot installed"] == 0, "it waits for the disk"
    second = _NUMBERED.pack(b"c", 4711, 0) + b"a chunk"
    follower.node.member.receive(leader.id, Channel.SNAPSHOT, second)
    assert follower.node.member.failure is None
    lab.elapse(4.0)
    assert lab.oracle.counts["snapshot installed"] >= 1
    assert lab.value(follower, b"k0") == b"v" * 100


def test_20418_a_read_that_a_leader_took_before_its_pause_is_not_answered_from_it() -> None:
    lab = MemberLab(3)
    former = lab.leader()
    lab.put(former, b"k", b"old")
    lab.elapse(1.0)
    answers: list[Answer] = []
    lab.ask(former, "KV/Range", rpc_pb2.RangeRequest(key=b"k"), answers)
    lab.elapse(0.0006)
    assert not answers, "its round is under way"
    former.pause(6 * ELECTION_S)
    lab.elapse(5 * ELECTION_S)
    successor = next(each for each in lab.machines if each is not former and each.leads)
    lab.put(successor, b"k", b"new")
    later: list[Answer] = []
    lab.ask(former, "KV/Range", rpc_pb2.RangeRequest(key=b"k"), later)
    lab.elapse(10.0)
    for answer in later:
        if isinstance(answer, bytes):
            assert rpc_pb2.RangeResponse.FromString(answer).kvs[0].value == b"new"
    assert len(later) == 1
    (first,) = answers  # either is right: the read began before the write
    assert isinstance(first, bytes | Status)


def test_jepsen_2014_a_leader_cut_off_from_its_quorum_answers_no_read() -> None:
    lab = MemberLab(3)
    former = lab.leader()
    lab.put(former, b"k", b"old")
    lab.isolate(former)
    answers: list[Answer] = []
    lab.ask(former, "KV/Range", rpc_pb2.RangeRequest(key=b"k"), answers)
    lab.elapse(ELECTION_S / 2)
    assert former.leads, "it still believes"
    assert not answers
    stale: list[Answer] = []
    serializable = rpc_pb2.RangeRequest(key=b"k", serializable=True)
    lab.ask(former, "KV/Range", serializable, stale)
    lab.elapse(0.1)
    assert len(stale) == 1, "who asks for the past gets it"


def lock(lab: MemberLab, lease: int, answers: list[Answer]) -> None:
    request = v3lock_pb2.LockRequest(name=b"lock", lease=lease)
    UnaryRequest(
        lab._wire,
        lab.leader(),
        "/v3lockpb.Lock/Lock",
        request.SerializeToString(),
        answers.append,
        timeout_s=60.0,
    )


def test_jepsen_2020_a_waiter_whose_lease_ends_is_not_given_the_lock() -> None:
    lab = MemberLab(3)
    leader = lab.leader()
    lab.grant(leader, 1, 60)
    lab.grant(leader, 2, 3)
    first: list[Answer] = []
    lock(lab, 1, first)
    lab.elapse(0.5)
    assert isinstance(first[0], bytes)
    waiter: list[Answer] = []
    lock(lab, 2, waiter)
    lab.elapse(5.0)  # the waiter's lease, and with it its key, is gone
    revoke = rpc_pb2.LeaseRevokeRequest(ID=1)
    lab.call(leader, "Lease/LeaseRevoke", revoke, rpc_pb2.LeaseRevokeResponse)
    lab.elapse(2.0)
    assert not any(isinstance(answer, bytes) for answer in waiter), "granted to a dead lease"


def test_jepsen_2020_a_watch_from_revision_0_begins_now() -> None:
    lab = MemberLab(1)
    alone = lab.leader()
    lab.put(alone, b"k", b"before")
    watched = lab.watch(alone, rpc_pb2.WatchCreateRequest(key=b"k", start_revision=0))
    lab.put(alone, b"k", b"after")
    lab.elapse(0.5)
    assert watched.values == [b"after"]
