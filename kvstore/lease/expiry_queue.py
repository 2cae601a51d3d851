"""Deadlines in order, with renewals that cost one dictionary entry."""

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush

from kvstore.base.ids import LeaseId

_STALE_MIN = 64


class ExpiryQueue:
    """The deadline of each lease, and a heap of when to look at it again.

    Invariant: every lease has an entry in the heap at or before its next due instant. A renewal
    only moves the deadline; the entry is corrected when it surfaces. Entries of leases that are
    gone are dropped when they surface, or all at once when they outnumber the live ones.
    """

    def __init__(self, deadlines: Mapping[LeaseId, float] | None = None) -> None:
        self._deadlines: dict[LeaseId, float] = dict(deadlines or {})
        self._heap: list[tuple[float, LeaseId]] = []
        self._retries: dict[LeaseId, float] = {}
        self._rebuild()

    def __contains__(self, lease_id: LeaseId) -> bool:
        """Whether the lease has a deadline."""
        return lease_id in self._deadlines

    def __len__(self) -> int:
        """Return the number of leases."""
        return len(self._deadlines)

    def deadline(self, lease_id: LeaseId) -> float:
        """Return when the lease ends; KeyError for an unknown one."""
        return self._deadlines[lease_id]

    def by_deadline(self) -> list[LeaseId]:
        """Return the leases, the one to end first in front."""
        return sorted(self._deadlines, key=self._deadlines.__getitem__)

    def add(self, lease_id: LeaseId, deadline: float) -> None:
        """Start the deadline of a lease that has none."""
        assert lease_id not in self._deadlines
        self._deadlines[lease_id] = deadline
        heappush(self._heap, (deadline, lease_id))
        if len(self._heap) > 2 * len(self._deadlines) + _STALE_MIN:
            self._rebuild()

    def extend(self, lease_id: LeaseId, deadline: float) -> None:
        """Move a deadline, never to an earlier instant."""
        self._deadlines[lease_id] = max(deadline, self._deadlines[lease_id])

    def discard(self, lease_id: LeaseId) -> None:
        """Forget a lease, if it is here."""
        self._deadlines.pop(lease_id, None)
        self._retries.pop(lease_id, None)

    def has_due(self, now: float) -> bool:
        """Whether `due` would return anything."""
        self._surface(now)
        return bool(self._heap) and self._heap[0][0] <= now

    def due(self, now: float, count_max: int, *, retry_after_s: float) -> list[LeaseId]:
        """Return up to `count_max` leases past their deadlines, the longest overdue first.

        A lease that is returned is not returned again before `retry_after_s`, and then until it is
        discarded.
        """
        found: list[LeaseId] = []
        while len(found) < count_max and self.has_due(now):
            lease_id = self._heap[0][1]
            found.append(lease_id)
            self._retries[lease_id] = now + retry_after_s
            self._surface(now)
        return found

    def _surface(self, now: float) -> None:
        """Drop and correct entries until the first one, if due, is of a lease that is due."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            entry, lease_id = heap[0]
            deadline = self._deadlines.get(lease_id)
            if deadline is None:
                heappop(heap)
                continue
            due = max(deadline, self._retries.get(lease_id, deadline))
            if due == entry:
                return
            heappop(heap)
            # An entry that is too late can only be a duplicate of an earlier life of this id.
            if due > entry:
                heappush(heap, (due, lease_id))

    def _rebuild(self) -> None:
        retries = self._retries
        self._heap = [
            (max(deadline, retries.get(lease_id, deadline)), lease_id)
            for lease_id, deadline in self._deadlines.items()
        ]
        heapify(self._heap)


def spread(
    deadlines: Iterable[tuple[LeaseId, float]], *, per_second_max: int
) -> dict[LeaseId, float]:
    """Return the deadlines, some of them later, so that no second holds more than `per_second_max`.

    No deadline moves to an earlier instant, and their order stays.
    """
    ordered = sorted(deadlines, key=lambda item: item[1])
    instants: list[float] = []
    for position, (_, deadline) in enumerate(ordered):
        crowded = position >= per_second_max
        earliest = instants[position - per_second_max] + 1.0 if crowded else deadline
        instants.append(max(deadline, earliest))
    return {lease_id: instant for (lease_id, _), instant in zip(ordered, instants, strict=True)}
