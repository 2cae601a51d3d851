"""Batches between members: a follower's writes travel to the leader as they were packed.

message := "b" batch                 (follower -> leader, once)
         | "r" sequence (u64)        (leader -> follower: certainly not appended)
"""

from collections import deque
from struct import Struct

from kvstore.apply.command import check_batch
from kvstore.base.errors import ProtocolError
from kvstore.base.ids import MemberId

_BATCH = b"b"
_REFUSAL = b"r"
_SEQUENCE = Struct("<Q")


def batch_message(batch: bytes) -> bytes:
    """Return the message that asks a leader to append `batch`."""
    return _BATCH + batch


def refusal_message(sequence: int) -> bytes:
    """Return the message that tells the origin of a batch that it is in no log."""
    return _REFUSAL + _SEQUENCE.pack(sequence)


def decode(sender: MemberId, message: bytes) -> bytes | int:
    """Return the batch that `sender` forwards, or the sequence that it refuses.

    Raises:
        ProtocolError: it is no such message, or another member's batch.
    """
    kind, body = message[:1], message[1:]
    if kind == _BATCH:
        try:
            batch_id = check_batch(body)
        except ValueError as damage:
            raise ProtocolError(f"forwarded batch: {damage}") from damage
        if batch_id.origin != sender:
            raise ProtocolError(f"batch of member {batch_id.origin:x} forwarded by {sender:x}")
        return body
    if kind == _REFUSAL and len(body) == _SEQUENCE.size:
        (sequence,) = _SEQUENCE.unpack(body)
        return int(sequence)
    raise ProtocolError("unknown message on the forwarding channel")


class Relay:
    """Batches of other members that wait for this leader's next entry."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._waiting: deque[bytes] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        """Whether batches wait."""
        return bool(self._waiting)

    def add(self, batch: bytes) -> bool:
        """Take a batch; False if too much waits already."""
        if self._bytes > self._bytes_max:
            return False
        self._waiting.append(batch)
        self._bytes += len(batch)
        return True

    def take(self, room: int) -> list[bytes]:
        """Return the batches that go into an entry with `room` bytes left; at least one."""
        taken: list[bytes] = []
        while self._waiting and (not taken or len(self._waiting[0]) <= room):
            batch = self._waiting.popleft()
            self._bytes -= len(batch)
            room -= len(batch)
            taken.append(batch)
        return taken

    def take_all(self) -> list[bytes]:
        """Return everything that waits."""
        taken, self._waiting, self._bytes = list(self._waiting), deque(), 0
        return taken
