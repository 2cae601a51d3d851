"""Log replication: which append a follower may take, and what a leader sends when (Raft §5.3)."""

from collections.abc import Iterable, MutableMapping
from typing import Generic, NamedTuple, TypeVar

from kvstore.base.errors import Diverged
from kvstore.base.ids import LogIndex, Term
from kvstore.raft.consensus import Entry
from kvstore.raft.journal import Journal
from kvstore.raft.peer_message import Append, Contact, encode

Peer = TypeVar("Peer")


# --- the follower's guard -------------------------------------------------------------------------


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


class Acknowledgement:
    """What a follower tells its leader: a function of state, so no answer is ever held back.

    Invariant: what is acknowledged equals this term's leader's log, and is durable here.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._verified = (Term(0), LogIndex(0))
        """(term, highest index known to equal the log of that term's leader)."""
        self._sent = (Term(0), LogIndex(0))
        self._sent_at = -float("inf")
        self._is_asked = False

    def verify(self, index: LogIndex, *, term: Term, committed: LogIndex) -> None:
        """The leader of `term` has the same log up to `index`, as all have up to `committed`."""
        verified_term, known = self._verified
        self._verified = (term, max(index, known if verified_term == term else committed))
        self._is_asked = True

    def due(self, term: Term, now: float, *, interval_s: float) -> LogIndex | None:
        """Return what to acknowledge now, if anything.

        What is new at once; else an answer to an append, but not more often than each `interval_s`.
        """
        verified_term, verified = self._verified
        if verified_term != term:
            return None
        index = min(verified, self._journal.durable_index)
        sent_term, sent_index = self._sent
        is_new = sent_term != term or index > sent_index
        is_late = self._is_asked and now - self._sent_at >= interval_s
        self._is_asked = False
        if not is_new and not is_late:
            return None
        self._sent = (term, index)
        self._sent_at = now
        return index


# --- the leader's window --------------------------------------------------------------------------


class Announcement(NamedTuple):
    """What every append says beside its entries."""

    term: Term
    commit: LogIndex
    is_heartbeat: bool
    """Whether to write also to peers that miss nothing."""


class SendWindow(Generic[Peer]):
    """What one leadership has sent to whom.

    Invariant: in one term, the bytes sent to a peer beyond what it acknowledged, or beyond where
    sending to it last began, stay below the window plus one message.
    """

    def __init__(self, journal: Journal, *, window_bytes: int, message_bytes: int) -> None:
        self._journal = journal
        self._window_bytes = window_bytes
        self._message_bytes = message_bytes
        self._term = Term(0)
        self._sequence = 0
        self._started_at: dict[Peer, LogIndex] = {}
        self._announced: dict[Peer, LogIndex] = {}
        self._rejected_at: dict[Peer, int] = {}

    def messages(
        self,
        peers: Iterable[Peer],
        next_index: MutableMapping[Peer, LogIndex],
        match_index: MutableMapping[Peer, LogIndex],
        now: "Announcement",
    ) -> tuple[list[tuple[Peer, bytes]], list[Peer]]:
        """Return what to send now, and which peers need a snapshot; moves `next_index` on.

        Each peer gets what its window allows; one that misses nothing gets an empty append if the
        commit index has moved, or for a heartbeat. Peers at the same position share the bytes.
        """
        term, commit, heartbeat = now
        if term != self._term:
            self._term = term
            self._started_at, self._announced, self._rejected_at = {}, {}, {}
        self._sequence += 1
        journal = self._journal
        first, last = journal.first_index, journal.last_index
        encoded: dict[LogIndex, tuple[bytes, LogIndex]] = {}
        out: list[tuple[Peer, bytes]] = []
        behind: list[Peer] = []
        for peer in peers:
            following = next_index[peer]
            if following <= first:
                behind.append(peer)
                if heartbeat:
                    out.append((peer, encode(Contact(term))))
                continue
            is_due = heartbeat or self._announced.get(peer) != commit
            if following > last and not is_due:
                continue
            base = max(
                match_index[peer], self._started_at.setdefault(peer, LogIndex(following - 1))
            )
            while following <= last and (
                journal.bytes_between(base, LogIndex(following - 1)) < self._window_bytes
            ):
                if following not in encoded:
                    encoded[following] = self._encode(following, commit)
                message, following = encoded[following]
                out.append((peer, message))
                is_due = False
            next_index[peer] = following
            if is_due:
                out.append((peer, self._encode_empty(following, commit)))
            self._announced[peer] = commit
        return out, behind

    def accepts_reject(self, peer: Peer, echo: int) -> bool:
        """Whether a reject answers something sent after the last one accepted; if so, note it.

        One lost or conflicting message makes the peer reject all that was in flight behind it: only
        the first of these may move `next_index`.
        """
        if echo <= self._rejected_at.get(peer, 0):
            return False
        self._rejected_at[peer] = self._sequence
        self.begin_again(peer)
        return True

    def begin_again(self, peer: Peer) -> None:
        """Nothing sent to `peer` so far counts as in flight."""
        self._started_at.pop(peer, None)

    def forget(self, peer: Peer) -> None:
        """Drop what is known of a peer that left."""
        for known in (self._started_at, self._announced, self._rejected_at):
            known.pop(peer, None)

    def _encode(self, following: LogIndex, commit: LogIndex) -> tuple[bytes, LogIndex]:
        entries = self._journal.batch(following, self._message_bytes, upto=self._journal.last_index)
        message = self._append(following, commit, entries)
        return message, LogIndex(entries[-1].index + 1)

    def _encode_empty(self, following: LogIndex, commit: LogIndex) -> bytes:
        # It names the position before `following`, so that a lost message is noticed.
        return self._append(following, commit, [])

    def _append(self, following: LogIndex, commit: LogIndex, entries: list[Entry]) -> bytes:
        previous = LogIndex(following - 1)
        previous_term = self._journal.term_at(previous)
        assert previous_term is not None, "the peer needs a snapshot"
        return encode(Append(self._term, commit, self._sequence, previous, previous_term, entries))
