"""Elections: who may campaign, and whose votes count (Raft §5.2, §5.4.1; thesis §9.6).

Before a member raises its term it asks around whether it would win: so one that was cut off, or
whose log is old, deposes nobody.
"""

from kvstore.base.entropy import Entropy
from kvstore.base.ids import MemberId, Term
from kvstore.raft.core import Core
from kvstore.raft.peer_message import PreVote, PreVoteRequest


class Ballot:
    """Who has voted for this member in its term: a vote repeated is no second vote."""

    def __init__(self) -> None:
        self._term = Term(0)
        self._voters: set[MemberId] = set()

    def is_first(self, voter: MemberId, term: Term) -> bool:
        """Note a vote; whether it is the voter's first in `term`."""
        if term < self._term:
            return False
        if term > self._term:
            self._term = term
            self._voters = set()
        if voter in self._voters:
            return False
        self._voters.add(voter)
        return True


class PreVotes:
    """A round of asking.

    It belongs to the term in which it began, and is repeated until it is won or a leader is heard.
    """

    def __init__(self, core: Core, entropy: Entropy) -> None:
        self._core = core
        self._entropy = entropy
        self._leader_heard_at = -float("inf")
        self._term: Term | None = None
        self._granted: set[MemberId] = set()
        self._is_won = False
        self._retry_at = 0.0

    def leader_heard(self) -> None:
        """A leader is alive: there is nothing to campaign for."""
        self._leader_heard_at = self._core.now
        self.end()

    def end(self) -> None:
        """Forget the round."""
        self._term = None
        self._is_won = False

    def take_win(self) -> bool:
        """Whether a round of this term is won. A win is used once."""
        if not self._is_won or self._term != self._core.term:
            return False
        self.end()
        return True

    def advance(self) -> None:
        """Ask the voters (again), if it is time and enough of them can be reached."""
        core = self._core
        others, term = core.other_voters, core.term
        reachable = sum(1 for member in others if member in core.linked)
        if (self._term == term and core.now < self._retry_at) or not _is_majority(
            reachable + 1, len(others) + 1
        ):
            return
        self._term = term
        self._granted = set()
        self._is_won = False
        self._retry_at = core.now + core.timing.heartbeat_s * (2 + 2 * self._entropy.fraction())
        journal = core.journal
        for member in others:
            core.send(member, PreVoteRequest(term, journal.last_index, journal.last_term))

    def on_request(self, sender: MemberId, request: PreVoteRequest) -> None:
        """Grant it unless this member would not vote so, or follows a leader that is alive."""
        core, journal = self._core, self._core.journal
        follows_another = (
            core.leader is not None
            and core.leader != sender
            and core.now - self._leader_heard_at < core.timing.election_s
        )
        is_up_to_date = (request.last_term, request.last_index) >= (
            journal.last_term,
            journal.last_index,
        )
        granted = (
            request.term >= core.term
            and is_up_to_date
            and not core.is_leader
            and not follows_another
        )
        core.send(sender, PreVote(core.term, request.term, granted))

    def on_answer(self, sender: MemberId, answer: PreVote) -> None:
        """Count it, if it comes from a voter and answers the round under way."""
        core = self._core
        core.see_term(answer.term)
        if answer.granted and answer.asked == self._term and sender in core.other_voters:
            self._granted.add(sender)
            self._is_won = _is_majority(len(self._granted) + 1, len(core.other_voters) + 1)


def _is_majority(count: int, voters: int) -> bool:
    return count * 2 > voters
