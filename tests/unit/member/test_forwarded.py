"""What becomes of requests that a follower has sent to its leader."""

from kvstore.base.errors import (
    Code,
    ProposalConnectionLost,
    ProposalLeaderLost,
    TooManyRequests,
)
from kvstore.base.limits import Limits
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Answer, Status
from tests.simulation.members.machine import Machine
from tests.support.sim_member_lab import ELECTION_S, MemberLab

PUT = rpc_pb2.PutRequest(key=b"k", value=b"v")


def forwarded() -> tuple[MemberLab, Machine, Machine, list[Answer]]:
    """Return a world in which a follower's put is with the leader, and cannot be committed yet."""
    lab = MemberLab(3)
    leader, follower = lab.leader(), lab.follower()
    for machine in lab.machines:
        if machine is not leader:
            machine.hold_disk(2.0)
    answers: list[Answer] = []
    lab.ask(follower, "KV/Put", PUT, answers)
    lab.elapse(0.1)
    assert not answers
    return lab, leader, follower, answers


def test_what_was_sent_over_a_link_that_broke_ends_as_unknown_at_once() -> None:
    lab, leader, follower, answers = forwarded()
    lab.network.cut(leader.id, follower.id)
    lab.elapse(0.05)
    assert answers == [Status(Code.UNAVAILABLE, ProposalConnectionLost.message)]


def test_what_a_deposed_leader_was_sent_ends_as_unknown_with_its_term() -> None:
    lab, leader, _follower, answers = forwarded()
    for machine in lab.machines:
        if machine is not leader:
            lab.network.stall(leader.id, machine.id, lab.world.now + 60.0)
    lab.elapse(6 * ELECTION_S)
    assert lab.leader() is not leader
    assert answers == [Status(Code.UNAVAILABLE, ProposalLeaderLost.message)]


def test_with_too_many_entries_unapplied_requests_are_refused() -> None:
    lab = MemberLab(3, Limits(wal_segment_bytes=16 * 1024, unapplied_entries_max=3))
    leader, follower = lab.leader(), lab.follower()
    follower.fill_disk()
    for number in range(6):
        lab.put(leader, b"%d" % number, b"v")
    answer = lab.call(follower, "KV/Put", PUT, rpc_pb2.PutResponse)
    assert isinstance(answer, Status)
    assert answer.text == TooManyRequests.message
    follower.free_disk()
    lab.elapse(1.0)
    lab.put(follower, b"k", b"v")
