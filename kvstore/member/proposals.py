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
DoneEach = Callable[[int, Sequence[Outcome]], None]
"""Called with a number and outcomes: those of the requests that were added, from this one on."""


class _Requests(NamedTuple):
    """Requests of one kind that arrived together; they may be answered in parts."""

    kind: int
    payloads: list[bytes]
    done: DoneEach
    first: int
    """The number of the first payload, as `done` counts."""
    deadline: float
    is_leaders: bool
    """Whether only a leader may ask for it, from what it alone knows."""

    def fail(self, error: RpcError) -> None:
        """Answer each with `error`."""
        self.done(self.first, [error] * len(self.payloads))

    def split(self, count: int) -> "tuple[_Requests, _Requests]":
        """Return the first `count` of them, and the others."""
        rest = self._replace(payloads=self.payloads[count:], first=self.first + count)
        return self._replace(payloads=self.payloads[:count]), rest


class _Batch(NamedTuple):
    requests: list[_Requests]
    sent_to: MemberId


class Proposals:
    """This member's own requests, from arrival to answer."""

    def __init__(self, member: MemberId, incarnation: int, limits: Limits) -> None:
        self._member = member
        self._incarnation = incarnation
        self._limits = limits
        self._waiting: deque[_Requests] = deque()
        self._waiting_bytes = 0
        self._sequence = 0
        self._sent: dict[int, _Batch] = {}
        self.failed = 0
        """Requests whose outcome could not be told, or that nobody took in time."""

    @property
    def unanswered(self) -> int:
        """Number of requests that wait for a batch, or in one for its end."""
        waiting = sum(len(one.payloads) for one in self._waiting)
        return waiting + sum(
            len(one.payloads) for batch in self._sent.values() for one in batch.requests
        )

    @property
    def has_waiting(self) -> bool:
        """Whether requests wait for a batch."""
        return bool(self._waiting)

    @property
    def pending(self) -> int:
        """Number of batches that were sent and are not answered yet."""
        return len(self._sent)

    def add(
        self,
        kind: int,
        payloads: list[bytes],
        done: DoneEach,
        *,
        deadline: float,
        is_leaders: bool = False,
    ) -> None:
        """Take requests; `done` is called once for each, at `deadline` at the latest.

        Raises:
            TooManyRequests: more bytes wait than the limit allows.
        """
        if self._waiting_bytes > self._limits.forwarded_bytes_max:
            raise TooManyRequests
        self._waiting.append(_Requests(kind, payloads, done, 0, deadline, is_leaders))
        self._waiting_bytes += sum(map(len, payloads))

    def take_batch(self, sent_to: MemberId, *, room: int) -> bytes | None:
        """Pack waiting requests into a batch for `sent_to`, at least one, as far as they fit."""
        waiting = self._waiting
        if not waiting:
            return None
        room -= BATCH_OVERHEAD_BYTES
        operations_left = self._limits.entry_operations_max
        taken: list[_Requests] = []
        while waiting and operations_left > 0:
            requests = waiting[0]
            fitting = _fitting(requests.payloads[:operations_left], room)
            if fitting == 0 and not taken:
                fitting = 1
            if fitting < len(requests.payloads):
                if fitting == 0:
                    break
                requests, waiting[0] = requests.split(fitting)
                room = 0
            else:
                waiting.popleft()
            taken.append(requests)
            operations_left -= fitting
            size = sum(map(len, requests.payloads))
            self._waiting_bytes -= size
            room -= size + fitting * OPERATION_OVERHEAD_BYTES
        self._sequence += 1
        self._sent[self._sequence] = _Batch(taken, sent_to)
        batch_id = BatchId(self._member, self._incarnation, self._sequence)
        operations = [(one.kind, payload) for one in taken for payload in one.payloads]
        return encode_batch(batch_id, operations)

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
        end = 0
        for requests in batch.requests:
            start, end = end, end + len(requests.payloads)
            requests.done(requests.first, outcomes[start:end])
        assert end == len(outcomes), "a batch was answered with another number of outcomes"

    def refused(self, sequence: int) -> None:
        """The batch was certainly not appended anywhere: its requests may be sent in a new one."""
        batch = self._sent.pop(sequence, None)
        if batch is not None:
            self._waiting.extendleft(reversed(batch.requests))
            self._waiting_bytes += sum(map(_payload_bytes, batch.requests))

    def reject(self, sequence: int, error: RpcError) -> None:
        """The batch was certainly not appended, and its requests are refused with `error`."""
        batch = self._sent.pop(sequence, None)
        if batch is not None:
            for requests in batch.requests:
                requests.fail(error)

    def withdraw(self) -> None:
        """Refuse what only a leader may ask for and is in no log yet: this member leads no more."""
        if not any(requests.is_leaders for requests in self._waiting):
            return
        waiting, self._waiting = self._waiting, deque()
        for requests in waiting:
            if requests.is_leaders:
                self._waiting_bytes -= _payload_bytes(requests)
                requests.fail(NotLeader())
            else:
                self._waiting.append(requests)

    def lose(self, error: type[OutcomeUnknown], *, sent_to: MemberId | None = None) -> None:
        """Give up the batches sent to `sent_to` (default: all): their outcome is unknown now."""
        lost = [
            sequence
            for sequence, batch in self._sent.items()
            if sent_to is None or batch.sent_to == sent_to
        ]
        for sequence in lost:
            for requests in self._sent.pop(sequence).requests:
                self._fail(requests, error())

    def expire(self, now: float) -> None:
        """Answer what has waited until its deadline; a sent request may still take effect."""
        while self._waiting and self._waiting[0].deadline <= now:
            requests = self._waiting.popleft()
            self._waiting_bytes -= _payload_bytes(requests)
            self._fail(requests, ProposalTimedOut())
        late = [
            sequence for sequence, batch in self._sent.items() if batch.requests[-1].deadline <= now
        ]
        for sequence in late:
            for requests in self._sent.pop(sequence).requests:
                self._fail(requests, ProposalTimedOut())

    def _fail(self, requests: _Requests, error: RpcError) -> None:
        self.failed += len(requests.payloads)
        requests.fail(error)

    def fail_all(self, error: RpcError) -> None:
        """Answer everything with `error`, because this member stops."""
        waiting, self._waiting = self._waiting, deque()
        sent, self._sent = self._sent, {}
        self._waiting_bytes = 0
        for batch in sent.values():
            for requests in batch.requests:
                requests.fail(error)
        for requests in waiting:
            requests.fail(error)


def _payload_bytes(requests: _Requests) -> int:
    return sum(map(len, requests.payloads))


def _fitting(payloads: list[bytes], room: int) -> int:
    """Return how many of `payloads`, from the first on, fit into `room` bytes of a batch."""
    if sum(map(len, payloads)) + len(payloads) * OPERATION_OVERHEAD_BYTES <= room:
        return len(payloads)
    for count, payload in enumerate(payloads):
        room -= len(payload) + OPERATION_OVERHEAD_BYTES
        if room < 0:
            return count
    return len(payloads)
