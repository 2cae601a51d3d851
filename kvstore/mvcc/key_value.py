"""`mvccpb.KeyValue` as bytes: written once at the put, spliced into every later answer.

Fields stand in ascending order and zeros are left out, exactly as etcd stores them: HashKV is
taken over these bytes. Source: kv.proto KeyValue.
"""

from typing import NamedTuple

from kvstore.wire.protobuf import decode_varint, encode_varint, to_int64

_KEY, _CREATE, _MOD, _VERSION, _VALUE, _LEASE = 0x0A, 0x10, 0x18, 0x20, 0x2A, 0x30


class KeyValue(NamedTuple):
    """The fields of an encoded KeyValue; those of a deletion are zero but for key and mod."""

    key: bytes
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    value: bytes = b""
    lease: int = 0


def encode_key_value(  # noqa: PLR0913, PLR0917 - the put's hot path: no object, no keywords
    key: bytes, create: bytes, mod: bytes, version: int, value: bytes, lease: int
) -> bytes:
    """Return the bytes of a KeyValue. `create` and `mod` are revisions, already varints."""
    return b"".join(
        (
            b"\x0a",
            encode_varint(len(key)),
            key,
            b"\x10",
            create,
            b"\x18",
            mod,
            b"\x20",
            encode_varint(version),
            b"\x2a" + encode_varint(len(value)) if value else b"",
            value,
            b"\x30" + encode_varint(lease) if lease else b"",
        )
    )


def encode_tombstone(key: bytes, mod: bytes) -> bytes:
    """Return the KeyValue of a delete event: the key and the varint of its mod revision."""
    return b"\x0a%b%b\x18%b" % (encode_varint(len(key)), key, mod)


def decode_key_value(data: bytes) -> KeyValue:
    """Read the fields of a KeyValue that was written here, so in ascending order."""
    key = value = b""
    create = mod = version = lease = 0
    position = 0
    end = len(data)
    while position < end:
        tag = data[position]
        number, position = decode_varint(data, position + 1)
        if tag == _KEY:
            key = data[position : position + number]
            position += number
        elif tag == _CREATE:
            create = number
        elif tag == _MOD:
            mod = number
        elif tag == _VERSION:
            version = number
        elif tag == _VALUE:
            value = data[position : position + number]
            position += number
        else:
            assert tag == _LEASE, f"stored KeyValue with tag {tag}"
            lease = to_int64(number)
    return KeyValue(key, create, mod, version, value, lease)


def key_of(data: bytes) -> bytes:
    """Return the key of a stored KeyValue; it comes first."""
    size, position = decode_varint(data, 1)
    return data[position : position + size]


def key_field_of(data: bytes) -> bytes:
    """Return only the key's field: what etcd stores for a deletion, and hashes."""
    size, position = decode_varint(data, 1)
    return data[: position + size]


def value_of(data: bytes) -> bytes:
    """Return the value of a stored KeyValue."""
    return decode_key_value(data).value


def create_revision_of(data: bytes) -> int:
    """Return the create revision of a stored KeyValue that is no tombstone."""
    size, position = decode_varint(data, 1)
    return decode_varint(data, position + size + 1)[0]


def without_value(data: bytes) -> bytes:
    """Return the KeyValue with an empty value, as `keys_only` wants it; the lease stays."""
    size, position = decode_varint(data, 1)
    position += size
    end = len(data)
    while position < end:
        number, following = decode_varint(data, position + 1)
        if data[position] == _VALUE:
            return data[:position] + data[following + number :]
        position = following
    return data
