import pytest

from kvstore.base.errors import Code, ProposalConnectionLost
from kvstore.base.limits import Limits
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Answer, Status
from tests.simulation.members.machine import Machine
from tests.support.sim_member import SimBackend
from tests.support.sim_member_lab import MemberLab

KEYS = 60


def lab_with_one_left_behind(frame_bytes: int = 64 * 1024) -> tuple[MemberLab, Machine]:
    """Return a cluster whose log no longer holds what one follower needs."""
    lab = MemberLab(
        3,
        Limits(
            wal_segment_bytes=16 * 1024,
            retained_entries=1,
            snapshot_entries=1,
            checkpoint_interval_s=0.2,
            peer_frame_bytes_max=frame_bytes,
        ),
    )
    leader, follower = lab.leader(), lab.follower()
    lab.put(leader, b"before", b"1")
    lab.isolate(follower)
    for number in range(KEYS):
        lab.put(leader, b"k%d" % number, b"v" * 100)
    lab.elapse(1.0)
    return lab, follower


def snapshots_of(lab: MemberLab) -> int:
    return lab.oracle.counts["snapshot installed"]


def test_a_member_that_lags_beyond_the_log_is_brought_up_by_a_snapshot() -> None:
    lab, follower = lab_with_one_left_behind()
    lab.network.heal()
    lab.elapse(3.0)
    assert snapshots_of(lab) == 1
    assert lab.value(follower, b"k%d" % (KEYS - 1)) == b"v" * 100
    lab.put(follower, b"after", b"2")
    assert lab.value(lab.leader(), b"after") == b"2"


@pytest.mark.parametrize("is_power_cut", [False, True], ids=["killed", "power cut"])
def test_a_member_comes_back_on_the_keyspace_that_was_installed(*, is_power_cut: bool) -> None:
    lab, follower = lab_with_one_left_behind()
    lab.network.heal()
    while not snapshots_of(lab):
        lab.elapse(0.01)
    if is_power_cut:
        follower.cut_power()
    else:
        follower.kill()
    follower.restart()
    assert follower.node.member.machine.store.revision >= KEYS + 2
    lab.elapse(1.0)
    assert lab.value(follower, b"k0") == b"v" * 100


def test_a_transfer_that_its_sender_does_not_survive_begins_again_with_the_next_leader() -> None:
    lab, follower = lab_with_one_left_behind(frame_bytes=300)
    lab.network.heal()
    lab.elapse(0.1)
    assert not snapshots_of(lab)
    former = lab.leader()
    former.kill()
    lab.elapse(10.0)
    assert snapshots_of(lab)
    assert lab.value(follower, b"k0") == b"v" * 100


def test_a_transfer_to_a_member_that_restarts_begins_again() -> None:
    lab, follower = lab_with_one_left_behind(frame_bytes=300)
    lab.network.heal()
    lab.elapse(0.1)
    assert not snapshots_of(lab)
    follower.kill()
    follower.restart()
    lab.elapse(10.0)
    assert snapshots_of(lab)
    assert lab.value(follower, b"k0") == b"v" * 100


def test_a_member_that_lost_what_it_had_taken_is_sent_another_soon() -> None:
    lab, follower = lab_with_one_left_behind()
    follower._disk_worker.held_until = lab.world.now + 60.0
    lab.network.heal()
    lab.elapse(1.0)
    assert snapshots_of(lab) == 0, "it has all of it, and waits for its disk"
    follower.kill()
    follower.restart()
    lab.elapse(6.0)
    assert snapshots_of(lab) == 1


def test_a_receiver_without_room_goes_on_and_takes_a_later_snapshot() -> None:
    lab, follower = lab_with_one_left_behind()
    follower.fill_disk()
    lab.network.heal()
    lab.elapse(3.0)
    assert follower.is_alive
    assert not snapshots_of(lab)
    follower.free_disk()
    lab.elapse(3.0)
    assert snapshots_of(lab) == 1


def test_what_was_asked_before_a_switch_ends_as_unknown_never_as_refused() -> None:
    lab, follower = lab_with_one_left_behind(frame_bytes=1000)
    lab.network.heal()
    lab.elapse(0.03)
    answers: list[Answer] = []
    lab.ask(follower, "KV/Put", rpc_pb2.PutRequest(key=b"asked", value=b"1"), answers)
    while not snapshots_of(lab):
        lab.elapse(0.01)
    lab.elapse(0.5)
    (answer,) = answers
    assert lab.value(lab.leader(), b"asked") == b"1"
    if isinstance(answer, Status):
        assert answer.code is Code.UNAVAILABLE
        assert "possibly due to" in answer.text


def test_what_was_forwarded_before_a_switch_ends_as_unknown_at_the_switch() -> None:
    lab = MemberLab(3)
    leader = lab.leader()
    for machine in lab.machines:
        if machine is not leader:
            machine.hold_disk(60.0)
    member = lab.follower().node.member
    answers: list[Answer] = []
    lab.ask(lab.follower(), "KV/Put", rpc_pb2.PutRequest(key=b"k", value=b"1"), answers)
    lab.elapse(0.5)
    assert not answers
    # Whether it is in there, nobody could tell.
    member.replace_machine(member.machine, member.applied_membership)
    lab.elapse(0.01)
    assert answers == [Status(Code.UNAVAILABLE, ProposalConnectionLost.message)]


def test_a_former_keyspace_stays_for_its_readers_and_is_gone_after_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab, follower = lab_with_one_left_behind()
    former = follower.node.member.machine.backend
    closed: list[object] = []

    def close(backend: SimBackend) -> None:
        closed.append(backend)

    monkeypatch.setattr(SimBackend, "close", close)
    lab.network.heal()
    while not snapshots_of(lab):
        lab.elapse(0.01)
    lab.elapse(55.0)
    assert former not in closed, "a list that began before the switch may still be read"
    assert len(follower.keyspaces.generations()) == 2
    lab.elapse(6.0)
    assert former in closed
    assert len(follower.keyspaces.generations()) == 1
    assert lab.value(follower, b"k0") == b"v" * 100
