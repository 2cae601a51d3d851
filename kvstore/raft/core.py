"""What the parts of an engine share: the state of Raft figure 2, and ways to act on it."""

from typing import Protocol

from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.raft.append_guard import Extends
from kvstore.raft.journal import Journal
from kvstore.raft.peer_message import Append, PeerMessage
from kvstore.raft.timing import RaftTiming


class Core(Protocol):
    """The engine, as its parts see it. Time stands still during one step."""

    @property
    def me(self) -> MemberId: ...

    @property
    def now(self) -> float: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def timing(self) -> RaftTiming: ...

    @property
    def term(self) -> Term: ...

    @property
    def leader(self) -> MemberId | None: ...

    @property
    def is_leader(self) -> bool: ...

    @property
    def is_own_term_committed(self) -> bool:
        """Whether this leadership's no-op is: before that its commit index may be out of date."""
        ...

    @property
    def commit_index(self) -> LogIndex: ...

    @property
    def committed(self) -> LogIndex:
        """The highest index known to be committed; not limited to what is durable here."""
        ...

    @property
    def other_voters(self) -> tuple[MemberId, ...]: ...

    @property
    def linked(self) -> frozenset[MemberId]:
        """To whom a link is up."""
        ...

    def match_index(self, member: MemberId) -> LogIndex: ...

    def hears(self, member: MemberId) -> None:
        """Note, as the leader, that `member` answered in this term."""
        ...

    def send(self, member: MemberId, message: PeerMessage) -> None: ...

    def announce_soon(self) -> None:
        """Tell the commit index in this turn: somebody waits for it."""
        ...

    def see_term(self, term: Term) -> None:
        """Follow a higher term (Raft figure 2, rules for all servers); ignore a lower one."""
        ...

    def is_current(self, sender: MemberId, term: Term) -> bool:
        """Whether `term` is ours; follows a higher one, and answers a lower one."""
        ...

    def is_answer_to_me(self, sender: MemberId, term: Term) -> bool:
        """Whether a member answers this leadership; follows a higher term."""
        ...

    def contact(self, leader: MemberId, term: Term, commit: LogIndex) -> None:
        """Follow `leader`, and commit up to `commit`; the log is not touched."""
        ...

    def extend_log(self, leader: MemberId, append: Append, verdict: Extends) -> None:
        """Truncate what conflicts, append what is new, and commit as far as `append` says."""
        ...
