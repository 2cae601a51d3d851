"""The `Consensus` port: what a member asks of Raft, and what Raft asks of its member.

Everything is synchronous and single-threaded: the member calls in, and the engine calls back on its
`ConsensusHost` before returning. Time comes from the clock that the engine was built with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Protocol

from kvstore.base.errors import RpcError
from kvstore.base.ids import LogIndex, MemberId, Term


class EntryKind(IntEnum):
    """What a log entry holds."""

    NOOP = 0
    """The first entry of every log and of every leadership."""
    COMMAND = 1
    MEMBERSHIP = 2
    """A whole `Membership`, in force as soon as it is in the log (Raft thesis §4.1)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One position of the replicated log."""

    index: LogIndex
    term: Term
    kind: EntryKind
    data: bytes


class Role(Enum):
    """Raft §5.1."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Who takes part: the newest one in the log is in force."""

    voters: frozenset[MemberId] = frozenset()
    learners: frozenset[MemberId] = frozenset()
    peer_urls: Mapping[MemberId, tuple[str, ...]] = field(default_factory=dict)
    removed: frozenset[MemberId] = frozenset()
    """Ids that left and may never return."""
    joining: frozenset[MemberId] = frozenset()
    """Those learners that the leader makes voters as soon as they have caught up."""

    @property
    def members(self) -> frozenset[MemberId]:
        """Voters and learners."""
        return self.voters | self.learners


ReadIndexCallback = Callable[[LogIndex | RpcError], None]
"""Called once: with the index that must be applied before reading, or with why it is not known."""


class ConsensusHost(Protocol):
    """What the engine needs from the member that drives it."""

    def apply(self, entries: Sequence[Entry]) -> bool:
        """Take committed entries that are durable here, to be applied in order, exactly once.

        False: not now, nothing was done, and they are offered again in a later turn. The host may
        go on applying what it took after it has returned. An exception stops the member.
        """
        ...

    def send(self, member: MemberId, message: bytes) -> None:
        """Hand a message of the engine to the peer transport; it may be lost."""
        ...

    def leader_changed(self, leader: MemberId | None, term: Term) -> None:
        """The leader known here, or the term, is another one than before."""
        ...

    def membership_changed(self, membership: Membership) -> None:
        """The membership in force is another one than before; it may not be committed yet."""
        ...

    def snapshot_wanted(self, member: MemberId) -> None:
        """The log no longer holds what `member` needs. Repeated until it has caught up."""
        ...


class Consensus(Protocol):
    """One member's part in the Raft of its cluster."""

    @property
    def role(self) -> Role: ...

    @property
    def is_leader(self) -> bool: ...

    @property
    def term(self) -> Term: ...

    @property
    def leader(self) -> MemberId | None:
        """The leader of the current term, as far as known here; may be this member."""
        ...

    @property
    def commit_index(self) -> LogIndex:
        """Never above this member's own durable index (ARCHITECTURE.md, invariant 1)."""
        ...

    @property
    def applied_index(self) -> LogIndex:
        """The last entry that the host has taken."""
        ...

    @property
    def last_index(self) -> LogIndex: ...

    @property
    def membership(self) -> Membership: ...

    @property
    def is_transferring(self) -> bool:
        """Whether this leader is handing its leadership over: it takes no proposals meanwhile."""
        ...

    def propose(self, command: bytes) -> LogIndex:
        """Append a command to the leader's log and return its index.

        Raises:
            NotLeader: this member does not lead, or is handing its leadership over.
        """
        ...

    def propose_membership(self, membership: Membership) -> LogIndex:
        """Append a membership that differs by at most one voter.

        Raises:
            NotLeader: this member does not lead.
            TooManyRequests: an earlier change is not committed yet, or nothing of this term is.
        """
        ...

    def receive(self, sender: MemberId, message: bytes) -> bool:
        """Take one message of `sender`'s engine; return whether a `turn` is due because of it.

        Raises:
            ProtocolError: it is no such message; the link to `sender` is to be closed.
            MemberFailed: it contradicts what is committed here.
        """
        ...

    def peer_connected(self, member: MemberId) -> None:
        """A link to `member` is up, in both directions."""
        ...

    def peer_disconnected(self, member: MemberId) -> None:
        """The link to `member` is down; what was in flight may be lost."""
        ...

    def turn(self, *, announces_commit: bool = True) -> None:
        """Do what is due: elect, commit, send. Cheap when nothing is. `apply` comes after it.

        A new commit index reaches the followers with the next append in any case;
        `announces_commit` sends it at once, to those that miss nothing else.
        """
        ...

    def apply(self) -> None:
        """Give the host what is committed and durable here, a bounded amount.

        Apart from `turn`, so that what a turn sends and syncs need not wait for it.
        """
        ...

    def announce_commit(self) -> None:
        """As a leader, tell the commit index to every follower that has not been told."""
        ...

    @property
    def announced_commit(self) -> LogIndex:
        """The commit index that every reachable follower was sent, as the leader."""
        ...

    def log_durable(self) -> bool:
        """The write-ahead log's durable index has moved: acknowledge, commit.

        Returns whether a turn is due for it.
        """
        ...

    def read_index(self, callback: ReadIndexCallback) -> None:
        """Find an index whose application makes a local read linearizable (Raft thesis §6.4).

        Works on any member: a follower asks the leader. All reads that wait share one round; a
        round that began before a read joined does not answer it.
        """
        ...

    def transfer_leadership(self, target: MemberId | None = None) -> None:
        """Start handing leadership to `target`, or to the most advanced voter.

        Proposals are refused until it succeeded or an election timeout has passed.
        """
        ...

    def match_index(self, member: MemberId) -> LogIndex:
        """Highest entry known to be durable on `member`; 0 unless leading."""
        ...

    def slowest_match(self) -> LogIndex | None:
        """How far the slowest member has the log, of those that answer and need no snapshot.

        None unless leading, or if nobody answers.
        """
        ...

    def compact(self, upto: LogIndex) -> None:
        """Forget entries below `upto`, which must be applied and durable in the keyspace."""
        ...

    def install_snapshot(
        self, index: LogIndex, term: Term, membership: Membership, generation: int
    ) -> bool:
        """Reset the log to a received keyspace, which stands at (index, term); durable on return.

        The caller has built it as `generation`, durably, and switches to it if this returns True.
        False: the log is not behind it; the caller drops it, and nothing was changed.
        """
        ...
