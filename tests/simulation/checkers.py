"""What must hold, judged after every step. The names are those of docs/guarantees.md."""

from collections import Counter
from dataclasses import dataclass
from typing import NoReturn
from zlib import crc32

from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.raft.consensus import Entry, EntryKind
from tests.simulation.outcome import Violation
from tests.support.world import START, World


@dataclass(frozen=True, slots=True)
class Committed:
    """The highest entry that any node knew committed, and who has to have it."""

    index: LogIndex
    term: Term
    leader_term: Term
    voters: frozenset[MemberId]


class Checkers:
    """The oracle of one run: it sees all nodes at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._entries: dict[tuple[int, int], tuple[int, int]] = {}
        self._leaders: dict[Term, MemberId] = {}
        self._votes: dict[tuple[MemberId, Term], MemberId] = {}
        self._applied: dict[int, int] = {1: 0}
        self._index_of: dict[bytes, int] = {}
        self._committed_terms: dict[int, Term] = {}
        self.committed = Committed(LogIndex(1), Term(0), Term(0), frozenset())
        self.acknowledged_index = 1
        self.counts: Counter[str] = Counter()

    def fail(self, guarantee: str, detail: str) -> NoReturn:
        raise Violation(guarantee, f"{detail} (at {self._world.now - START:.4f} s)")

    def note(self, what: str) -> None:
        """Count something that ought to happen in some seeds."""
        self.counts[what] += 1

    def entry_appended(self, node: MemberId, entry: Entry, previous_term: Term) -> None:
        """(index, term) names one entry, and one entry before it (Raft figure 3, log matching)."""
        seen = (crc32(entry.data, entry.kind), previous_term)
        known = self._entries.setdefault((entry.index, entry.term), seen)
        if known != seen:
            self.fail("log_matching", f"{node} appends another entry ({entry.index}, {entry.term})")

    def vote_sent(self, node: MemberId, term: Term, candidate: MemberId) -> None:
        """A node votes once a term, also across restarts (Raft §5.2)."""
        known = self._votes.setdefault((node, term), candidate)
        if known != candidate:
            self.fail("one_vote_a_term", f"{node} votes for {known} and {candidate} in {term}")

    def leads(self, node: MemberId, term: Term, term_of_committed: Term | None) -> None:
        """A term has one leader; it has all that was committed in earlier terms.

        `term_of_committed` is what its log has at the committed index (its base counts as having
        it).
        """
        known = self._leaders.get(term)
        if known == node:
            return
        if known is not None:
            self.fail("one_leader_a_term", f"{known} and {node} lead term {term}")
        self._leaders[term] = node
        self.note("election")
        committed = self.committed
        if term > committed.leader_term and term_of_committed != committed.term:
            self.fail(
                "leader_completeness",
                f"{node} leads term {term} without ({committed.index}, {committed.term})",
            )

    def commits(
        self,
        node: MemberId,
        index: LogIndex,
        term: Term,
        *,
        node_term: Term,
        voters: frozenset[MemberId],
    ) -> bool:
        """All nodes commit the same entries; returns whether `index` is a new highest one."""
        known = self._committed_terms.setdefault(index, term)
        if known != term:
            self.fail("commit_safety", f"{node} commits ({index}, {term}), was term {known}")
        if index <= self.committed.index:
            return False
        self.committed = Committed(index, term, node_term, voters)
        return True

    def durable_on(self, holders: frozenset[MemberId], why: str) -> None:
        """What is committed survives on a majority, whatever crashes next."""
        committed = self.committed
        if committed.voters and len(holders) * 2 <= len(committed.voters):
            self.fail(
                "commit_durability",
                f"{why}: ({committed.index}, {committed.term}) is durable on {len(holders)} of "
                f"{len(committed.voters)}",
            )

    def applies(self, node: MemberId, entry: Entry, before: int) -> int:
        """Each command once, in the same order everywhere; returns the new state's hash."""
        if self._applied.get(entry.index - 1) != before:
            self.fail("state_equality", f"{node} applies {entry.index} to a wrong state")
        after = crc32(entry.data, before ^ entry.index ^ entry.term)
        known = self._applied.setdefault(entry.index, after)
        if known != after:
            self.fail("state_equality", f"{node} applies another entry at {entry.index}")
        if entry.kind is EntryKind.COMMAND:
            index = self._index_of.setdefault(entry.data, entry.index)
            if index != entry.index:
                self.fail("applied_once", f"{entry.data!r} at {index} and {entry.index}")
        return after

    def acknowledges(self, node: MemberId, command: bytes) -> None:
        """Only what is applied is acknowledged."""
        index = self._index_of.get(command)
        if index is None:
            self.fail("no_false_acknowledgement", f"{node}: {command!r}")
        self.note("write acknowledged")
        self.acknowledged_index = max(self.acknowledged_index, index)

    def reads(self, node: MemberId, applied: LogIndex, acknowledged_before: int) -> None:
        """A read sees all that was acknowledged before it began."""
        self.note("read answered")
        if applied < acknowledged_before:
            self.fail("no_stale_read", f"{node} at {applied}, {acknowledged_before} was known")
