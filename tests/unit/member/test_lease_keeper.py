import pytest

from kvstore.base.ids import LeaseId
from kvstore.base.limits import Limits
from kvstore.wire.pb import rpc_pb2
from tests.support.sim_member_lab import ELECTION_S, MemberLab
from tests.support.world import DriftingClock

LEASE = 7
TTL_S = 3


def lab_with_lease() -> MemberLab:
    lab = MemberLab(3, Limits(wal_segment_bytes=16 * 1024, entries_in_flight_max=1))
    leader = lab.leader()
    lab.grant(leader, LEASE, TTL_S)
    lab.put(leader, b"k", b"held", LEASE)
    return lab


def test_a_lease_that_nobody_renews_takes_its_key_with_it() -> None:
    lab = lab_with_lease()
    lab.elapse(TTL_S - 1.0)
    assert lab.value(lab.follower(), b"k") == b"held"
    lab.elapse(2.5)
    assert lab.value(lab.follower(), b"k") is None


def test_a_renewal_through_a_follower_starts_the_ttl_again() -> None:
    lab = lab_with_lease()
    for _ in range(4):
        lab.elapse(TTL_S - 0.5)
        assert lab.renew(lab.follower(), LEASE) == TTL_S
    assert lab.value(lab.follower(), b"k") == b"held"


def test_an_expired_lease_answers_ttl_0_only_once_its_key_is_gone() -> None:
    lab = lab_with_lease()
    lab.elapse(TTL_S + 0.001)
    assert lab.renew(lab.leader(), LEASE) == 0
    assert lab.value(lab.leader(), b"k") is None


def test_a_new_leader_starts_a_lease_again_at_its_full_ttl() -> None:
    lab = lab_with_lease()
    lab.elapse(TTL_S - 0.2)
    lab.leader().kill()
    successor = lab.leader()
    lab.elapse(TTL_S - 0.2)
    assert lab.value(successor, b"k") == b"held"
    lab.elapse(2 * ELECTION_S + 1.5)
    assert lab.value(successor, b"k") is None


def test_a_renewal_that_asked_a_leader_in_vain_is_answered_by_the_next_one() -> None:
    lab = lab_with_lease()
    follower = lab.follower()
    lab.isolate(lab.leader())
    assert lab.renew(follower, LEASE) == TTL_S


def test_a_leader_that_nobody_follows_any_more_renews_nothing() -> None:
    lab = lab_with_lease()
    former = lab.leader()
    lab.isolate(former)
    told: list[object] = []
    former.node.keeper.renew(LeaseId(LEASE), told.append)
    lab.elapse(ELECTION_S / 2)
    assert former.leads, "it has not noticed yet"
    assert told == []


def test_an_isolated_leader_neither_renews_nor_revokes() -> None:
    lab = lab_with_lease()
    former = lab.leader()
    lab.isolate(former)
    lab.elapse(4 * ELECTION_S)
    successor = lab.leader()
    assert successor is not former
    for _ in range(4):
        lab.elapse(TTL_S - 1.0)
        assert lab.renew(successor, LEASE) == TTL_S
    lab.network.heal()
    lab.elapse(1.0)
    assert lab.value(former, b"k") == b"held"


def test_a_leader_that_nobody_follows_any_more_proposes_no_revoke() -> None:
    lab = lab_with_lease()
    former = lab.leader()
    lab.elapse(TTL_S - 0.3)
    lab.isolate(former)
    lab.elapse(0.29)
    assert former.leads, "it has not noticed yet"
    while not former.node.member.machine.lessor.has_expired(lab.world.now):
        lab.elapse(0.001)
    before = former.node.member.consensus.last_index
    former.node.keeper._expire(lab.world.now)
    lab.elapse(0.01)
    assert former.leads
    assert former.node.member.consensus.last_index == before


def test_setting_the_calendar_forward_ends_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_with_lease()
    monkeypatch.setattr(DriftingClock, "unix", lambda clock: clock.monotonic() + 1e10)
    lab.elapse(TTL_S - 1.0)
    assert lab.value(lab.leader(), b"k") == b"held"


def test_a_former_leader_does_not_pass_its_revokes_on_to_the_next_one() -> None:
    lab = lab_with_lease()
    former = lab.leader()
    lab.elapse(TTL_S - 0.1)
    former.hold_disk(60.0)
    lab.ask(former, "KV/Put", _put(), [])
    lab.elapse(0.8)  # expired and confirmed; the revoke waits for room in the log
    lab.isolate(former)
    lab.elapse(3 * ELECTION_S)
    successor = lab.leader()
    assert successor is not former
    assert lab.renew(successor, LEASE) == TTL_S
    former.hold_disk(0.0)
    lab.network.heal()
    lab.elapse(1.0)
    assert lab.value(successor, b"k") == b"held"


def _put() -> rpc_pb2.PutRequest:
    return rpc_pb2.PutRequest(key=b"other", value=b"in the way")
