"""What a leader sends when (Raft §5.3): a window of bytes for each peer, and never more."""

from collections.abc import Iterable, MutableMapping
from typing import Generic, NamedTuple, TypeVar

from kvstore.base.ids import LogIndex, Term
from kvstore.raft.consensus import Entry
from kvstore.raft.journal import Journal
from kvstore.raft.peer_message import Append, Contact, encode

Peer = TypeVar("Peer")


class Announcement(NamedTuple):
    """What every append says beside its entries."""

    term: Term
    commit: LogIndex
    is_heartbeat: bool
    """Whether to write also to peers that miss nothing."""
    announces_commit: bool = True
    """Whether to write also to peers that miss nothing but the commit index."""


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
        term, commit, heartbeat, announces_commit = now
        if term != self._term:
            self._term = term
            self._started_at, self._announced, self._rejected_at = {}, {}, {}
        journal = self._journal
        first, last = journal.first_index, journal.last_index
        if not heartbeat and not self._is_due(peers, next_index, now):
            return [], []  # as in most turns
        self._sequence += 1
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
            is_due = heartbeat or (announces_commit and self._announced.get(peer) != commit)
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

    def announced(self, peers: Iterable[Peer]) -> LogIndex:
        """Return the lowest commit index that any of `peers` was told last; 0: none is there."""
        return min((self._announced.get(peer, LogIndex(0)) for peer in peers), default=LogIndex(0))

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

    def _is_due(
        self, peers: Iterable[Peer], next_index: MutableMapping[Peer, LogIndex], now: Announcement
    ) -> bool:
        last, announced = self._journal.last_index, self._announced
        for peer in peers:
            if next_index[peer] <= last:
                return True
            if now.announces_commit and announced.get(peer) != now.commit:
                return True
        return False

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
