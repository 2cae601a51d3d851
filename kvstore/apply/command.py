"""What a log entry holds: batches of requests, each as its client sent it.

    entry     := format (u8 = 1) batch*
    batch     := origin (u64) incarnation (u64) sequence (u64)
                 operations (u32) bytes (u32) operation*
    operation := kind (u8) length (u32) payload

    as user   := auth revision (u64) length of name (u16) kind (u8) name payload

Little endian. A batch is what one member collected in one turn; (origin, incarnation, sequence) is
its identity, by which the origin finds the callers that wait. The payload of an operation is the
request's protobuf message; whatever members could decide differently (a lease id) is already chosen
in it.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from struct import Struct, error
from typing import NamedTuple

from kvstore.auth import ANONYMOUS, Identity
from kvstore.base.errors import CorruptWal
from kvstore.base.ids import MemberId

ENTRY_FORMAT = b"\x01"

_BATCH = Struct("<QQQII")
_OPERATION = Struct("<BI")
_AS_USER = Struct("<QHB")
_USER_BYTES_MAX = (1 << 16) - 1

OPERATION_OVERHEAD_BYTES = _OPERATION.size
BATCH_OVERHEAD_BYTES = _BATCH.size


class OperationKind(IntEnum):
    """Which request an operation holds; numbers are stored and never reused."""

    PUT = 1
    DELETE_RANGE = 2
    TXN = 3
    COMPACT = 4
    LEASE_GRANT = 5
    LEASE_REVOKE = 6
    ALARM = 7
    MEMBER_ATTRIBUTES = 8
    """kvstorepb.MemberAttributes, preceded by the member's id (u64)."""
    LEASE_EXPIRE = 16
    """A revoke for which a leader asks, not a client: the time of the lease is over."""
    AS_USER = 17
    """Another operation, and for whom it is to be done: see `as_user`."""
    AUTH_ENABLE = 20
    AUTH_DISABLE = 21
    AUTH_ASSIGN_TOKEN = 22
    """kvstorepb.AssignToken."""
    AUTH_USER_ADD = 23
    AUTH_USER_DELETE = 24
    AUTH_USER_CHANGE_PASSWORD = 25
    AUTH_USER_GRANT_ROLE = 26
    AUTH_USER_REVOKE_ROLE = 27
    AUTH_ROLE_ADD = 28
    AUTH_ROLE_DELETE = 29
    AUTH_ROLE_GRANT_PERMISSION = 30
    AUTH_ROLE_REVOKE_PERMISSION = 31


class BatchId(NamedTuple):
    """Who collected a batch, in which life of its process, and as which one."""

    origin: MemberId
    incarnation: int
    sequence: int


class Batch(NamedTuple):
    """A decoded batch: (kind, payload) in the order in which they are to be applied."""

    id: BatchId
    operations: list[tuple[int, bytes]]


def as_user(user: Identity, kind: int, payload: bytes) -> bytes:
    """Return the payload of `AS_USER`: an operation, and who wants it done."""
    name = user.name.encode()
    if len(name) > _USER_BYTES_MAX:
        name, user = b"", ANONYMOUS  # nobody was ever added under such a name
    return _AS_USER.pack(user.revision, len(name), kind) + name + payload


def decode_as_user(payload: bytes) -> tuple[Identity, int, bytes]:
    """Return who wants which operation (kind, payload) done.

    Raises:
        CorruptWal: the bytes are none that `as_user` made. The member must stop.
    """
    try:
        revision, name_bytes, kind = _AS_USER.unpack_from(payload)
        end = _AS_USER.size + name_bytes
        name = payload[_AS_USER.size : end].decode()
    except (error, UnicodeDecodeError) as damage:
        raise CorruptWal("operation of a user is cut short") from damage
    return Identity(name, revision), kind, payload[end:]


def encode_batch(batch_id: BatchId, operations: Sequence[tuple[int, bytes]]) -> bytes:
    """Return the bytes of one batch, as it travels to the leader and stands in the entry."""
    pack = _OPERATION.pack
    body = b"".join(
        [part for kind, payload in operations for part in (pack(kind, len(payload)), payload)]
    )
    return _BATCH.pack(*batch_id, len(operations), len(body)) + body


def encode_entry(batches: Sequence[bytes]) -> bytes:
    """Return the entry that holds these encoded batches."""
    return b"".join([ENTRY_FORMAT, *batches])


def batch_id_of(encoded: bytes) -> BatchId:
    """Return the identity of an encoded batch, after checking that its frame is whole.

    Raises:
        ValueError: these bytes are not one batch.
    """
    if len(encoded) < _BATCH.size:
        raise ValueError("batch is cut short")
    origin, incarnation, sequence, _, body_bytes = _BATCH.unpack_from(encoded)
    if body_bytes != len(encoded) - _BATCH.size:
        raise ValueError("batch has another length than it says")
    return BatchId(origin, incarnation, sequence)


def count_operations(entry: bytes) -> int:
    """Return how many operations an entry of `encode_entry` holds; looks at its batches' heads."""
    position, found = len(ENTRY_FORMAT), 0
    while position < len(entry):
        *_, count, body_bytes = _BATCH.unpack_from(entry, position)
        found += count
        position += _BATCH.size + body_bytes
    return found


def check_batch(encoded: bytes) -> BatchId:
    """Return the identity of a batch that came from a peer, after checking all of its frame.

    Raises:
        ValueError: these bytes are not one batch of known operations.
    """
    batch_id = batch_id_of(encoded)
    try:
        (batch,) = decode_entry(ENTRY_FORMAT + encoded)
    except CorruptWal as damage:
        raise ValueError(str(damage)) from damage
    for kind, payload in batch.operations:
        OperationKind(kind)
        if kind == OperationKind.AS_USER:
            try:
                _, inner, _ = decode_as_user(payload)
            except CorruptWal as damage:
                raise ValueError(str(damage)) from damage
            if OperationKind(inner) is OperationKind.AS_USER:
                raise ValueError("an operation of a user within another")
    return batch_id


def decode_entry(data: bytes) -> Iterator[Batch]:
    """Yield the batches of an entry.

    Raises:
        CorruptWal: the bytes are none that `encode_entry` made. The member must stop.
    """
    if data[:1] != ENTRY_FORMAT:
        raise CorruptWal(f"log entry of unknown format {data[:1]!r}")
    position, end = 1, len(data)
    unpack = _OPERATION.unpack_from
    try:
        while position < end:
            origin, incarnation, sequence, count, body_bytes = _BATCH.unpack_from(data, position)
            position += _BATCH.size
            batch_end = position + body_bytes
            operations = []
            for _ in range(count):
                kind, length = unpack(data, position)
                start = position + OPERATION_OVERHEAD_BYTES
                position = start + length
                operations.append((kind, data[start:position]))
            if position != batch_end or position > end:
                raise CorruptWal("log entry holds a batch of another length than it says")
            yield Batch(BatchId(MemberId(origin), incarnation, sequence), operations)
    except error as damage:
        raise CorruptWal("log entry is cut short") from damage
