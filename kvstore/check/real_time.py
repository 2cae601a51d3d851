"""Real time against revisions: nobody is answered from a state older than one already told."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from kvstore.check.history import FOREVER, History, Operation
from kvstore.check.store_evidence import REPLAYED, Sighting, is_serializable, revision_of, sightings


class Broken(Exception):
    """A guarantee does not hold: what a checker found, on its way to the finding."""

    def __init__(self, summary: str, operations: Sequence[int | None], *steps: str) -> None:
        super().__init__(summary)
        self.summary = summary
        shown = (index for index in operations if index is not None)
        self.operations = tuple(dict.fromkeys(shown))
        self.steps = steps


class Floor(NamedTuple):
    """The highest revision that anybody had been told at some instant."""

    revision: int
    sighting: Sighting | None


class Knowledge:
    """Who knew which revision when."""

    def __init__(self, history: History) -> None:
        self._sightings = sightings(history)
        self._floors = self._before_invocations(history)
        self._by_revision = sorted(self._sightings, key=lambda s: (s.revision, s.time))
        self._revisions = [sighting.revision for sighting in self._by_revision]
        self._first_times = [sighting.time for sighting in self._by_revision]
        for place in range(len(self._first_times) - 2, -1, -1):
            self._first_times[place] = min(self._first_times[place : place + 2])

    @property
    def last_revision(self) -> int:
        """The highest revision that anybody was told; 0 if none."""
        return self._revisions[-1] if self._revisions else 0

    def floor(self, operation: Operation) -> Floor:
        """Return the highest revision told to anybody before the operation was invoked."""
        return self._floors[operation.index]

    def first_seen(self, revision: int) -> float:
        """Return when somebody was first told this revision or a higher one."""
        place = bisect_left(self._revisions, revision)
        return self._first_times[place] if place < len(self._first_times) else FOREVER

    def witness(self, revision: int) -> Sighting | None:
        """Return who was told this revision, or the lowest above it."""
        place = bisect_left(self._revisions, revision)
        return self._by_revision[place] if place < len(self._by_revision) else None

    def _before_invocations(self, history: History) -> dict[int, Floor]:
        floors: dict[int, Floor] = {}
        highest, place = Floor(0, None), 0
        for operation in sorted(history.operations, key=lambda o: o.invoked):
            while place < len(self._sightings) and self._sightings[place].time < operation.invoked:
                sighting = self._sightings[place]
                if sighting.revision > highest.revision:
                    highest = Floor(sighting.revision, sighting)
                place += 1
            floors[operation.index] = highest
        return floors


def check_floors(history: History, knowledge: Knowledge) -> None:
    """Check that no answer is older than what was known before its question.

    Raises:
        Broken: one is.
    """
    for operation in history.operations:
        revision = revision_of(operation)
        # The revision of a lock is its own, not the store's: it may be told again much later.
        if revision is None or operation.kind not in REPLAYED or is_serializable(operation):
            continue
        floor = knowledge.floor(operation)
        if revision < floor.revision:
            raise stale(operation, floor, f"answers from revision {revision}")


def stale(operation: Operation, floor: Floor, what: str) -> Broken:
    """Return the finding that an operation did `what` though `floor` was known before it."""
    known = floor.sighting
    assert known is not None, "revision 0 is below every answer"
    return Broken(
        f"#{operation.index} ({operation.kind}) {what}, but {known.by} was told revision "
        f"{floor.revision} before it was invoked",
        [known.operation, operation.index],
        f"{known.by} was told revision {floor.revision} at {known.time:.6f} s",
        f"#{operation.index} was invoked at {operation.invoked:.6f} s, which is later",
    )


def check_members(history: History) -> None:
    """Check that the serializable reads of one member never go back.

    Raises:
        Broken: one member's do.
    """
    by_member: dict[str, list[Operation]] = {}
    for operation in history.operations:
        if operation.endpoint and is_serializable(operation) and revision_of(operation):
            by_member.setdefault(operation.endpoint, []).append(operation)
    for member, reads in by_member.items():
        returned = sorted(reads, key=lambda o: o.returned)
        highest, before, place = 0, -1, 0
        for read in sorted(reads, key=lambda o: o.invoked):
            while place < len(returned) and returned[place].returned < read.invoked:
                revision = revision_of(returned[place]) or 0
                if revision > highest:
                    highest, before = revision, returned[place].index
                place += 1
            if (revision_of(read) or 0) < highest:
                raise Broken(
                    f"member {member} went back from revision {highest} to {revision_of(read)} "
                    f"between two serializable reads",
                    [before, read.index],
                )
