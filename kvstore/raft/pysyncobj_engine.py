"""`Consensus` by pysyncobj: the only importer of the library, and all that it overrides.

The library brings the roles and terms, voting, append and next-index bookkeeping, the apply loop
and the stepping down without a quorum. Its transport, journals, serializer, compaction, membership
changes, command queue and pickling are not reachable. What it gets wrong is overridden:
docs/adr/0013 lists each fix (F1-F22) and what happens without it.

Overriding works because mangling is textual: the library's `self.__name` is `self._SyncObj__name`,
which a subclass may define. Hence the exact version and source are checked at import.

The library ticks only when its clock demands it, for a campaign or a heartbeat. In between, a turn
commits and applies by itself, at a cost that does not grow with the log.
"""
# ruff: noqa: N802 - the library's names

from pathlib import Path

import pysyncobj.syncobj as library
from pysyncobj.config import SyncObjConf
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from kvstore.base.clock import Clock
from kvstore.base.entropy import Entropy
from kvstore.base.errors import NotLeader, ProtocolError, TooManyRequests
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.base.limits import Limits
from kvstore.raft import peer_message as wire
from kvstore.raft.append_guard import Extends
from kvstore.raft.commit import leader_commit
from kvstore.raft.consensus import (
    ConsensusHost,
    Entry,
    EntryKind,
    Membership,
    ReadIndexCallback,
    Role,
)
from kvstore.raft.elections import Ballot, PreVotes
from kvstore.raft.following import Following
from kvstore.raft.journal import Applied, Journal
from kvstore.raft.membership import encode_membership, problem_with_change
from kvstore.raft.pinned_library import check_library
from kvstore.raft.read_index import ReadIndex
from kvstore.raft.replication import Announcement, SendWindow
from kvstore.raft.timing import RaftTiming
from kvstore.raft.transfer import Transfer

_FOLLOWER, _CANDIDATE, _LEADER = range(3)
_ROLES = (Role.FOLLOWER, Role.CANDIDATE, Role.LEADER)
_APPLIED_BYTES_PER_TURN = 4 * 1024 * 1024
_ENORMOUS = 10**12
"""For the library's settings that must never take effect."""


check_library(library.VERSION, Path(library.__file__).read_bytes(), library.SyncObj)


class _Step:
    """The instant of the step under way.

    The library asks a module global for the time. Time stands still during a step, so any number
    of engines, each with a clock of its own, can take turns in one thread.
    """

    now = 0.0


library.monotonicTime = lambda: _Step.now
library.createJournal = lambda journal: journal  # ours comes ready-made through the settings


class _Peer(Node):
    """A member in the library's sets and dicts; each engine has one object a member."""

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__


class _Outlet(Transport):
    """Where the library sends the two messages that it still sends itself."""

    def __init__(self) -> None:
        super().__init__(None, None, [])
        self.engine: PySyncObjEngine | None = None

    def send(self, node: Node, message: dict[str, object]) -> bool:
        """Translate a message; term and vote are durable by now (F1)."""
        engine, member = self.engine, MemberId(node.id)
        assert engine is not None
        match message:
            case {
                "type": "request_vote",
                "term": int(term),
                "last_log_index": int(index),
                "last_log_term": int(last_term),
            }:
                engine.send(member, wire.VoteRequest(Term(term), LogIndex(index), Term(last_term)))
            case {"type": "response_vote", "term": int(term)}:
                engine.send(member, wire.Vote(Term(term)))
            case _:
                raise AssertionError(f"the library sends {message}")
        return True


class _NoPoller:
    def poll(self, timeout: float) -> None:
        """Do nothing: the member's loop waits for sockets."""


class PySyncObjEngine(library.SyncObj):
    """One member's part in Raft: a `Consensus`, and the `Core` of its own parts.

    Each call of a `Consensus` method is one step: the time is read once, and the host hears of a
    new leader or membership at its end, when all state is consistent again.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the doors of the port, each of another kind
        self,
        member_id: MemberId,
        journal: Journal,
        host: ConsensusHost,
        clock: Clock,
        entropy: Entropy,
        timing: RaftTiming,
        *,
        applied: Applied,
        limits: Limits | None = None,
    ) -> None:
        """Start as a follower whose keyspace stands at `applied`.

        Raises:
            CorruptKeyspace: the log does not reach back to it.
        """
        limits = limits or Limits()
        journal.agree_with(applied)
        # The library's __init__ reads every attribute of the class and assigns the commit index
        # through the property below: all that they need exists beforehand.
        self.me = member_id
        self.journal = journal
        self.timing = timing
        self.linked: frozenset[MemberId] = frozenset()
        self.other_voters: tuple[MemberId, ...] = ()
        self._host = host
        self._clock = clock
        self._entropy = entropy
        self._peers: dict[MemberId, _Peer] = {}
        self._reachable: list[_Peer] = []
        self._followed: Membership | None = None
        self._leaving: dict[MemberId, float] = {}
        """Until when members that left are still sent entries: to hear of their removal."""
        self.committed = max(applied.index, journal.first_index)
        self._ballot = Ballot()
        self._pre_votes = PreVotes(self, entropy)
        self._transfer = Transfer(self)
        self._reads = ReadIndex(self, first_round=entropy.bits(62))
        self._following = Following(self, self._pre_votes)
        self._window: SendWindow[Node] = SendWindow(
            journal,
            window_bytes=limits.peer_window_bytes,
            message_bytes=limits.peer_frame_bytes_max,
        )
        self._is_applying = False
        self._is_started = False
        self._is_announcement_due = False
        self._enter()
        outlet = _Outlet()
        super().__init__(
            self._peer(member_id), [], _settings(journal, timing), nodeClass=_Peer, transport=outlet
        )
        outlet.engine = self
        self._poller = _NoPoller()
        self._SyncObj__raftLastApplied = applied.index
        self._follow_membership()
        if member_id in journal.membership.voters and not self.other_voters:
            self._SyncObj__raftElectionDeadline = 0.0  # nobody to wait for
        self._is_started = True
        self._reported_leader: MemberId | None = None
        self._reported_term = self.term
        self._reported_membership = journal.membership

    # --- Consensus: what is so ------------------------------------------------------------------

    @property
    def role(self) -> Role:
        """Leader, follower or candidate."""
        return _ROLES[self._SyncObj__raftState]

    @property
    def term(self) -> Term:
        """The current term, durable here."""
        return Term(self._SyncObj__raftCurrentTerm)

    @property
    def leader(self) -> MemberId | None:
        """The leader of the current term as far as known; None once it was silent for too long."""
        node = self._SyncObj__raftLeader
        return None if node is None else MemberId(node.id)

    @property
    def commit_index(self) -> LogIndex:
        """Known committed, and durable here."""
        return min(self.committed, self.journal.durable_index)

    @property
    def applied_index(self) -> LogIndex:
        """The last entry given to the host. While below `commit_index`, another turn is due."""
        return LogIndex(self._SyncObj__raftLastApplied)

    @property
    def last_index(self) -> LogIndex:
        """The newest entry of the log."""
        return self.journal.last_index

    @property
    def membership(self) -> Membership:
        """The membership in force."""
        return self.journal.membership

    @property
    def is_transferring(self) -> bool:
        """Whether this leader is handing its leadership over."""
        return self._transfer.is_under_way

    def match_index(self, member: MemberId) -> LogIndex:
        """Highest entry known to be durable on `member`; 0 unless leading."""
        if not self.is_leader:
            return LogIndex(0)
        if member == self.me:
            return self.journal.durable_index
        return self._SyncObj__raftMatchIndex.get(self._peer(member), LogIndex(0))

    def slowest_match(self) -> LogIndex | None:
        """Return how far the slowest member has the log that answers and needs no snapshot."""
        if not self.is_leader:
            return None
        self._enter()
        first, silent_since = self.journal.first_index, _Step.now - self.timing.election_s
        heard = self._SyncObj__lastResponseTime
        return min(
            (
                LogIndex(match)
                for peer, match in self._SyncObj__raftMatchIndex.items()
                if match >= first and heard.get(peer, 0.0) > silent_since
            ),
            default=None,
        )

    # --- Consensus: what to do ------------------------------------------------------------------

    def propose(self, command: bytes) -> LogIndex:
        """Append a command; it leaves for the followers in the next `turn`."""
        return self._append(EntryKind.COMMAND, command)

    def propose_membership(self, membership: Membership) -> LogIndex:
        """Append a membership, in force at once.

        A leader cannot remove itself: it hands its leadership over, and refuses (F22).

        Raises:
            NotLeader: as for `propose`, or the change removes this leader.
            BadLeaderTransferee: it does, and no other voter is reachable.
            TooManyRequests: an earlier change, or this leadership's first entry, is not committed.
            ValueError: the change is not safe in one step.
        """
        self._enter()
        if not self.is_leader:
            raise NotLeader
        if problem := problem_with_change(self.journal.membership, membership):
            raise ValueError(problem)
        is_settled = self.journal.membership_index <= self.commit_index
        if not self.is_own_term_committed or not is_settled:
            raise TooManyRequests("a membership change needs the one before to be committed")
        if self.me not in membership.voters:
            self._transfer.begin(None)
            raise NotLeader("leadership is handed over before its holder is removed")
        index = self._append(EntryKind.MEMBERSHIP, encode_membership(membership))
        self._follow_membership()
        self._report()
        return index

    def receive(self, sender: MemberId, message: bytes) -> bool:
        """Take one message; answers may wait for the next `turn`, which is due if True."""
        self._enter()
        decoded = wire.decode(message)
        if isinstance(decoded, wire.ReadPing | wire.ReadPong):
            return self._receive_of_round(sender, decoded)
        is_ack = isinstance(decoded, wire.Ack)
        if isinstance(decoded, wire.Append):
            self._following.on_append(sender, decoded)
        elif isinstance(decoded, wire.Ack):
            self._on_ack(sender, decoded)
        else:
            self._on_rare(sender, decoded)
        if self.journal.membership is not self._followed:
            self._follow_membership()
        self._report()
        return not is_ack or self._is_turn_due()

    def turn(self, *, announces_commit: bool = True) -> None:
        """Elect, commit, send. Take the peers' messages first, then propose, then this."""
        assert not self._is_applying, "an earlier apply failed"
        self._enter()
        if self._leaving:
            self._let_go()
        if self._is_library_due():
            self.doTick(0.0)
        self._commit()
        if self.journal.membership is not self._followed:
            self._follow_membership()
        if self.is_leader:
            self._transfer.advance()
            self._reads.lead()
            self._replicate(
                is_heartbeat=False, announces_commit=announces_commit or self._is_announcement_due
            )
        else:
            self._following.acknowledge()
            self._reads.ask()
        self._is_announcement_due = False
        self._report()

    def apply(self) -> None:
        """Give the host what is committed and durable here, a bounded amount."""
        applied, commit = self.applied_index, self.commit_index
        if commit <= applied:
            return
        self._enter()
        entries = self.journal.batch(LogIndex(applied + 1), _APPLIED_BYTES_PER_TURN, upto=commit)
        # Stays set if the host raises: the member must stop, not apply them again (F18).
        self._is_applying = True
        is_taken = self._host.apply(entries)
        self._is_applying = False
        if is_taken:
            self._SyncObj__raftLastApplied = entries[-1].index
        self._report()

    def announce_commit(self) -> None:
        """Tell the commit index to every follower that has not been told."""
        self._enter()
        if self.is_leader:
            self._replicate(is_heartbeat=False, announces_commit=True)

    @property
    def announced_commit(self) -> LogIndex:
        """The commit index that every reachable follower was sent in this leadership."""
        return self._window.announced(self._reachable)

    def log_durable(self) -> bool:
        """Take over the durable index; a follower acknowledges at once."""
        self._enter()
        self.journal.note_durable()
        if not self.is_leader:
            self._following.acknowledge()
        return self._is_turn_due()

    def peer_connected(self, member: MemberId) -> None:
        """A link is up."""
        self._enter()
        self.linked |= {member}
        self._refresh_reachable()
        peer = self._peer(member)
        if self.is_leader and self.match_index(member):
            # What was in flight on the old link may be lost.
            following = LogIndex(self._SyncObj__raftMatchIndex[peer] + 1)
            self._SyncObj__raftNextIndex[peer] = following
            self._window.begin_again(peer)

    def peer_disconnected(self, member: MemberId) -> None:
        """A link is down."""
        self.linked -= {member}
        self._refresh_reachable()

    def read_index(self, callback: ReadIndexCallback) -> None:
        """Find a safe read index, beginning with the next `turn`; see `Consensus.read_index`."""
        self._enter()
        self._reads.join(callback)

    def transfer_leadership(self, target: MemberId | None = None) -> None:
        """Hand leadership over, within an election timeout or not at all.

        Raises:
            NotLeader: this member does not lead.
            BadLeaderTransferee: there is no such other voter.
        """
        self._enter()
        if not self.is_leader:
            raise NotLeader
        if target != self.me:
            self._transfer.begin(target)

    def compact(self, upto: LogIndex) -> None:
        """Forget entries below `upto`, which is applied and durable in the keyspace."""
        assert upto <= self.applied_index, "only what is applied can be forgotten"
        self.journal.compact(upto)

    def install_snapshot(
        self, index: LogIndex, term: Term, membership: Membership, generation: int
    ) -> bool:
        """Reset the log to a received keyspace; see `Consensus.install_snapshot`."""
        self._enter()
        if index <= self.committed:
            return False
        self.committed = index
        if self.journal.term_at(index) == term:
            return False  # the log has it all, and is applied from there
        self.journal.reset(index, term, membership, generation=generation)
        self._SyncObj__raftLastApplied = index
        self._follow_membership()
        self._following.verify(index)
        self._report()
        return True

    # --- Core: what the parts share -------------------------------------------------------------

    @property
    def now(self) -> float:
        """The instant of this step."""
        return _Step.now

    @property
    def is_leader(self) -> bool:
        """Whether this member leads its term."""
        return self._SyncObj__raftState == _LEADER

    @property
    def is_own_term_committed(self) -> bool:
        """Whether this leadership's no-op is."""
        if not self.is_leader:
            return False
        noop = self._SyncObj__noopIDx
        return noop is not None and self.commit_index >= noop

    def send(self, member: MemberId, message: wire.PeerMessage) -> None:
        """Encode and hand to the host."""
        self._host.send(member, wire.encode(message))

    def see_term(self, term: Term) -> None:
        """Follow a higher term (Raft figure 2, rules for all servers)."""
        if term > self.term:
            self._SyncObj__setCurrentTerm(term, None)
            self._SyncObj__setState(_FOLLOWER)
            self._SyncObj__raftLeader = None

    def is_current(self, sender: MemberId, term: Term) -> bool:
        """Whether `term` is ours; follows a higher one, answers a lower one.

        Without an answer a member that raised its term would be left out for ever (F14).
        """
        if term < self.term:
            self.send(sender, wire.StaleTerm(self.term))
            return False
        self.see_term(term)
        return True

    def is_answer_to_me(self, sender: MemberId, term: Term) -> bool:
        """Whether a member answers this very leadership (F4, F5)."""
        self.see_term(term)
        return (
            term == self.term
            and self.is_leader
            and self._peer(sender) in self._SyncObj__raftMatchIndex
        )

    def hears(self, member: MemberId) -> None:
        """Count for the quorum that a leader must hear from."""
        self._SyncObj__lastResponseTime[self._peer(member)] = _Step.now

    # --- commit (Raft §5.3, §5.4.2; invariant 1 of ARCHITECTURE.md) -----------------------------

    @property
    def _SyncObj__raftCommitIndex(self) -> int:
        return self.commit_index

    @_SyncObj__raftCommitIndex.setter
    def _SyncObj__raftCommitIndex(self, value: int) -> None:
        # The library always counts this member's own log; what it sets is only a proposal.
        index = LogIndex(value)
        if self.is_leader:
            match = self._SyncObj__raftMatchIndex
            durable_on = [match[node] for node in self._SyncObj__otherNodes]
            if self.me in self.journal.membership.voters:
                durable_on.append(self.journal.durable_index)
            index = leader_commit(
                index,
                durable_on,
                known=self.committed,
                term=self.term,
                term_at=self.journal.term_at,
            )
        self.committed = max(self.committed, index)

    def _commit(self) -> None:
        """As the leader, commit what a majority has.

        The library's own way there counts the holders of each entry after the other: under load
        that is most of what it costs.
        """
        if self.is_leader and self.committed < self.journal.last_index:
            self._SyncObj__raftCommitIndex = self.journal.last_index

    def _is_turn_due(self) -> bool:
        """Commit; return whether anything is left for a turn: most acks only confirm."""
        if self.is_leader:
            self._commit()
            if self._transfer.is_under_way:
                return True
            last, following = self.journal.last_index, self._SyncObj__raftNextIndex
            for peer in self._reachable:
                if following[peer] <= last:
                    return True
        return self.commit_index > self.applied_index

    # --- messages -------------------------------------------------------------------------------

    def _receive_of_round(self, sender: MemberId, message: wire.ReadPing | wire.ReadPong) -> bool:
        """Take a question or an answer of a ReadIndex round: most change nothing but the round."""
        term = self.term
        if isinstance(message, wire.ReadPing):
            self._reads.on_ping(sender, message)
        else:
            self._reads.on_pong(sender, message)
        if self.term != term:
            self._report()
            return True
        return self._is_announcement_due or self._reads.has_waiting

    def _on_rare(self, sender: MemberId, message: wire.PeerMessage) -> None:  # noqa: C901
        match message:
            case wire.Append() | wire.Ack() | wire.ReadPing() | wire.ReadPong():
                raise AssertionError("handled before, as the frequent ones")
            case wire.Contact():
                self._following.on_contact(sender, message)
            case wire.Reject():
                self._on_reject(sender, message)
            case wire.VoteRequest():
                self._on_vote_request(sender, message)
            case wire.Vote():
                self._on_vote(sender, message)
            case wire.PreVoteRequest():
                self._pre_votes.on_request(sender, message)
            case wire.PreVote():
                self._pre_votes.on_answer(sender, message)
            case wire.StaleTerm():
                self.see_term(message.term)
            case wire.TimeoutNow():
                self._on_timeout_now(sender, message)
            case wire.ReadRequest():
                self._reads.on_request(sender, message)
            case wire.ReadReply():
                self._reads.on_reply(sender, message)

    def _library_receives(self, peer: Node, kind: str, **fields: object) -> None:
        super()._SyncObj__onMessageReceived(peer, {"type": kind, **fields})

    # --- appends, as a follower (Raft §5.3) -----------------------------------------------------

    def contact(self, leader: MemberId, term: Term, commit: LogIndex) -> None:
        """Term, leader, timer and commit index by the library; the log is not touched."""
        peer = self._peer(leader)
        self._library_receives(peer, "append_entries", term=term, commit_index=commit)

    def extend_log(self, leader: MemberId, append: wire.Append, verdict: Extends) -> None:
        """Let the library truncate what conflicts, append what is new, and commit up to its end."""
        self._library_receives(
            self._peer(leader),
            "append_entries",
            term=append.term,
            commit_index=append.commit,
            prevLogIdx=verdict.previous_index,
            prevLogTerm=verdict.previous_term,
            entries=[(entry, entry.index, entry.term) for entry in verdict.entries],
        )

    def _SyncObj__sendNextNodeIdx(
        self,
        node: Node,
        reset: bool = False,  # noqa: FBT001, FBT002 - the library's signature
        nextNodeIdx: int | None = None,  # noqa: N803
        success: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        assert success, "the library is given only what fits"
        assert nextNodeIdx is not None
        self._following.verify(LogIndex(nextNodeIdx - 1))

    # --- appends, as the leader -----------------------------------------------------------------

    def _append(self, kind: EntryKind, data: bytes) -> LogIndex:
        if not self.is_leader or self._transfer.is_under_way:
            raise NotLeader
        index = LogIndex(self.journal.last_index + 1)
        self.journal.append(Entry(index, self.term, kind, data))
        return index

    def _on_ack(self, sender: MemberId, ack: wire.Ack) -> None:
        if not self.is_answer_to_me(sender, ack.term):
            return
        acked = ack.match_index
        if acked > self.journal.last_index:
            raise ProtocolError(f"member {sender:x} acknowledges {acked}, which was never sent")
        peer = self._peer(sender)
        self._SyncObj__lastResponseTime[peer] = _Step.now
        match, following = self._SyncObj__raftMatchIndex, self._SyncObj__raftNextIndex
        match[peer] = max(match[peer], acked)
        # Never back: what is in flight beyond the acknowledged index stays in flight (F8).
        following[peer] = max(following[peer], LogIndex(acked + 1))

    def _on_reject(self, sender: MemberId, reject: wire.Reject) -> None:
        if not self.is_answer_to_me(sender, reject.term):
            return
        self.hears(sender)
        peer = self._peer(sender)
        if self._window.accepts_reject(peer, reject.echo):
            least = self._SyncObj__raftMatchIndex[peer] + 1
            following = min(max(reject.next_index, least), self.journal.last_index + 1)
            self._SyncObj__raftNextIndex[peer] = LogIndex(following)

    def _SyncObj__sendAppendEntries(self) -> None:
        self._SyncObj__newAppendEntriesTime = _Step.now + self.timing.heartbeat_s
        self._replicate(is_heartbeat=True, announces_commit=True)

    def announce_soon(self) -> None:
        """Tell the commit index in this turn."""
        self._is_announcement_due = True

    def _replicate(self, *, is_heartbeat: bool, announces_commit: bool) -> None:
        messages, behind = self._window.messages(
            self._reachable,
            self._SyncObj__raftNextIndex,
            self._SyncObj__raftMatchIndex,
            Announcement(self.term, self.commit_index, is_heartbeat, announces_commit),
        )
        for node, message in messages:
            self._host.send(MemberId(node.id), message)
        if is_heartbeat:
            for node in behind:
                self._host.snapshot_wanted(MemberId(node.id))

    # --- elections (Raft §5.2) ------------------------------------------------------------------

    def _SyncObj__generateRaftTimeout(self) -> float:
        fraction = self._entropy.fraction()
        if not self._is_started:
            # A cluster that starts need not wait for a leader it never had; one that has a leader
            # is protected by the pre-vote.
            return self.timing.heartbeat_s * (1 + 4 * fraction)
        return self.timing.election_s * (1 + fraction)

    def _SyncObj__connectedToAnyone(self) -> bool:
        """Whether to campaign now; asked at each tick once the election deadline has passed."""
        if self.me in self.journal.membership.voters:
            is_sure = self._SyncObj__transferInProgress or not self.other_voters
            if is_sure or self._pre_votes.take_win():
                self._pre_votes.end()
                return True
            self._pre_votes.advance()
        self._SyncObj__raftLeader = None  # silent for too long
        return False

    def _on_vote_request(self, sender: MemberId, request: wire.VoteRequest) -> None:
        if request.term < self.term:
            self.send(sender, wire.StaleTerm(self.term))
            return
        self._library_receives(
            self._peer(sender),
            "request_vote",
            term=request.term,
            last_log_index=request.last_index,
            last_log_term=request.last_term,
        )

    def _on_vote(self, sender: MemberId, vote: wire.Vote) -> None:
        self.see_term(vote.term)
        if sender in self.other_voters and self._ballot.is_first(sender, vote.term):
            self._library_receives(self._peer(sender), "response_vote", term=vote.term)

    def _on_timeout_now(self, sender: MemberId, message: wire.TimeoutNow) -> None:
        if self.is_current(sender, message.term) and self.me in self.journal.membership.voters:
            self._library_receives(self._peer(sender), "timeout_now", term=message.term)

    # --- membership (Raft thesis §4) ------------------------------------------------------------

    def _follow_membership(self) -> None:
        """Make the library's sets of nodes a function of the log (F11)."""
        membership = self.journal.membership
        if membership is self._followed:
            return
        if self._followed is not None:
            until = _Step.now + self.timing.election_s
            self._leaving |= dict.fromkeys(self._followed.members, until)
        self._followed = membership
        for member in membership.members | {self.me}:
            self._leaving.pop(member, None)
        # Ordered, so that a run does not depend on where objects lie in memory.
        self.other_voters = tuple(sorted(membership.voters - {self.me}))
        voters = [self._peer(member) for member in self.other_voters]
        without_vote = membership.learners | self._leaving.keys()
        learners = [self._peer(member) for member in sorted(without_vote - {self.me})]
        self._SyncObj__otherNodes = dict.fromkeys(voters)
        self._SyncObj__readonlyNodes = dict.fromkeys(learners)
        following, match = self._SyncObj__raftNextIndex, self._SyncObj__raftMatchIndex
        heard = self._SyncObj__lastResponseTime
        for node in voters + learners:
            following.setdefault(node, LogIndex(self.journal.last_index + 1))
            match.setdefault(node, LogIndex(0))
            heard.setdefault(node, _Step.now)
        for gone in match.keys() - set(voters) - set(learners):
            following.pop(gone)
            match.pop(gone)
            heard.pop(gone, None)
            self._window.forget(gone)
        self._refresh_reachable()

    def _let_go(self) -> None:
        """Forget the members that left long enough ago."""
        gone = [member for member, until in self._leaving.items() if until <= _Step.now]
        for member in gone:
            del self._leaving[member]
        if gone:
            self._followed = None
            self._follow_membership()

    def _refresh_reachable(self) -> None:
        members = (self.journal.membership.members | self._leaving.keys()) - {self.me}
        self._reachable = [self._peer(member) for member in sorted(members & self.linked)]

    def _peer(self, member: MemberId) -> _Peer:
        found = self._peers.get(member)
        if found is None:
            found = self._peers[member] = _Peer(member)
        return found

    # --- apply ----------------------------------------------------------------------------------

    def _SyncObj__applyLogEntries(self) -> bool:
        return False  # the member says when: `apply`

    # --- a step ---------------------------------------------------------------------------------

    def _is_library_due(self) -> bool:
        """Whether its tick has anything to do: to campaign, or to look for its quorum and beat."""
        if self.is_leader:
            return _Step.now > self._SyncObj__newAppendEntriesTime
        return _Step.now > self._SyncObj__raftElectionDeadline

    def _enter(self) -> None:
        _Step.now = self._clock.monotonic()

    def _report(self) -> None:
        leader, term = self.leader, self.term
        if leader != self._reported_leader or term != self._reported_term:
            self._reported_leader, self._reported_term = leader, term
            self._transfer.end()
            self._reads.leader_changed()
            self._host.leader_changed(leader, term)
        membership = self.journal.membership
        if membership is not self._reported_membership:
            self._reported_membership = membership
            self._host.membership_changed(membership)

    # --- the library's own ways, closed ---------------------------------------------------------

    def _checkCommandsToApply(self) -> None:
        """Nothing is queued or forwarded inside the library (F16)."""

    def _SyncObj__tryLogCompaction(self) -> None:
        """The member compacts."""

    def _SyncObj__doApplyCommand(self, command: object) -> object:
        raise AssertionError("unreachable: entries are applied in batches")

    def _SyncObj__loadDumpFile(self, clearJournal: bool) -> None:  # noqa: N803, FBT001
        raise AssertionError("unreachable: no dump file is configured")

    def _SyncObj__changeCluster(self, request: object) -> bool:
        raise AssertionError("unreachable: the membership comes from the log")

    def _SyncObj__doChangeCluster(
        self,
        request: object,
        reverse: bool = False,  # noqa: FBT001, FBT002 - the library's signature
    ) -> bool:
        raise AssertionError("unreachable: the membership comes from the log")


def _settings(journal: Journal, timing: RaftTiming) -> SyncObjConf:
    return SyncObjConf(
        autoTick=False,
        journalFile=journal,
        appendEntriesUseBatch=True,
        dynamicMembershipChange=False,
        commandsWaitLeader=False,
        fullDumpFile=None,
        logCompactionMinEntries=_ENORMOUS,
        logCompactionMinTime=_ENORMOUS,
        raftMinTimeout=timing.election_s,
        raftMaxTimeout=2 * timing.election_s,
        appendEntriesPeriod=timing.heartbeat_s,
        leaderFallbackTimeout=timing.election_s,
        connectionTimeout=2 * timing.election_s,
    )
