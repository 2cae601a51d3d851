"""The leases of a cluster, as one member holds them."""

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from kvstore.backend.backend import Reader, WriteTxn
from kvstore.base.errors import LeaseExists, LeaseNotFound, LeaseTtlTooLarge, NotPrimaryLessor
from kvstore.base.ids import LeaseId
from kvstore.lease import lease_keys
from kvstore.lease.expiry_queue import ExpiryQueue, spread

TTL_MAX_S = 9_000_000_000
EXPIRIES_PER_S_MAX = 1000
EXPIRY_RETRY_S = 3.0
_PILE_PER_S_MAX = EXPIRIES_PER_S_MAX * 3 // 4
"""What `promote` lets end in one second; the rest of the rate is for leases granted since."""

Renewed = Callable[[int | NotPrimaryLessor], None]
"""Called once: the TTL in seconds that starts again, 0 if the lease is gone, or the refusal."""


class TimeToLive(NamedTuple):
    """How long a lease still has."""

    remaining_s: int
    """Whole seconds, rounded down."""
    granted_s: int


def minimum_ttl_s(election_timeout_s: float) -> int:
    """Return the shortest TTL a lease may have: it must outlive the election of a leader."""
    return ceil(1.5 * election_timeout_s)


class Lessor:
    """The replicated set of leases and, while this member leads, their deadlines.

    Invariants: the leases in memory are those of the tree `LEASES` in the turn's transaction; there
    are deadlines exactly between `promote` and `demote`, one for each lease but those of `_fresh`;
    a lease that `expired` has returned, or whose deadline has passed, is never renewed.
    """

    def __init__(self) -> None:
        self._granted: dict[LeaseId, int] = {}
        self._deadlines: ExpiryQueue | None = None
        self._fresh: list[LeaseId] = []
        self._expiring: set[LeaseId] = set()
        self._waiting: dict[LeaseId, list[Renewed]] = {}
        self._gone: list[Renewed] = []
        self._allowance = 0.0
        self._allowance_at = 0.0

    @classmethod
    def load(cls, txn: Reader) -> "Lessor":
        """Return the leases stored in the backend, without deadlines."""
        lessor = cls()
        lessor._granted = dict(lease_keys.stored_leases(txn))
        return lessor

    # --- the replicated set: called by apply, equal on every member -----------------------------

    def exists(self, lease_id: LeaseId) -> bool:
        """Whether the lease was granted and is not revoked yet."""
        return lease_id in self._granted

    def granted_ttl_s(self, lease_id: LeaseId) -> int:
        """Return the TTL that the lease was granted; KeyError for an unknown one."""
        return self._granted[lease_id]

    def grant(self, txn: WriteTxn, lease_id: LeaseId, ttl_s: int) -> None:
        """Add a lease. The proposer has drawn the id and raised the TTL to the minimum.

        Raises:
            LeaseExists: there is one with this id.
            LeaseNotFound: the id is 0, which means "no lease".
            LeaseTtlTooLarge: the TTL is above 9,000,000,000 s.
        """
        if lease_id == 0:
            raise LeaseNotFound
        if ttl_s > TTL_MAX_S:
            raise LeaseTtlTooLarge
        if lease_id in self._granted:
            raise LeaseExists
        lease_keys.store_lease(txn, lease_id, ttl_s)
        self._granted[lease_id] = ttl_s
        if self._deadlines is not None:
            self._fresh.append(lease_id)

    def keys(self, txn: Reader, lease_id: LeaseId) -> list[bytes]:
        """Return the keys that the lease holds in `txn`, sorted."""
        return lease_keys.held_keys(txn, lease_id)

    def attach(self, txn: WriteTxn, lease_id: LeaseId, key: bytes) -> None:
        """Make the lease hold `key`, which no lease may hold now."""
        assert lease_id in self._granted
        lease_keys.attach(txn, lease_id, key)

    def detach(self, txn: WriteTxn, lease_id: LeaseId, key: bytes) -> None:
        """Make the lease let go of `key`."""
        lease_keys.detach(txn, lease_id, key)

    def revoke(self, txn: WriteTxn, lease_id: LeaseId) -> None:
        """Remove a lease whose keys have been deleted; `settle` tells who waits to renew it.

        Raises:
            LeaseNotFound: there is none with this id.
        """
        if lease_id not in self._granted:
            raise LeaseNotFound
        assert not lease_keys.held_keys(txn, lease_id), "keys are deleted, and so detached, first"
        lease_keys.remove_lease(txn, lease_id)
        del self._granted[lease_id]
        if self._deadlines is not None:
            self._deadlines.discard(lease_id)
        self._expiring.discard(lease_id)
        self._gone.extend(self._waiting.pop(lease_id, ()))

    # --- deadlines: on the leader only ------------------------------------------------------------

    @property
    def is_primary(self) -> bool:
        """Whether deadlines run here."""
        return self._deadlines is not None

    def promote(self, now: float, extension_s: float) -> None:
        """Begin to lead: every lease starts again at its full TTL plus `extension_s`.

        The extension is an election timeout: in it clients find the new leader. Leases that would
        end in one moment are spread to later ones, as far as expiry can keep up.
        """
        self._forget_deadlines()
        self._deadlines = ExpiryQueue(
            spread(
                ((lease, now + ttl_s + extension_s) for lease, ttl_s in self._granted.items()),
                per_second_max=_PILE_PER_S_MAX,
            )
        )
        self._allowance = float(EXPIRIES_PER_S_MAX)
        self._allowance_at = now

    def demote(self) -> None:
        """Stop leading: leases are eternal here, and who waits for a revoke is refused."""
        self._forget_deadlines()

    def settle(self, now: float) -> None:
        """End a turn that may have granted and revoked leases.

        Starts the deadlines of the new ones, and tells those who waited that a lease is gone.
        """
        if self._deadlines is None:
            return
        if self._gone:
            self._answer_gone()
        for lease_id in self._fresh:
            ttl_s = self._granted.get(lease_id)
            if ttl_s is not None and lease_id not in self._deadlines:
                self._deadlines.add(lease_id, now + ttl_s)
        self._fresh.clear()

    def renew(self, lease_id: LeaseId, now: float, done: Renewed) -> None:
        """Start the TTL again, and say so to `done`.

        An expired lease is not brought back to life: `done` waits until its revoke is applied. Only
        a leader that has confirmed itself since the request arrived may call this.
        """
        deadlines = self._deadlines
        if deadlines is None:
            done(NotPrimaryLessor())
            return
        self.settle(now)
        ttl_s = self._granted.get(lease_id)
        if ttl_s is None:
            done(0)
        elif self._is_over(deadlines, lease_id, now):
            self._waiting.setdefault(lease_id, []).append(done)
        else:
            deadlines.extend(lease_id, now + ttl_s)
            done(ttl_s)

    def time_to_live(self, lease_id: LeaseId, now: float) -> TimeToLive | None:
        """Return what is left of the lease; None if it is unknown or expired.

        Raises:
            NotPrimaryLessor: deadlines don't run here.
        """
        deadlines = self._deadlines
        if deadlines is None:
            raise NotPrimaryLessor
        self.settle(now)
        if lease_id not in self._granted or self._is_over(deadlines, lease_id, now):
            return None
        remaining_s = int(deadlines.deadline(lease_id) - now)
        return TimeToLive(remaining_s, self._granted[lease_id])

    def leases(self) -> list[LeaseId]:
        """Return every lease: the leader's by deadline, elsewhere by id."""
        if self._deadlines is None:
            return sorted(self._granted)
        fresh = [lease for lease in self._fresh if lease in self._granted]
        return list(dict.fromkeys(self._deadlines.by_deadline() + fresh))

    def has_expired(self, now: float) -> bool:
        """Whether some lease is over: then confirm the leadership, and ask `expired`."""
        if self._deadlines is None:
            return False
        self.settle(now)
        return self._deadlines.has_due(now)

    def expired(self, now: float, count_max: int) -> list[LeaseId]:
        """Return leases to revoke now: at most `count_max`, and at most 1,000 per second.

        To be asked after the leadership was confirmed at or after `has_expired` (etcd #15247): a
        leader that slept through its own deposition must not revoke what others have renewed. Each
        is returned again after 3 s, until its revoke is applied.
        """
        if self._deadlines is None:
            return []
        self.settle(now)
        refill = max(0.0, now - self._allowance_at) * EXPIRIES_PER_S_MAX
        self._allowance = min(float(EXPIRIES_PER_S_MAX), self._allowance + refill)
        self._allowance_at = now
        found = self._deadlines.due(
            now, min(count_max, int(self._allowance)), retry_after_s=EXPIRY_RETRY_S
        )
        self._allowance -= len(found)
        self._expiring.update(found)
        return found

    def _is_over(self, deadlines: ExpiryQueue, lease_id: LeaseId, now: float) -> bool:
        return lease_id in self._expiring or deadlines.deadline(lease_id) <= now

    def _answer_gone(self) -> None:
        gone, self._gone = self._gone, []
        for done in gone:
            done(0)

    def _forget_deadlines(self) -> None:
        self._answer_gone()
        self._deadlines = None
        self._fresh.clear()
        self._expiring.clear()
        waiting, self._waiting = self._waiting, {}
        for callbacks in waiting.values():
            for done in callbacks:
                done(NotPrimaryLessor())
