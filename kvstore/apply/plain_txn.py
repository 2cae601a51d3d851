"""The commonest transaction, by hand: one compare, one put, and perhaps a key to read instead.

A fourth of the cost of the general path, which is its model: `Compare` of one key, `success` of one
put without further fields, `failure` empty or a range of one key (rpc.proto TxnRequest). Fields are
in the order of their numbers, as every library writes them.
"""

from collections.abc import Iterable, Sequence

from kvstore.apply.reply import Outcome, Reply, operation_header
from kvstore.apply.requests import plain_puts, plain_range_key
from kvstore.mvcc import Conditional, ConditionalPut, Field
from kvstore.wire.protobuf import (
    MalformedProtobuf,
    decode_varint,
    encode_varint,
    message_field,
)

_COMPARE, _SUCCESS, _FAILURE = 0x0A, 0x12, 0x1A
_RESULT, _TARGET, _KEY = 0x08, 0x10, 0x1A
_REQUEST_RANGE, _REQUEST_PUT = 0x0A, 0x12
_MORE = 0x80
"""A length from here on takes more than a byte."""
_RESULTS = 4
_TARGETS = (
    (Field.VERSION, 0x20),
    (Field.CREATE, 0x28),
    (Field.MOD, 0x30),
    (Field.VALUE, 0x3A),
    (Field.LEASE, 0x40),
)
"""What is compared and the tag of the operand, by rpc.proto Compare.CompareTarget."""
_INT64_MAX = 2**63 - 1

_new = tuple.__new__


class _OtherShape(Exception):
    """A transaction that upb has to read."""


def plain_txns(requests: Iterable[bytes]) -> list[ConditionalPut] | None:
    """Return what each transaction says, or None if one is of another shape: then use upb."""
    try:
        return [_plain_txn(raw) for raw in requests]
    except (_OtherShape, IndexError, MalformedProtobuf):  # the latter two: cut short somewhere
        return None


def _plain_txn(raw: bytes) -> ConditionalPut:
    compare_end = raw[1] + 2
    if raw[0] != _COMPARE or raw[1] >= _MORE or raw[compare_end] != _SUCCESS:
        raise _OtherShape
    size, position = decode_varint(raw, compare_end + 1)
    success_end = position + size
    if raw[position] != _REQUEST_PUT:
        raise _OtherShape
    size, position = decode_varint(raw, position + 1)
    if position + size != success_end or success_end > len(raw):
        raise _OtherShape
    puts = plain_puts((raw[position:success_end],))
    if puts is None:
        raise _OtherShape
    otherwise = None if success_end == len(raw) else _otherwise(raw, success_end)
    return _new(ConditionalPut, (*_compare(raw, compare_end), *puts[0], otherwise))


def _otherwise(raw: bytes, start: int) -> bytes:
    """Return the key of the one range of `failure`, all that stands from `start` on."""
    # Field, length, kind of request, length: each is a byte.
    if (
        raw[start] != _FAILURE
        or raw[start + 1] >= _MORE
        or raw[start + 1] + start + 2 != len(raw)
        or raw[start + 2] != _REQUEST_RANGE
        or raw[start + 3] + start + 4 != len(raw)
    ):
        raise _OtherShape
    key = plain_range_key(raw[start + 4 :])
    if key is None:
        raise _OtherShape
    return key


def _compare(raw: bytes, end: int) -> tuple[bytes, int, int, int | bytes]:
    """Return (key, field, relation, operand) of the Compare that stands at [2, end)."""
    position, relation, target = 2, 0, 0
    if raw[position] == _RESULT:
        relation = raw[position + 1]
        position += 2
    if raw[position] == _TARGET:
        target = raw[position + 1]
        position += 2
    if relation >= _RESULTS or target >= len(_TARGETS) or raw[position] != _KEY:
        raise _OtherShape
    key_start = position + 2
    key_end = key_start + raw[position + 1]
    if not key_start < key_end <= end:  # so its length is one byte
        raise _OtherShape
    field, operand_tag = _TARGETS[target]
    operand: int | bytes = b"" if field is Field.VALUE else 0
    if key_end != end:
        if raw[key_end] != operand_tag:
            raise _OtherShape
        number, position = decode_varint(raw, key_end + 1)
        if field is Field.VALUE:
            operand = raw[position : position + number]
            position += number
        else:
            operand = number
        if position != end or number > _INT64_MAX:
            raise _OtherShape
    return raw[key_start:key_end], field, relation, operand


def txn_outcomes(txns: Sequence[ConditionalPut], done: Sequence[Conditional]) -> list[Outcome]:
    """Return the answers: rpc.proto TxnResponse without its header."""
    return [
        _new(Reply, (revision, _put_done(revision)))
        if is_put
        else Reply(revision, b"" if txn.otherwise is None else _key_read(revision, found))
        for txn, (revision, is_put, found) in zip(txns, done, strict=True)
    ]


def _put_done(revision: int) -> bytes:
    """`succeeded`, and the PutResponse of one put."""
    varint = encode_varint(revision)
    start = _PUT_STARTS[len(varint)]
    return start + varint


def _put_start(varint_bytes: int) -> bytes:
    header = message_field(1, b"\x18" + bytes(varint_bytes))
    responses = message_field(3, message_field(2, header))
    return (b"\x10\x01" + responses)[:-varint_bytes]


_PUT_STARTS = {size: _put_start(size) for size in range(1, 11)}
"""All in front of the revision's varint, by its length."""


def _key_read(revision: int, found: bytes | None) -> bytes:
    """The RangeResponse of one key that was read instead of the put."""
    body = operation_header(revision)
    if found is not None:
        body += b"\x12%b%b\x20\x01" % (encode_varint(len(found)), found)
    return message_field(3, message_field(1, body))
