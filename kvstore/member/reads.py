"""Linearizable reads: all that wait share one round of the leader's confirmation.

A read that arrives while a round is under way waits for the next one: the confirmation under way
may be older than a write that was acknowledged before the read began (Raft thesis §6.4).
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from kvstore.base.errors import ApplyTooSlow, ReadTimedOut, RpcError
from kvstore.base.ids import LogIndex
from kvstore.raft.consensus import Consensus

Read = Callable[[RpcError | None], None]
"""Called once: with None when the local state may be read, or with why it may not."""


_new = tuple.__new__
"""Half the time of calling the class, on the path of every read."""


class _Waiting(NamedTuple):
    read: Read
    deadline: float


class _Confirmed(NamedTuple):
    at: LogIndex
    reads: list[_Waiting]


class Reads:
    """The reads of one member, from arrival to the moment at which they may look."""

    def __init__(self, consensus: Consensus, applied_index: Callable[[], LogIndex]) -> None:
        self._consensus = consensus
        self._applied_index = applied_index
        self._joining: list[_Waiting] = []
        self._round: list[_Waiting] | None = None
        self._confirmed: deque[_Confirmed] = deque()
        self.failed = 0
        """Reads that no round confirmed in time."""

    @property
    def can_begin(self) -> bool:
        """Whether reads wait and no round is under way."""
        return bool(self._joining) and self._round is None

    @property
    def is_serving(self) -> bool:
        """Whether reads wait for an index to be applied."""
        return bool(self._confirmed)

    def join(self, read: Read, *, deadline: float) -> None:
        """Let `read` take part in the next round."""
        self._joining.append(_new(_Waiting, (read, deadline)))

    def begin(self) -> None:
        """Begin a round if reads wait and none is under way; the engine's turn sends it."""
        if self._joining and self._round is None:
            joined, self._joining = self._joining, []
            self._round = joined
            self._consensus.read_index(lambda answer: self._finish_round(joined, answer))

    def serve(self) -> None:
        """Let the reads look whose round is confirmed and whose index is applied."""
        if not self._confirmed:
            return
        applied = self._applied_index()
        while self._confirmed and self._confirmed[0].at <= applied:
            for waiting in self._confirmed.popleft().reads:
                waiting.read(None)

    def expire(self, now: float) -> None:
        """Answer what has waited until its deadline."""
        before = len(self._joining)
        self._joining = _expire(self._joining, now, ReadTimedOut)
        self.failed += before - len(self._joining)
        if self._round is not None and all(read.deadline <= now for read in self._round):
            # Its answer may never come; a later one is ignored, and a new round may begin.
            expired, self._round = self._round, None
            _expire(expired, now, ReadTimedOut)
            self.failed += len(expired)
        self._confirmed = deque(
            _Confirmed(index, alive)
            for index, reads in self._confirmed
            if (alive := _expire(reads, now, ApplyTooSlow))
        )

    def fail_all(self, error: RpcError) -> None:
        """Answer everything with `error`, because this member stops."""
        waiting = [*self._joining, *(self._round or [])]
        for confirmed in self._confirmed:
            waiting += confirmed.reads
        self._joining, self._round, self._confirmed = [], None, deque()
        for read in waiting:
            read.read(error)

    def _finish_round(self, joined: list[_Waiting], answer: LogIndex | RpcError) -> None:
        if self._round is not joined:
            return
        self._round = None
        if isinstance(answer, RpcError):
            for waiting in joined:
                waiting.read(answer)
        else:
            self._confirmed.append(_Confirmed(answer, joined))


def _expire(reads: list[_Waiting], now: float, error: type[RpcError]) -> list[_Waiting]:
    if all(waiting.deadline > now for waiting in reads):
        return reads
    for waiting in reads:
        if waiting.deadline <= now:
            waiting.read(error())
    return [waiting for waiting in reads if waiting.deadline > now]
