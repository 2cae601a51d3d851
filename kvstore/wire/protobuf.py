"""Protobuf's wire format, as far as replies and records built by hand need it.

Source: https://protobuf.dev/programming-guides/encoding/. A writer of these bytes must keep fields
in ascending order and leave out zero values, as the generated code does: clients do not mind, but
HashKV depends on it.
"""

from typing import NamedTuple

_UINT64_MASK = (1 << 64) - 1
_SHIFT_MAX = 63
_SMALL = 1 << 14


class MalformedProtobuf(ValueError):
    """The bytes are no protobuf message."""


class WireType:
    """The low three bits of a tag."""

    VARINT = 0
    FIXED64 = 1
    LENGTH_DELIMITED = 2
    FIXED32 = 5


class RawField(NamedTuple):
    """One field of a message, undecoded: `value` is an int for varints, else bytes."""

    number: int
    wire_type: int
    value: int | bytes


def _encode_varint_slowly(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - the continuation bit
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# Nearly every length and tag is below this bound, and two look-ups make any revision below 2^28:
# a tenth of the loop's cost.
SMALL_VARINTS = tuple(_encode_varint_slowly(value) for value in range(_SMALL))
"""The varints of values below 2^14, by value."""
_LOW_HALVES = tuple(bytes((value & 0x7F | 0x80, value >> 7 | 0x80)) for value in range(_SMALL))


def encode_varint(value: int) -> bytes:
    """Return `value` as a varint; a negative one as int64, in ten bytes."""
    if 0 <= value < _SMALL:
        return SMALL_VARINTS[value]
    if 0 < value < _SMALL * _SMALL:
        return _LOW_HALVES[value & _SMALL - 1] + SMALL_VARINTS[value >> 14]
    return _encode_varint_slowly(value & _UINT64_MASK)


def encode_varints(values: range) -> list[bytes]:
    """Return the varints of consecutive values: a third of the cost of one after the other."""
    if not values or values[0] < _SMALL or values[-1] >= _SMALL * _SMALL:
        return [encode_varint(value) for value in values]
    return [_LOW_HALVES[value & _SMALL - 1] + SMALL_VARINTS[value >> 14] for value in values]


def decode_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return (unsigned value, position behind it) of the varint at `position`.

    Raises:
        MalformedProtobuf: it is longer than ten bytes or than the data.
    """
    try:
        byte = data[position]
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return byte, position + 1
        value = byte & 0x7F
        shift = 7
        while shift <= _SHIFT_MAX:
            position += 1
            byte = data[position]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the continuation bit
                return value & _UINT64_MASK, position + 1
            shift += 7
    except IndexError:
        raise MalformedProtobuf("truncated varint") from None
    raise MalformedProtobuf("varint longer than ten bytes")


def to_int64(value: int) -> int:
    """Return the signed reading of a decoded varint (protobuf's int64)."""
    return value - (1 << 64) if value >> 63 else value


def tag(number: int, wire_type: int) -> bytes:
    """Return the bytes in front of a field."""
    return encode_varint(number << 3 | wire_type)


def varint_field(number: int, value: int) -> bytes:
    """Return a varint field, or nothing for 0."""
    if value == 0:
        return b""
    return encode_varint(number << 3) + encode_varint(value)


def bytes_field(number: int, data: bytes) -> bytes:
    """Return a bytes or string field, or nothing if it is empty."""
    if not data:
        return b""
    return message_field(number, data)


def message_field(number: int, data: bytes) -> bytes:
    """Return an embedded message's field; an empty one is there all the same."""
    return encode_varint(number << 3 | 2) + encode_varint(len(data)) + data


def fields(data: bytes) -> list[RawField]:
    """Split a message into its fields, in the order in which they came.

    Raises:
        MalformedProtobuf: the bytes are no message, or use groups.
    """
    found = []
    position = 0
    end = len(data)
    while position < end:
        key, position = decode_varint(data, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise MalformedProtobuf("field number 0")
        value: int | bytes
        if wire_type == WireType.VARINT:
            value, position = decode_varint(data, position)
        else:
            if wire_type == WireType.LENGTH_DELIMITED:
                size, position = decode_varint(data, position)
            elif wire_type == WireType.FIXED64:
                size = 8
            elif wire_type == WireType.FIXED32:
                size = 4
            else:
                raise MalformedProtobuf(f"wire type {wire_type}")
            if size > end - position:
                raise MalformedProtobuf("truncated field")
            value = data[position : position + size]
            position += size
        found.append(RawField(number, wire_type, value))
    return found
