import pytest

from kvstore.backend.memory_backend import MemoryBackend
from kvstore.base.errors import LeaseExists, LeaseNotFound, LeaseTtlTooLarge, NotPrimaryLessor
from kvstore.base.ids import LeaseId
from kvstore.lease import Lessor, TimeToLive, minimum_ttl_s
from kvstore.lease.lease_keys import INLINE_KEY_BYTES_MAX

A, B, C = LeaseId(1), LeaseId(-7), LeaseId(1 << 62)
ELECTION_TIMEOUT_S = 1.0


class World:
    """A lessor over a backend; each method is a turn of its own."""

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.lessor = Lessor()
        self.answers: list[int | NotPrimaryLessor] = []

    def grant(self, *leases: LeaseId, ttl_s: int = 10, now: float = 0.0) -> None:
        txn = self.backend.begin_write()
        for lease in leases:
            self.lessor.grant(txn, lease, ttl_s)
        txn.commit()
        self.lessor.settle(now)

    def attach(self, lease: LeaseId, *keys: bytes) -> None:
        txn = self.backend.begin_write()
        for key in keys:
            self.lessor.attach(txn, lease, key)
        txn.commit()

    def detach(self, lease: LeaseId, *keys: bytes) -> None:
        txn = self.backend.begin_write()
        for key in keys:
            self.lessor.detach(txn, lease, key)
        txn.commit()

    def revoke(self, lease: LeaseId, now: float = 0.0) -> list[bytes]:
        txn = self.backend.begin_write()
        keys = self.lessor.keys(txn, lease)
        for key in keys:
            self.lessor.detach(txn, lease, key)
        self.lessor.revoke(txn, lease)
        txn.commit()
        self.lessor.settle(now)
        return keys

    def keys(self, lease: LeaseId) -> list[bytes]:
        txn = self.backend.begin_read()
        try:
            return self.lessor.keys(txn, lease)
        finally:
            txn.close()

    def reload(self) -> Lessor:
        txn = self.backend.begin_read()
        try:
            return Lessor.load(txn)
        finally:
            txn.close()

    def renew(self, lease: LeaseId, now: float) -> list[int | NotPrimaryLessor]:
        """Return what is answered at once."""
        before = len(self.answers)
        self.lessor.renew(lease, now, self.answers.append)
        return self.answers[before:]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def leader(world: World) -> World:
    world.lessor.promote(0.0, ELECTION_TIMEOUT_S)
    return world


# --- the replicated set ---------------------------------------------------------------------------


def test_the_shortest_ttl_outlives_an_election() -> None:
    assert minimum_ttl_s(1.0) == 2
    assert minimum_ttl_s(2.0) == 3
    assert minimum_ttl_s(0.1) == 1


def test_granted_leases_and_their_keys_survive_a_restart(world: World) -> None:
    world.grant(A, C, ttl_s=10)
    world.grant(B, ttl_s=9_000_000_000)
    world.attach(B, b"y", b"x")
    lessor = world.reload()
    assert lessor.leases() == [B, A, C]
    assert lessor.granted_ttl_s(B) == 9_000_000_000
    assert world.keys(B) == [b"x", b"y"]


def test_a_lease_id_is_granted_once(world: World) -> None:
    world.grant(A)
    with pytest.raises(LeaseExists):
        world.grant(A)


def test_a_ttl_beyond_the_largest_is_refused(world: World) -> None:
    with pytest.raises(LeaseTtlTooLarge):
        world.grant(A, ttl_s=9_000_000_001)
    assert not world.lessor.exists(A)


def test_id_zero_means_no_lease_and_is_not_granted(world: World) -> None:
    with pytest.raises(LeaseNotFound):
        world.grant(LeaseId(0))


def test_an_unknown_lease_cannot_be_revoked(world: World) -> None:
    with pytest.raises(LeaseNotFound):
        world.revoke(A)


def test_a_revoked_lease_is_gone_after_a_restart_too_and_others_keep_their_keys(
    world: World,
) -> None:
    world.grant(A, B)
    world.attach(A, b"k")
    world.attach(B, b"m")
    assert world.revoke(A) == [b"k"]
    assert world.reload().leases() == [B]
    assert world.keys(A) == []
    assert world.keys(B) == [b"m"]


@pytest.mark.parametrize("lease", [1, -1, 0x7FFF_FFFF_FFFF_FFFF, -0x8000_0000_0000_0000])
def test_the_keys_of_a_lease_are_its_own_at_the_ends_of_the_id_space(
    world: World, lease: int
) -> None:
    neighbours = [LeaseId(n) for n in (lease - 1, lease + 1) if n and -(1 << 63) <= n < 1 << 63]
    world.grant(LeaseId(lease), *neighbours)
    world.attach(LeaseId(lease), b"mine")
    for neighbour in neighbours:
        world.attach(neighbour, b"other")
    assert world.keys(LeaseId(lease)) == [b"mine"]


def test_keys_of_any_length_are_held_in_order_and_let_go(world: World) -> None:
    keys = [b"k" * length for length in (1, INLINE_KEY_BYTES_MAX, INLINE_KEY_BYTES_MAX + 1, 5000)]
    keys += [b"a" * 5000, b"a" * 5000 + b"\x00", b"\xff" * INLINE_KEY_BYTES_MAX]
    world.grant(A)
    world.attach(A, *keys)
    assert world.keys(A) == sorted(keys)
    world.detach(A, keys[2], keys[4])
    assert world.keys(A) == sorted(set(keys) - {keys[2], keys[4]})


# --- deadlines ------------------------------------------------------------------------------------


def test_only_a_leader_knows_deadlines(world: World) -> None:
    world.grant(A)
    assert isinstance(world.renew(A, now=1.0)[0], NotPrimaryLessor)
    with pytest.raises(NotPrimaryLessor):
        world.lessor.time_to_live(A, now=1.0)
    assert not world.lessor.has_expired(1e9)
    assert world.lessor.expired(1e9, 10) == []


def test_a_lease_lasts_its_ttl_from_grant_and_from_each_renewal(leader: World) -> None:
    leader.grant(A, ttl_s=10, now=100.0)
    assert not leader.lessor.has_expired(109.9)
    assert leader.renew(A, now=109.9) == [10]
    assert not leader.lessor.has_expired(119.8)
    assert leader.lessor.has_expired(119.9)
    assert leader.lessor.expired(119.9, 10) == [A]


def test_time_to_live_is_floored_and_unknown_once_expired(leader: World) -> None:
    leader.grant(A, ttl_s=10, now=100.0)
    assert leader.lessor.time_to_live(A, 100.1) == TimeToLive(9, 10)
    assert leader.lessor.time_to_live(A, 109.5) == TimeToLive(0, 10)
    assert leader.lessor.time_to_live(A, 110.0) is None
    assert leader.lessor.time_to_live(B, 100.0) is None


def test_an_unknown_lease_renews_to_zero(leader: World) -> None:
    assert leader.renew(A, now=1.0) == [0]


def test_an_expired_lease_is_not_resurrected_but_answers_zero_after_its_revoke(
    leader: World,
) -> None:
    leader.grant(A, ttl_s=10)
    assert leader.renew(A, now=10.0) == []
    assert leader.lessor.expired(10.5, 10) == [A]
    assert leader.renew(A, now=10.5) == []
    leader.revoke(A, now=11.0)
    assert leader.answers == [0, 0]
    assert leader.renew(A, now=11.0) == [0]


def test_who_waits_for_a_revoke_is_refused_when_the_leadership_goes(leader: World) -> None:
    leader.grant(A, ttl_s=10)
    leader.renew(A, now=11.0)
    leader.lessor.demote()
    assert [type(answer) for answer in leader.answers] == [NotPrimaryLessor]


def test_an_expired_lease_is_proposed_again_after_three_seconds_until_it_is_gone(
    leader: World,
) -> None:
    leader.grant(A, ttl_s=10)
    assert leader.lessor.expired(10.0, 10) == [A]
    assert leader.lessor.expired(12.9, 10) == []
    assert leader.lessor.expired(13.0, 10) == [A]
    leader.revoke(A)
    assert leader.lessor.expired(99.0, 10) == []


def test_an_id_granted_again_does_not_inherit_its_old_deadline(leader: World) -> None:
    leader.grant(A, ttl_s=10)
    leader.lessor.expired(10.0, 10)
    leader.revoke(A)
    leader.grant(A, ttl_s=50, now=11.0)
    assert leader.lessor.expired(60.9, 10) == []
    assert leader.renew(A, now=60.9) == [50]
    assert leader.lessor.expired(110.9, 10) == [A]


def test_granted_revoked_and_granted_in_one_turn_has_one_deadline(leader: World) -> None:
    txn = leader.backend.begin_write()
    leader.lessor.grant(txn, A, 5)
    leader.lessor.revoke(txn, A)
    leader.lessor.grant(txn, A, 20)
    txn.commit()
    assert leader.lessor.leases() == [A]
    leader.lessor.settle(0.0)
    assert leader.lessor.time_to_live(A, 0.0) == TimeToLive(20, 20)
    assert leader.lessor.leases() == [A]


def test_a_new_leader_starts_every_lease_again_with_an_election_timeout_more(
    world: World,
) -> None:
    world.grant(A, ttl_s=10)
    world.grant(B, ttl_s=20)
    world.lessor.promote(500.0, ELECTION_TIMEOUT_S)
    assert world.lessor.leases() == [A, B]
    assert not world.lessor.has_expired(510.9)
    assert world.lessor.expired(511.0, 10) == [A]
    assert world.lessor.time_to_live(B, 511.0) == TimeToLive(10, 20)


def test_the_leader_lists_leases_by_expiry(leader: World) -> None:
    leader.grant(A, ttl_s=30)
    leader.grant(B, ttl_s=20)
    leader.grant(C, ttl_s=10)
    leader.renew(C, now=25.0 - 20)
    assert leader.lessor.leases() == [C, B, A]


def test_at_most_a_thousand_leases_expire_per_second(leader: World) -> None:
    leader.grant(*(LeaseId(number) for number in range(1, 3001)), ttl_s=10)
    assert len(leader.lessor.expired(10.0, 5000)) == 1000
    assert len(leader.lessor.expired(10.5, 5000)) == 500
    assert len(leader.lessor.expired(11.5, 5000)) == 1000
    assert len(leader.lessor.expired(12.0, 5000)) == 500


def test_a_new_leader_spreads_what_would_expire_at_once_and_shortens_nothing(
    world: World,
) -> None:
    ids = [LeaseId(number) for number in range(1, 3001)]
    world.grant(*ids, ttl_s=10)
    world.lessor.promote(0.0, ELECTION_TIMEOUT_S)
    # Up to the instant at which the first would be proposed again.
    expired = [len(world.lessor.expired(11.0 + second, 5000)) for second in range(3)]
    assert expired == [750, 750, 750]


# --- bugs that others had -------------------------------------------------------------------------


def test_a_leader_deposed_in_its_sleep_revokes_nothing_when_it_wakes(leader: World) -> None:
    """etcd #15247: it saw its own deadlines pass and revoked what the new leader had renewed."""
    leader.grant(A, ttl_s=10)
    assert leader.lessor.has_expired(600.0)
    # The round that must confirm the leadership first tells it that there is another leader.
    leader.lessor.demote()
    assert leader.lessor.expired(600.0, 10) == []
    leader.lessor.promote(700.0, ELECTION_TIMEOUT_S)
    assert leader.lessor.expired(710.9, 10) == []
