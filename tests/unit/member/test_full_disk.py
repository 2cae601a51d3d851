from kvstore.base.errors import SpaceExceeded
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Status
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
