"""The lessor beside a set with a manual clock: a lease may end late, and is never shortened."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvstore.backend.memory_backend import MemoryBackend
from kvstore.base.errors import NotPrimaryLessor
from kvstore.base.ids import LeaseId
from kvstore.lease import Lessor

EXTENSION_S = 1.0
KEYS = [b"a", b"b", b"c" * 600]
lease_ids = st.sampled_from([LeaseId(number) for number in (1, 2, 3, -4)])


class LessorMachine(RuleBasedStateMachine):
    """`safe_until` is the instant before which a client may rely on its lease."""

    def __init__(self) -> None:
        super().__init__()
        self.backend = MemoryBackend()
        self.lessor = Lessor()
        self.now = 0.0
        self.granted: dict[LeaseId, int] = {}
        self.holds: dict[bytes, LeaseId] = {}
        self.safe_until: dict[LeaseId, float] = {}
        self.doomed: set[LeaseId] = set()
        self.waiting: dict[LeaseId, int] = {}

    @rule(lease=lease_ids, ttl_s=st.integers(2, 30))
    def grant(self, lease: LeaseId, ttl_s: int) -> None:
        if lease in self.granted:
            return
        txn = self.backend.begin_write()
        self.lessor.grant(txn, lease, ttl_s)
        txn.commit()
        self.granted[lease] = ttl_s
        self.safe_until[lease] = self.now + ttl_s
        self.lessor.settle(self.now)

    @rule(lease=lease_ids, key=st.sampled_from(KEYS))
    def put(self, lease: LeaseId, key: bytes) -> None:
        if lease not in self.granted:
            return
        txn = self.backend.begin_write()
        if key in self.holds:
            self.lessor.detach(txn, self.holds[key], key)
        self.lessor.attach(txn, lease, key)
        txn.commit()
        self.holds[key] = lease

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: bytes) -> None:
        if key in self.holds:
            txn = self.backend.begin_write()
            self.lessor.detach(txn, self.holds.pop(key), key)
            txn.commit()

    @rule(lease=lease_ids)
    def revoke(self, lease: LeaseId) -> None:
        if lease not in self.granted:
            return
        expected = sorted(key for key, holder in self.holds.items() if holder == lease)
        txn = self.backend.begin_write()
        assert self.lessor.keys(txn, lease) == expected
        for key in expected:
            self.lessor.detach(txn, lease, key)
            del self.holds[key]
        self.lessor.revoke(txn, lease)
        txn.commit()
        self.lessor.settle(self.now)
        del self.granted[lease], self.safe_until[lease]
        self.doomed.discard(lease)
        assert lease not in self.waiting, "who waited for the revoke was told"

    @rule(lease=lease_ids)
    def renew(self, lease: LeaseId) -> None:
        self.waiting[lease] = self.waiting.get(lease, 0) + 1

        def done(answer: int | NotPrimaryLessor) -> None:
            self.waiting[lease] -= 1
            if not self.waiting[lease]:
                del self.waiting[lease]
            if isinstance(answer, NotPrimaryLessor):
                return
            if answer:
                assert lease not in self.doomed, "resurrected"
                assert answer == self.granted[lease]
                self.safe_until[lease] = max(self.safe_until[lease], self.now + answer)
            else:
                assert not self.lessor.exists(lease), "0 is said once it is gone"

        self.lessor.renew(lease, self.now, done)

    @rule(elapsed_s=st.sampled_from([0.5, 3.0, 11.0]))
    def pass_time(self, elapsed_s: float) -> None:
        self.now += elapsed_s

    @rule(count_max=st.integers(1, 3))
    def expire(self, count_max: int) -> None:
        due = self.lessor.has_expired(self.now)
        found = self.lessor.expired(self.now, count_max)
        assert due == bool(found)
        assert len(found) == len(set(found)) <= count_max
        for lease in found:
            assert self.now >= self.safe_until[lease], "shortened"
        self.doomed.update(found)

    @rule()
    def promote(self) -> None:
        self.lessor.promote(self.now, EXTENSION_S)
        self.doomed.clear()
        for lease, ttl_s in self.granted.items():
            restarted = self.now + ttl_s + EXTENSION_S
            self.safe_until[lease] = max(self.safe_until[lease], restarted)

    @precondition(lambda self: self.lessor.is_primary)
    @rule()
    def demote(self) -> None:
        self.lessor.demote()
        self.doomed.clear()
        assert not self.waiting

    @rule()
    def restart(self) -> None:
        self.lessor.demote()
        self.doomed.clear()
        txn = self.backend.begin_read()
        self.lessor = Lessor.load(txn)
        txn.close()

    @invariant()
    def the_set_is_the_model(self) -> None:
        assert sorted(self.lessor.leases()) == sorted(self.granted)
        for lease, ttl_s in self.granted.items():
            assert self.lessor.granted_ttl_s(lease) == ttl_s
        txn = self.backend.begin_read()
        for lease in self.granted:
            expected = sorted(key for key, holder in self.holds.items() if holder == lease)
            assert self.lessor.keys(txn, lease) == expected
        txn.close()

    @invariant()
    def what_is_left_is_what_was_promised(self) -> None:
        if not self.lessor.is_primary:
            return
        for lease, ttl_s in self.granted.items():
            left = self.lessor.time_to_live(lease, self.now)
            if left is None:
                assert self.now >= self.safe_until[lease]
            else:
                assert left.granted_s == ttl_s
                assert left.remaining_s >= int(self.safe_until[lease] - self.now)

    def teardown(self) -> None:
        """A lease that nobody renews ends: the first leader that lasts expires it."""
        self.promote()
        self.now += 40.0
        while self.lessor.has_expired(self.now):
            for lease in self.lessor.expired(self.now, 100):
                self.revoke(lease)
            self.now += 3.0
        assert not self.granted
        assert not self.waiting


TestLessor = LessorMachine.TestCase
TestLessor.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
