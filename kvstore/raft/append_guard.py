"""Which appends a follower may take (Raft §5.3): the library is given only what it does right."""

from typing import NamedTuple

from kvstore.base.errors import Diverged
from kvstore.base.ids import LogIndex, Term
from kvstore.raft.consensus import Entry
from kvstore.raft.journal import Journal
from kvstore.raft.peer_message import Append


class Fits(NamedTuple):
    """The log equals the leader's up to `verified`, and the message holds nothing new."""

    verified: LogIndex


class Extends(NamedTuple):
    """`entries` are new after (`previous_index`, `previous_term`); what follows it conflicts."""

    previous_index: LogIndex
    previous_term: Term
    entries: list[Entry]


class Misses(NamedTuple):
    """The message does not fit; the leader is to send from `next_index` on."""

    next_index: LogIndex


Verdict = Fits | Extends | Misses


def judge_append(journal: Journal, append: Append, *, committed: LogIndex) -> Verdict:
    """Return how `append`, from the leader of the current term, relates to the log here.

    A matching entry is never truncated: an older message must not take back what a newer one
    brought. Nothing at or below `committed` is ever truncated.

    Raises:
        Diverged: the leader contradicts a committed entry.
    """
    previous, previous_term = append.previous_index, append.previous_term
    entries = list(append.entries)
    first, last = journal.first_index, journal.last_index
    if previous < first:
        # At and below the base all is committed, hence equal to any leader's.
        skip = first - previous
        if len(entries) < skip:
            return Fits(first)
        entries = entries[skip:]
        previous, previous_term = first, journal[0][2]
    if previous > last:
        return Misses(LogIndex(last + 1))
    here = journal.term_at(previous)
    if here != previous_term:
        if previous <= committed:
            raise Diverged(f"leader's term {previous_term} at {previous}, committed with {here}")
        return Misses(_start_of_term(journal, previous, above=committed))
    known = _known_entries(journal, entries)
    if known == len(entries):
        return Fits(LogIndex(previous + known))
    if entries[known].index <= committed:
        raise Diverged(f"leader overwrites the committed entry {entries[known].index}")
    if known:
        previous, previous_term = entries[known - 1].index, entries[known - 1].term
    return Extends(previous, previous_term, entries[known:])


def _known_entries(journal: Journal, entries: list[Entry]) -> int:
    """Return how many leading ones the log already has."""
    for position, entry in enumerate(entries):
        if journal.term_at(entry.index) != entry.term:
            return position
    return len(entries)


def _start_of_term(journal: Journal, index: LogIndex, *, above: LogIndex) -> LogIndex:
    """Return the first index after `above` of the run of equal terms that `index` is in.

    The leader has another term at `index`, so it steps back over a whole term at once.
    """
    term = journal.term_at(index)
    while index - 1 > above and journal.term_at(LogIndex(index - 1)) == term:
        index = LogIndex(index - 1)
    return index
