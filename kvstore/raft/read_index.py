"""A safe read point for reads that must see every write acknowledged before them.

Raft thesis §6.4: the leader notes its commit index, has a majority confirm that it still leads, and
lets the reads go once that index is applied. Any number of reads share a round; a read that arrives
while one is open waits for the next, whose index is noted later. On a follower a "round" is one
question to the leader.

A round first asks no more members than a majority needs: each question wakes a process up, which is
most of what a round costs. If their answer is late all are asked, and the next round begins with
another one.
"""

from typing import NamedTuple

from kvstore.base.errors import ReadLeaderChanged, ReadTimedOut, RpcError
from kvstore.base.ids import LogIndex, MemberId
from kvstore.raft.consensus import ReadIndexCallback
from kvstore.raft.core import Core
from kvstore.raft.peer_message import ReadPing, ReadPong, ReadReply, ReadRequest

_SLOW_S = 0.005
"""An answer that takes longer lets the next round ask somebody else."""
_REPEATS_PER_HEARTBEAT = 2


class _Read(NamedTuple):
    deadline: float
    callback: ReadIndexCallback


class ReadIndex:
    """The reads that wait for an index, in either role.

    Invariant: each callback is called exactly once.
    """

    def __init__(self, core: Core, *, first_round: int) -> None:
        self._core = core
        self._round = first_round
        self._waiting: list[_Read] = []
        self._open: list[_Read] = []
        self._index: LogIndex | None = None
        """What the open round will answer; None while a leader is asked."""
        self._confirmed: set[MemberId] = set()
        self._asked_at = 0.0
        self._repeat_at = 0.0
        self._first = 0
        """Which of the other voters is asked first."""

    @property
    def has_waiting(self) -> bool:
        """Whether reads wait for the next round."""
        return bool(self._waiting)

    def join(self, callback: ReadIndexCallback) -> None:
        """Wait for the next round."""
        core = self._core
        self._waiting.append(_Read(core.now + core.timing.read_timeout_s, callback))

    # --- leading

    def lead(self) -> None:
        """Open a round if reads wait, or repeat an open one's question."""
        core = self._core
        if not self._is_busy():
            return
        asked = core.other_voters
        if self._open:
            if core.now < self._repeat_at:
                return
        elif core.is_own_term_committed:
            self._begin()
            self._index = core.commit_index
            self._confirm(core.me)
            asked = self._enough()
        if self._open:
            self._repeat_at = core.now + core.timing.heartbeat_s / _REPEATS_PER_HEARTBEAT
            for member in asked:
                core.send(member, ReadPing(core.term, self._round))

    def on_pong(self, sender: MemberId, pong: ReadPong) -> None:
        """Count a voter that still follows."""
        if self._core.is_answer_to_me(sender, pong.term):
            self._core.hears(sender)
            if pong.round == self._round:
                self._confirm(sender)

    def on_request(self, sender: MemberId, request: ReadRequest) -> None:
        """A follower's reads join as one."""
        core = self._core
        if not core.is_current(sender, request.term) or not core.is_leader:
            return
        term = core.term

        def reply(outcome: LogIndex | RpcError) -> None:
            # On a failure the follower learns of the new leader, or asks again.
            if not isinstance(outcome, RpcError):
                core.send(sender, ReadReply(term, request.request, outcome))
                core.announce_soon()  # without it the follower would wait for the next append

        self.join(reply)

    # --- following

    def ask(self) -> None:
        """Ask the leader on behalf of all that wait, or ask again."""
        core = self._core
        if not self._is_busy() or core.leader is None or core.leader == core.me:
            return
        if not self._open or core.now >= self._repeat_at:
            self._begin()
            self._repeat_at = core.now + core.timing.read_retry_s
            core.send(core.leader, ReadRequest(core.term, self._round))

    def on_reply(self, sender: MemberId, reply: ReadReply) -> None:
        """The leader has answered."""
        core = self._core
        core.see_term(reply.term)
        if reply.term == core.term and sender == core.leader and reply.request == self._round:
            self._finish(reply.read_index)

    def on_ping(self, sender: MemberId, ping: ReadPing) -> None:
        """Confirm a leader of this member's own term, and no other."""
        if self._core.is_current(sender, ping.term):
            self._core.send(sender, ReadPong(ping.term, ping.round))

    # --- either

    def leader_changed(self) -> None:
        """Fail what an earlier leader was asked; who only waits may still be served."""
        self._index = None
        failed, self._open = self._open, []
        for read in failed:
            read.callback(ReadLeaderChanged())

    def _is_busy(self) -> bool:
        """Give up on what has waited for too long; whether anything is left."""
        if not self._open and not self._waiting:
            return False
        now = self._core.now
        late = [read for read in (*self._open, *self._waiting) if read.deadline <= now]
        if late:
            self._open = [read for read in self._open if read.deadline > now]
            self._waiting = [read for read in self._waiting if read.deadline > now]
        for read in late:
            read.callback(ReadTimedOut())
        return bool(self._open or self._waiting)

    def _begin(self) -> None:
        self._open += self._waiting
        self._waiting = []
        self._round += 1
        self._asked_at = self._core.now
        self._confirmed = set()

    def _enough(self) -> tuple[MemberId, ...]:
        """Return as many linked voters as make a majority with this leader; all if too few are."""
        core = self._core
        linked = [member for member in core.other_voters if member in core.linked]
        wanted = (len(core.other_voters) + 1) // 2
        if len(linked) < wanted:
            return core.other_voters
        first = self._first % len(linked) if linked else 0
        return (*linked[first:], *linked[:first])[:wanted]

    def _confirm(self, member: MemberId) -> None:
        if self._index is None:
            return
        self._confirmed.add(member)
        # The voters as they are now: an answer of one that has left since is worth nothing.
        voters = self._core.journal.membership.voters
        if len(self._confirmed & voters) * 2 > len(voters):
            self._finish(self._index)

    def _finish(self, index: LogIndex) -> None:
        if self._core.now - self._asked_at > _SLOW_S:
            self._first += 1
        self._index = None
        done, self._open = self._open, []
        for read in done:
            read.callback(index)
