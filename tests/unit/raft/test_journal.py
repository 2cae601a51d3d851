"""kvstore.raft.journal over the real write-ahead log, on a simulated disk."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kvstore.base.ids import ClusterId, LogIndex, MemberId, Term
from kvstore.base.limits import Limits
from kvstore.raft.consensus import Entry, EntryKind, Membership
from kvstore.raft.journal import Journal
from kvstore.raft.membership import encode_membership
from kvstore.wal.segment import WalIdentity
from kvstore.wal.write_ahead_log import Recovered, WriteAheadLog
from tests.support.sim_disk import SimDisk
from tests.support.world import SeededEntropy

FIRST = Membership(voters=frozenset({MemberId(1), MemberId(2)}))


class LosesAll(SeededEntropy):
    """Dice that let nothing survive a power cut that was not synced."""

    def fraction(self) -> float:
        return 1.0

    def bits(self, count: int) -> int:
        return 0


def opened_wal(disk: SimDisk) -> tuple[WriteAheadLog, Recovered]:
    return WriteAheadLog.open(
        Path("/wal"),
        disk=disk,
        limits=Limits(wal_segment_bytes=8192),
        identity=WalIdentity(ClusterId(1), MemberId(1)),
        entropy=SeededEntropy(Random(1)),
    )


def opened(disk: SimDisk) -> Journal:
    wal, recovered = opened_wal(disk)
    if recovered.base.index == 0:
        recovered = Journal.begin_new(wal, FIRST, generation=1)
    return Journal(wal, recovered)


def command(index: int, term: int = 1, data: bytes = b"data") -> Entry:
    return Entry(LogIndex(index), Term(term), EntryKind.COMMAND, data)


def with_entries(count: int, size: int = 36) -> Journal:
    journal = opened(SimDisk())
    for index in range(2, count + 2):
        journal.append(command(index, data=b"." * size))
    return journal


def test_a_new_log_holds_the_entry_that_every_log_begins_with() -> None:
    journal = opened(SimDisk())
    assert (journal.first_index, journal.last_index, journal.last_term) == (1, 1, 0)
    assert journal.membership == FIRST
    assert journal.durable_index == 1


def test_what_was_appended_is_durable_once_synced() -> None:
    disk = SimDisk()
    journal = opened(disk)
    journal.append(command(2))
    assert journal.durable_index == 1
    journal.setCurrentTerm(Term(3), MemberId(2))
    assert journal.durable_index == 2, "term and vote take along what was appended before"
    disk.crash(SeededEntropy(Random(0)))
    again = opened(disk)
    assert again[1:] == [(command(2), 2, 1)]
    assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (3, 2)


def test_a_truncation_lowers_what_is_durable_at_once() -> None:
    journal = with_entries(3)
    journal.setCurrentTerm(Term(1), None)
    journal.deleteEntriesFrom(2)
    assert journal.durable_index == 2
    journal.append(command(3, term=2))
    journal.note_durable()
    assert journal.durable_index == 2


def test_a_truncation_survives_a_power_cut() -> None:
    disk = SimDisk()
    journal = opened(disk)
    for index in (2, 3, 4):
        journal.append(command(index))
    journal.setCurrentTerm(Term(2), None)
    journal.deleteEntriesFrom(2)
    journal.setCurrentTerm(Term(3), None)
    disk.crash(SeededEntropy(Random(0)))
    again = opened(disk)
    assert again.last_index == 2
    again.append(command(3, term=3))


def test_a_reset_is_durable_when_it_returns() -> None:
    disk = SimDisk()
    journal = opened(disk)
    journal.append(command(2))
    journal.reset(LogIndex(9), Term(4), FIRST, generation=2)
    assert journal.durable_index == 9
    disk.crash(LosesAll(Random(0)))
    _, recovered = opened_wal(disk)
    assert (recovered.base.index, recovered.base.generation) == (9, 2)


def test_a_gap_is_refused() -> None:
    with pytest.raises(AssertionError, match="gap"):
        opened(SimDisk()).append(command(5))


def test_a_batch_holds_at_least_one_entry_and_no_more_bytes_than_asked_for() -> None:
    journal = with_entries(10)  # 100 bytes each, with their share of memory
    assert [entry.index for entry in journal.batch(LogIndex(3), 1, upto=LogIndex(11))] == [3]
    assert [entry.index for entry in journal.batch(LogIndex(3), 300, upto=LogIndex(11))] == [
        3,
        4,
        5,
    ]
    assert [entry.index for entry in journal.batch(LogIndex(3), 900, upto=LogIndex(4))] == [3, 4]
    assert journal.bytes_between(LogIndex(3), LogIndex(6)) == 300


@pytest.mark.parametrize(
    ("entries_max", "bytes_max", "expected"),
    [(100, 10_000, 1), (4, 10_000, 6), (100, 300, 7), (100, 299, 8), (0, 10_000, 10), (100, 0, 10)],
)
def test_the_trim_point_keeps_what_fits_both_bounds(
    entries_max: int, bytes_max: int, expected: int
) -> None:
    journal = with_entries(10)
    trim = journal.trim_point(LogIndex(10), entries_max=entries_max, bytes_max=bytes_max)
    assert trim == expected


class JournalBesideAList(RuleBasedStateMachine):
    """The journal behaves as a list of entries from which a power cut takes what was not synced."""

    @initialize()
    def open(self) -> None:
        self.disk = SimDisk()
        self.journal = opened(self.disk)
        self.base = (1, FIRST)
        self.entries: list[Entry] = []
        self.durable = 0
        self.term = 1

    def after(self, count: int) -> int:
        return self.base[0] + count

    @rule(data=st.binary(max_size=3000))
    def append(self, data: bytes) -> None:
        entry = command(self.after(len(self.entries)) + 1, self.term, data)
        self.journal.append(entry)
        self.entries.append(entry)

    @rule(member=st.integers(3, 9))
    def append_membership(self, member: int) -> None:
        membership = Membership(voters=FIRST.voters | {MemberId(member)})
        index = LogIndex(self.after(len(self.entries)) + 1)
        entry = Entry(index, Term(self.term), EntryKind.MEMBERSHIP, encode_membership(membership))
        self.journal.append(entry)
        self.entries.append(entry)

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        kept = data.draw(st.integers(0, len(self.entries) - 1))
        self.journal.deleteEntriesFrom(kept + 1)
        del self.entries[kept:]
        self.durable = min(self.durable, kept)

    @rule()
    def sync(self) -> None:
        self.term += 1
        self.journal.setCurrentTerm(Term(self.term), None)
        self.durable = len(self.entries)

    @precondition(lambda self: self.durable)
    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        gone = data.draw(st.integers(1, self.durable))
        upto = LogIndex(self.after(gone))
        membership = self.membership(gone)
        self.journal.compact(upto)
        self.base = (upto, membership)
        del self.entries[:gone]
        self.durable -= gone

    @rule(seed=st.integers(0, 100))
    def cut_power(self, seed: int) -> None:
        """Only after a sync is it known exactly what survives."""
        self.sync()
        self.disk.crash(SeededEntropy(Random(seed)))
        self.journal = opened(self.disk)

    def membership(self, count: int) -> Membership:
        found = self.base[1]
        for entry in self.entries[:count]:
            if entry.kind is EntryKind.MEMBERSHIP:
                (added,) = {
                    MemberId(member)
                    for member in range(3, 10)
                    if encode_membership(Membership(voters=FIRST.voters | {MemberId(member)}))
                    == entry.data
                }
                found = Membership(voters=FIRST.voters | {added})
        return found

    @invariant()
    def equal(self) -> None:
        journal = self.journal
        assert [item[0] for item in journal[1:]] == self.entries
        assert journal.first_index == self.base[0]
        assert journal.membership == self.membership(len(self.entries))
        assert journal.durable_index >= self.after(self.durable)
        assert journal.durable_index <= journal.last_index
        assert journal.term_at(LogIndex(self.base[0] - 1)) is None


TestJournalBesideAList = JournalBesideAList.TestCase
TestJournalBesideAList.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
