"""The replicated log in memory, kept in the write-ahead log, as the consensus library sees it.

Invariants:
* positions are contiguous: entry k of the list has index `first_index + k`, and the list is never
  empty; the first entry is the base, applied everywhere it matters and never replayed;
* `durable_index` is the last index up to which a power cut can take nothing back; a truncation
  lowers it at once, so that an acknowledgement never covers what is about to be rewritten;
* term and vote are durable when `setCurrentTerm` returns, and so is all that was appended before;
* the membership in force is the newest in the log, else the base's (Raft thesis §4.1).

The camel-case methods are the library's journal interface; it sees entries as (entry, index, term).
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import overload

from kvstore.base.errors import CorruptKeyspace
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.raft.consensus import Entry, EntryKind, Membership
from kvstore.raft.membership import decode_membership, encode_membership
from kvstore.wal.recovery import WalBase
from kvstore.wal.write_ahead_log import Recovered, WriteAheadLog

FIRST_INDEX = LogIndex(1)
_LIBRARY_NOOP = b"\x01"
_ENTRY_OVERHEAD = 64
"""Counted for each entry beside its data, so that a bound on bytes also bounds their number."""

LogItem = tuple[Entry, LogIndex, Term]
"""An entry as the library handles it: it looks at the index and the term only."""


@dataclass(frozen=True, slots=True)
class Applied:
    """Where the keyspace stands when a member starts."""

    index: LogIndex
    term: Term
    membership: Membership
    """The one in force at `index`."""
    generation: int


class Journal:
    """See the module."""

    _log: list[LogItem]
    _sequences: list[int]
    """Of the write-ahead log's records that brought the entries; 0 once recovered."""
    _ends: list[int]
    """Bytes up to and including each entry, from an arbitrary start."""
    _memberships: list[tuple[LogIndex, Membership]]
    """Since when each was in force; the first one since the base, or before it."""
    # Asked many times a turn, so not computed:
    first_index: LogIndex
    """The base: its term is known, its content is not needed any more."""
    last_index: LogIndex
    """The newest entry."""
    membership: Membership
    """The one in force."""

    def __init__(self, wal: WriteAheadLog, recovered: Recovered) -> None:
        """Take over a log that `begin_new` once began, as it was recovered."""
        self._wal = wal
        base = recovered.base
        self._begin(LogIndex(base.index), Term(base.term), decode_membership(base.membership))
        for index, term, kind, data in recovered.entries:
            entry = Entry(LogIndex(index), Term(term), EntryKind(kind), data)
            self._remember(entry, sequence=0)
        self._term = Term(recovered.term)
        self._vote = MemberId(recovered.vote) if recovered.vote else None
        self.durable_index: LogIndex = self.last_index
        """The last index that a power cut cannot take back."""

    @staticmethod
    def begin_new(wal: WriteAheadLog, membership: Membership, *, generation: int) -> Recovered:
        """Begin an empty log durably, with the entry 1 that every log begins with.

        `membership` is the whole initial cluster; a member that joins a cluster knows nothing yet,
        and starts with an empty one.
        """
        encoded = encode_membership(membership)
        wal.append_reset(FIRST_INDEX, 0, encoded, generation)
        wal.sync()
        base = WalBase(FIRST_INDEX, 0, encoded, generation)
        return Recovered(base=base, entries=[], term=0, vote=0, is_new=True, failure="", notes=[])

    # --- what the engine asks -------------------------------------------------------------------

    @property
    def last_term(self) -> Term:
        """The newest entry's term."""
        return self._log[-1][2]

    @property
    def membership_index(self) -> LogIndex:
        """The entry that put the membership in force, or the base."""
        return self._memberships[-1][0]

    def membership_at(self, index: LogIndex) -> Membership:
        """Return the membership in force once `index`, not below the base, is applied."""
        found = self._memberships[0][1]
        for since, membership in self._memberships:
            if since > index:
                break
            found = membership
        return found

    def term_at(self, index: LogIndex) -> Term | None:
        """Return the term of the entry at `index`, or None outside the log."""
        position = index - self._log[0][1]
        if 0 <= position < len(self._log):
            return self._log[position][2]
        return None

    def bytes_between(self, after: LogIndex, upto: LogIndex) -> int:
        """Return the bytes of the entries in (`after`, `upto`]."""
        first = self._log[0][1]
        return self._ends[upto - first] - self._ends[max(after - first, 0)]

    def batch(self, since: LogIndex, bytes_max: int, *, upto: LogIndex) -> list[Entry]:
        """Return entries in [`since`, `upto`]: at least one, else no more than `bytes_max`.

        Touches no other part of the log.
        """
        first = self._log[0][1]
        position = since - first
        end = bisect_right(
            self._ends, self._ends[position - 1] + bytes_max, lo=position, hi=upto - first + 1
        )
        return [item[0] for item in self._log[position : max(end, position + 1)]]

    def trim_point(self, upto: LogIndex, *, entries_max: int, bytes_max: int) -> LogIndex:
        """Return how far to compact so that no more than the bounds stay behind `upto`."""
        first = self._log[0][1]
        position = upto - first
        if position <= 0:
            return first
        by_count = position - entries_max
        by_bytes = bisect_right(self._ends, self._ends[position] - bytes_max - 1, hi=position + 1)
        return LogIndex(first + min(max(by_count, by_bytes, 0), position))

    # --- what the engine does -------------------------------------------------------------------

    def append(self, entry: Entry) -> None:
        """Add the next entry; durable once the log has synced."""
        assert entry.index == self.last_index + 1, "a gap in the log"
        sequence = self._wal.append_entry(entry.index, entry.term, entry.kind, entry.data)
        self._remember(entry, sequence)

    def note_durable(self) -> None:
        """Take over how far the write-ahead log has synced."""
        known = bisect_right(self._sequences, self._wal.durable_sequence)
        if known:
            self.durable_index = self._log[known - 1][1]

    def compact(self, upto: LogIndex) -> None:
        """Forget the entries below `upto`, which becomes the base."""
        position = upto - self._log[0][1]
        if not 0 < position < len(self._log):
            return
        base_membership = self.membership_at(upto)
        entry, index, term = self._log[position]
        # Its data is not needed any more, and may be large.
        self._log[: position + 1] = [(Entry(index, term, entry.kind, b""), index, term)]
        del self._sequences[:position]
        del self._ends[:position]
        newer = [known for known in self._memberships if known[0] > upto]
        self._memberships = [(upto, base_membership), *newer]
        self.first_index = upto
        self._wal.release(upto, term, encode_membership(base_membership))

    def reset(
        self, index: LogIndex, term: Term, membership: Membership, *, generation: int
    ) -> None:
        """Begin again at (index, term), durably: a snapshot replaced all that was before."""
        self._wal.append_reset(index, term, encode_membership(membership), generation)
        self._begin(index, term, membership)
        self._wal.sync()
        self.durable_index = index

    def switch_generation(self, generation: int) -> None:
        """Name another directory as the keyspace in force, durably; the log stays as it is."""
        self._wal.append_generation(generation)
        self._wal.sync()
        self.note_durable()

    def agree_with(self, applied: Applied) -> None:
        """Check at start that the log and the keyspace fit, or bring the log up to the keyspace.

        Raises:
            CorruptKeyspace: the log begins after what is applied: entries between are lost.
        """
        if applied.index < self.first_index:
            raise CorruptKeyspace(
                f"applied up to {applied.index}, but the log begins at {self.first_index}"
            )
        if self.term_at(applied.index) != applied.term:
            # Fell between the two steps of a snapshot's installation: the keyspace came first.
            self.reset(
                applied.index, applied.term, applied.membership, generation=applied.generation
            )

    # --- the library's journal interface ----------------------------------------------------------

    def add(self, command: Entry | bytes, index: LogIndex, term: Term) -> None:
        """Append an entry from a leader, or the library's own no-op at the start of a term."""
        if isinstance(command, Entry):
            self.append(command)
            return
        assert command == _LIBRARY_NOOP, "the library proposes nothing but no-ops"
        self.append(Entry(index, term, EntryKind.NOOP, b""))

    def deleteEntriesFrom(self, position: int) -> None:  # noqa: N802 - the library's name
        """Remove the entries from list position `position` on: a leader contradicts them."""
        if position >= len(self._log):
            return
        assert position > 0, "the base is committed"
        index = self._log[position][1]
        self._wal.append_truncation(index)
        del self._log[position:]
        del self._sequences[position:]
        del self._ends[position:]
        self.last_index = self._log[-1][1]
        while self._memberships[-1][0] >= index:
            self._memberships.pop()
        self.membership = self._memberships[-1][1]
        self.durable_index = min(self.durable_index, self.last_index)

    def setCurrentTerm(self, term: Term, vote: MemberId | None) -> None:  # noqa: N802
        """Make term and vote durable, with everything appended before."""
        if (term, vote) == (self._term, self._vote):
            return
        self._wal.append_hard_state(term, vote or 0)
        self._wal.sync()
        self._term, self._vote = term, vote
        self.note_durable()

    def getCurrentTerm(self) -> Term:  # noqa: N802
        """Return the durable term."""
        return self._term

    def getVotedForNodeId(self) -> MemberId | None:  # noqa: N802
        """Return who got this member's vote in the durable term."""
        return self._vote

    def getRaftCommitIndex(self) -> LogIndex:  # noqa: N802
        """Return the base: a commit index is never trusted beyond what is known applied."""
        return self.first_index

    def setRaftCommitIndex(self, index: LogIndex) -> None:  # noqa: N802
        """Keep nothing: the keyspace knows what is applied."""

    def onOneSecondTimer(self) -> None:  # noqa: N802
        """Do nothing: durability has no timer."""

    @overload
    def __getitem__(self, position: int) -> LogItem: ...
    @overload
    def __getitem__(self, position: slice) -> list[LogItem]: ...
    def __getitem__(self, position: int | slice) -> LogItem | list[LogItem]:
        return self._log[position]

    def __len__(self) -> int:
        return len(self._log)

    # --- state ----------------------------------------------------------------------------------

    def _begin(self, index: LogIndex, term: Term, membership: Membership) -> None:
        self._log = [(Entry(index, term, EntryKind.NOOP, b""), index, term)]
        self._sequences = [0]
        self._ends = [0]
        self._memberships = [(index, membership)]
        self.first_index, self.last_index, self.membership = index, index, membership

    def _remember(self, entry: Entry, sequence: int) -> None:
        self._log.append((entry, entry.index, entry.term))
        self.last_index = entry.index
        self._sequences.append(sequence)
        self._ends.append(self._ends[-1] + len(entry.data) + _ENTRY_OVERHEAD)
        if entry.kind is EntryKind.MEMBERSHIP:
            self.membership = decode_membership(entry.data)
            self._memberships.append((entry.index, self.membership))
