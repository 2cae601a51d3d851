"""KeyValues written by hand, against the protobuf runtime."""

from hypothesis import given
from hypothesis import strategies as st

from kvstore.mvcc.key_value import (
    KeyValue,
    create_revision_of,
    decode_key_value,
    encode_key_value,
    encode_tombstone,
    key_field_of,
    key_of,
    value_of,
    without_value,
)
from kvstore.wire.pb import kv_pb2
from kvstore.wire.protobuf import encode_varint

KEYS = st.one_of(st.binary(min_size=1, max_size=200), st.just(b"k" * 3000))
REVISIONS = st.integers(1, 2**63 - 1)
LIVE = st.builds(
    KeyValue,
    KEYS,
    REVISIONS,
    REVISIONS,
    REVISIONS,
    st.one_of(st.binary(max_size=200), st.just(b"v" * 20_000)),
    st.one_of(st.just(0), st.integers(-(2**63), 2**63 - 1)),
)


def by_runtime(fields: KeyValue) -> bytes:
    return bytes(kv_pb2.KeyValue(**fields._asdict()).SerializeToString())


def by_hand(fields: KeyValue) -> bytes:
    return encode_key_value(
        fields.key,
        encode_varint(fields.create_revision),
        encode_varint(fields.mod_revision),
        fields.version,
        fields.value,
        fields.lease,
    )


@given(LIVE)
def test_a_live_key_is_written_as_the_runtime_does(fields: KeyValue) -> None:
    assert by_hand(fields) == by_runtime(fields)


@given(KEYS, REVISIONS)
def test_a_tombstone_is_written_as_the_runtime_does(key: bytes, mod: int) -> None:
    expected = KeyValue(key, mod_revision=mod)
    written = encode_tombstone(key, encode_varint(mod))
    assert written == by_runtime(expected)
    assert decode_key_value(written) == expected
    assert key_field_of(written) == by_runtime(KeyValue(key))


@given(LIVE)
def test_every_field_is_read_back(fields: KeyValue) -> None:
    data = by_runtime(fields)
    assert decode_key_value(data) == fields
    assert key_of(data) == fields.key
    assert value_of(data) == fields.value
    assert create_revision_of(data) == fields.create_revision
    assert without_value(data) == by_runtime(fields._replace(value=b""))
