import pytest

from kvstore.base.errors import SpaceExceeded
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Status
from tests.support.sim_member import SimBackend
from tests.support.sim_member_lab import MemberLab


def test_a_member_without_room_to_apply_waits_and_does_not_spin() -> None:
    lab = MemberLab(3)
    leader, follower = lab.leader(), lab.follower()
    follower.fill_disk()
    lab.put(leader, b"k", b"v")
    before = lab.world.events_run
    lab.elapse(1.0)
    assert lab.world.events_run - before < 1000
    assert follower.node.member.machine.store.revision == 1


def test_a_member_goes_on_where_it_stopped_once_there_is_room() -> None:
    lab = MemberLab(3)
    leader, follower = lab.leader(), lab.follower()
    follower.fill_disk()
    lab.put(leader, b"k", b"v")
    lab.elapse(1.0)
    follower.free_disk()
    assert lab.value(follower, b"k") == b"v"


def test_a_leader_without_room_refuses_writes_and_hands_over() -> None:
    lab = MemberLab(3)
    leader = lab.leader()
    leader.fill_disk()
    request = rpc_pb2.PutRequest(key=b"k", value=b"v")
    answer = lab.call(leader, "KV/Put", request, rpc_pb2.PutResponse)
    assert isinstance(answer, Status)
    assert answer.text == SpaceExceeded.message
    lab.elapse(1.0)
    successor = lab.leader()
    assert successor is not leader
    lab.put(successor, b"k", b"v")


def test_a_leader_without_room_goes_on_serving_reads() -> None:
    lab = MemberLab(1)
    alone = lab.leader()
    lab.put(alone, b"k", b"v")
    alone.fill_disk()
    request = rpc_pb2.PutRequest(key=b"k", value=b"w")
    assert isinstance(lab.call(alone, "KV/Put", request, rpc_pb2.PutResponse), Status)
    assert lab.value(alone, b"k") == b"v"


def test_a_leader_accepts_only_what_fits_beside_all_that_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = MemberLab(3)
    leader = lab.leader()
    lab.elapse(1.0)
    asked: list[tuple[int, int]] = []

    def reserve(backend: SimBackend, upcoming_bytes: int, changes: int) -> None:
        asked.append((upcoming_bytes, changes))

    monkeypatch.setattr(SimBackend, "reserve", reserve)
    for machine in lab.machines:
        if machine is not leader:
            machine.hold_disk(1.0)
    value = b"v" * 1000
    for _ in range(3):
        lab.ask(leader, "KV/Put", rpc_pb2.PutRequest(key=b"k", value=value), [])
        lab.elapse(0.1)
    first, second, third = asked
    assert second[0] - first[0] > len(value)
    assert third[0] - second[0] > len(value)
    assert third[1] - first[1] == 2
    lab.elapse(2.0)
    asked.clear()
    lab.ask(leader, "KV/Put", rpc_pb2.PutRequest(key=b"k", value=value), [])
    lab.elapse(0.1)
    assert asked[0] == first, "what was applied needs no room any more"
