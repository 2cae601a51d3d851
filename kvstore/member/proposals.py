"""Requests on their way through the log: collected, packed, sent once, answered from apply.

A request waits here twice: for its turn, in `_waiting`, and then in a batch, until this member
applies that batch. A batch is sent once and never again; when its fate can no longer be told, its
callers learn that the outcome is unknown. A batch that the leader refused was not in any log, so
its requests go back to the front of the queue.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kvstore.apply import Outcome
from kvstore.apply.command import (
    BATCH_OVERHEAD_BYTES,
    OPERATION_OVERHEAD_BYTES,
    BatchId,
    encode_batch,
)
from kvstore.base.errors import (
    NotLeader,
    OutcomeUnknown,
    ProposalTimedOut,
    RpcError,
    TooManyRequests,
)
from kvstore.base.ids import MemberId
from kvstore.base.limits import Limits

Done = Callable[[Outcome], None]

_new = tuple.__new__
"""Half the time of calling the class, on the path of every request."""


class _Request(NamedTuple):
    kind: int
    payload: bytes
    done: Done
    deadline: float
    is_leaders: bool = False
    """Whether only a leader may ask for it, from what it alone knows."""


class _Batch(NamedTuple):
    requests: list[_Request]
    sent_to: MemberId


class Proposals:
    """This member's own requests, from arrival to answer."""

    def __init__(self, member: MemberId, incarnation: int, limits: Limits) -> None:
        self._member = member
        self._incarnation = incarnation
        self._limits = limits
        self._waiting: deque[_Request] = deque()
        self._waiting_bytes = 0
        self._sequence = 0
        self._sent: dict[int, _Batch] = {}

    @property
    def has_waiting(self) -> bool:
        """Whether requests wait for a batch."""
        return bool(self._waiting)

    @property
    def pending(self) -> int:
        """Number of batches that were sent and are not answered yet."""
        return len(self._sent)

    def add(
        self, kind: int, payload: bytes, done: Done, *, deadline: float, is_leaders: bool = False
    ) -> None:
        """Take a request; `done` is called once with its outcome, at `deadline` at the latest.

        Raises:
            TooManyRequests: more bytes wait than the limit allows.
        """
        if self._waiting_bytes > self._limits.forwarded_bytes_max:
            raise TooManyRequests
        self._waiting.append(_new(_Request, (kind, payload, done, deadline, is_leaders)))
        self._waiting_bytes += len(payload)

    def take_batch(self, sent_to: MemberId, *, room: int) -> bytes | None:
        """Pack waiting requests into a batch for `sent_to`, at least one, as far as they fit."""
        waiting = self._waiting
        if not waiting:
            return None
        room -= BATCH_OVERHEAD_BYTES
        requests: list[_Request] = []
        while waiting and len(requests) < self._limits.entry_operations_max:
            size = len(waiting[0].payload) + OPERATION_OVERHEAD_BYTES
            if requests and size > room:
                break
            room -= size
            requests.append(waiting.popleft())
        self._waiting_bytes -= sum(len(request.payload) for request in requests)
        self._sequence += 1
        self._sent[self._sequence] = _Batch(requests, sent_to)
        batch_id = BatchId(self._member, self._incarnation, self._sequence)
        return encode_batch(batch_id, [(request.kind, request.payload) for request in requests])

    def is_own(self, batch_id: BatchId) -> bool:
        """Whether this life of this member collected the batch."""
        return batch_id.origin == self._member and batch_id.incarnation == self._incarnation

    def applied(self, batch_id: BatchId, outcomes: Sequence[Outcome]) -> None:
        """Answer the callers of a batch, if it is ours and they still wait."""
        if not self.is_own(batch_id):
            return
        batch = self._sent.pop(batch_id.sequence, None)
        if batch is None:
            return
        for request, outcome in zip(batch.requests, outcomes, strict=True):
            request.done(outcome)

    def refused(self, sequence: int) -> None:
        """The batch was certainly not appended anywhere: its requests may be sent in a new one."""
        batch = self._sent.pop(sequence, None)
        if batch is not None:
            self._waiting.extendleft(reversed(batch.requests))
            self._waiting_bytes += sum(len(request.payload) for request in batch.requests)

    def reject(self, sequence: int, error: RpcError) -> None:
        """The batch was certainly not appended, and its requests are refused with `error`."""
        batch = self._sent.pop(sequence, None)
        if batch is not None:
            for request in batch.requests:
                request.done(error)

    def withdraw(self) -> None:
        """Refuse what only a leader may ask for and is in no log yet: this member leads no more."""
        if not any(request.is_leaders for request in self._waiting):
            return
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            if request.is_leaders:
                self._waiting_bytes -= len(request.payload)
                request.done(NotLeader())
            else:
                self._waiting.append(request)

    def lose(self, error: type[OutcomeUnknown], *, sent_to: MemberId | None = None) -> None:
        """Give up the batches sent to `sent_to` (default: all): their outcome is unknown now."""
        lost = [
            sequence
            for sequence, batch in self._sent.items()
            if sent_to is None or batch.sent_to == sent_to
        ]
        for sequence in lost:
            for request in self._sent.pop(sequence).requests:
                request.done(error())

    def expire(self, now: float) -> None:
        """Answer what has waited until its deadline; a sent request may still take effect."""
        while self._waiting and self._waiting[0].deadline <= now:
            request = self._waiting.popleft()
            self._waiting_bytes -= len(request.payload)
            request.done(ProposalTimedOut())
        late = [
            sequence for sequence, batch in self._sent.items() if batch.requests[-1].deadline <= now
        ]
        for sequence in late:
            for request in self._sent.pop(sequence).requests:
                request.done(ProposalTimedOut())

    def fail_all(self, error: RpcError) -> None:
        """Answer everything with `error`, because this member stops."""
        waiting, self._waiting = self._waiting, deque()
        sent, self._sent = self._sent, {}
        self._waiting_bytes = 0
        for batch in sent.values():
            for request in batch.requests:
                request.done(error)
        for request in waiting:
            request.done(error)
