"""A follower's side of replication: what it takes, and what it says it has."""

from kvstore.base.errors import Diverged
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.raft.append_guard import Extends, Fits, judge_append
from kvstore.raft.core import Core
from kvstore.raft.elections import PreVotes
from kvstore.raft.journal import Journal
from kvstore.raft.peer_message import Ack, Append, Contact, Reject, StaleTerm


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


class Following:
    """The answers to a leader's messages."""

    def __init__(self, core: Core, pre_votes: PreVotes) -> None:
        self._core = core
        self._pre_votes = pre_votes
        self._acknowledgement = Acknowledgement(core.journal)

    def on_append(self, sender: MemberId, append: Append) -> None:
        """Take what fits; what is known already leaves the log alone."""
        core = self._core
        if not self._hear(sender, append.term):
            return
        verdict = judge_append(core.journal, append, committed=core.committed)
        if isinstance(verdict, Fits):
            # The commit index follows only as far as this very leader's log was verified (F7).
            core.contact(sender, append.term, min(append.commit, verdict.verified))
            self.verify(verdict.verified)
        elif isinstance(verdict, Extends):
            core.extend_log(sender, append, verdict)
        else:
            core.contact(sender, append.term, LogIndex(0))
            core.send(sender, Reject(core.term, append.sequence, verdict.next_index))

    def on_contact(self, sender: MemberId, contact: Contact) -> None:
        """Wait for a snapshot.

        The answer keeps the leader its quorum meanwhile, and tells it when its log reaches far
        enough again (F10). What is committed is in every leader's log.
        """
        if self._hear(sender, contact.term):
            self._core.contact(sender, contact.term, LogIndex(0))
            self.verify(self._core.committed)

    def verify(self, index: LogIndex) -> None:
        """Note that the leader of this term has the same log up to `index`."""
        core = self._core
        self._acknowledgement.verify(index, term=core.term, committed=core.committed)

    def acknowledge(self) -> None:
        """Tell the leader what is verified and durable, if that is due."""
        core = self._core
        if core.leader is None or core.leader == core.me:
            return
        interval_s = core.timing.heartbeat_s / 2
        index = self._acknowledgement.due(core.term, core.now, interval_s=interval_s)
        if index is not None:
            core.send(core.leader, Ack(core.term, index))

    def _hear(self, sender: MemberId, term: Term) -> bool:
        core = self._core
        if term < core.term:
            core.send(sender, StaleTerm(core.term))
            return False
        if term == core.term and core.is_leader:
            raise Diverged(f"member {sender:x} leads term {term}, as this one does")
        self._pre_votes.leader_heard()
        return True
