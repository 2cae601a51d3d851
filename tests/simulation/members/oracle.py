"""What really happened, as the members apply it: the judge of all records."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn
from zlib import crc32

from kvstore.apply.command import BatchId, decode_entry
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.mvcc import Changes, Event
from kvstore.raft.consensus import Entry, EntryKind
from tests.simulation.outcome import Violation
from tests.support.world import START, World


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of the history, and when the first member applied it."""

    events: list[Event]
    applied_at: float


class Oracle:
    """Sees every member's entries, revisions and leaderships; all members must agree on them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._entries: dict[LogIndex, tuple[Term, int]] = {}
        self._batches: dict[BatchId, LogIndex] = {}
        self._leaders: dict[Term, MemberId] = {}
        self.history: dict[int, Revision] = {}
        self.counts: Counter[str] = Counter()

    def fail(self, guarantee: str, detail: str) -> NoReturn:
        raise Violation(guarantee, f"{detail} (at {self._world.now - START:.4f} s)")

    def note(self, what: str, count: int = 1) -> None:
        """Count something that ought to happen in some seeds."""
        self.counts[what] += count

    @property
    def last_revision(self) -> int:
        return 1 + len(self.history)

    def entries_committed(self, member: MemberId, entries: Sequence[Entry]) -> None:
        """All members apply the same entries, and no batch twice."""
        for entry in entries:
            seen = (entry.term, crc32(entry.data, entry.kind))
            known = self._entries.get(entry.index)
            if known == seen:
                continue
            if known is not None:
                self.fail("state_equality", f"{member} applies another entry at {entry.index}")
            self._entries[entry.index] = seen
            if entry.kind is not EntryKind.COMMAND:
                continue
            for batch in decode_entry(entry.data):
                index = self._batches.setdefault(batch.id, entry.index)
                if index != entry.index:
                    self.fail("applied_once", f"batch {batch.id} at {index} and {entry.index}")

    def revisions_applied(self, member: MemberId, turn: Sequence[Changes]) -> None:
        """A revision holds the same events on all members, also when it is applied again."""
        for revision, events in turn:
            known = self.history.get(revision)
            if known is None:
                self.history[revision] = Revision(list(events), self._world.now)
                if revision != self.last_revision:
                    self.fail("state_equality", f"{member} applies {revision} before others")
                self._world.log(member, "applies revision", revision)
            elif known.events != events:
                self.fail("state_equality", f"{member} has other events at revision {revision}")

    def leads(self, member: MemberId, term: Term) -> None:
        """A term has one leader."""
        known = self._leaders.setdefault(term, member)
        if known != member:
            self.fail("one_leader_a_term", f"{known} and {member} lead term {term}")
        self.note("election")
