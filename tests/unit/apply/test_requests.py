from hypothesis import example, given
from hypothesis import strategies as st

from kvstore.apply.requests import (
    decode_put,
    plain_puts,
    plain_range_key,
    plain_range_keys,
    plain_serializable_keys,
)
from kvstore.wire.pb import rpc_pb2

keys = st.binary(min_size=1, max_size=200)
values = st.one_of(st.binary(max_size=300), st.integers(16_370, 16_400).map(bytes))


def plain_put(raw: bytes) -> tuple[bytes, bytes] | None:
    found = plain_puts([raw])
    return None if found is None else found[0]


@given(keys, values)
def test_a_plain_put_is_read_by_hand_as_the_library_reads_it(key: bytes, value: bytes) -> None:
    raw = rpc_pb2.PutRequest(key=key, value=value).SerializeToString()

    found = plain_put(raw)

    if found is not None:
        assert found == (key, value)
    assert decode_put(raw)[:2] == (key, value)


def test_the_commonest_put_is_read_by_hand() -> None:
    raw = rpc_pb2.PutRequest(key=b"foo", value=b"x" * 5000).SerializeToString()

    assert plain_put(raw) == (b"foo", b"x" * 5000)


def test_one_put_of_another_shape_leaves_all_of_them_to_the_library() -> None:
    plain = rpc_pb2.PutRequest(key=b"a", value=b"1").SerializeToString()
    leased = rpc_pb2.PutRequest(key=b"b", value=b"2", lease=7).SerializeToString()

    assert plain_puts([plain, plain]) == [(b"a", b"1"), (b"a", b"1")]
    assert plain_puts([plain, leased]) is None


requests = st.builds(
    rpc_pb2.PutRequest,
    key=keys,
    value=values,
    lease=st.integers(-5, 5),
    prev_kv=st.booleans(),
    ignore_value=st.booleans(),
    ignore_lease=st.booleans(),
)


@given(requests)
def test_a_put_with_any_other_field_is_left_to_the_library(request: rpc_pb2.PutRequest) -> None:
    raw = request.SerializeToString()
    others = (request.lease, request.prev_kv, request.ignore_value, request.ignore_lease)

    assert decode_put(raw) == (request.key, request.value, *others)
    if any(others):
        assert plain_put(raw) is None


@given(st.binary(max_size=64))
@example(b"\x0a\x00\x12\x00")
@example(b"\x0a\x01a\x12\x80")
@example(b"\x0a\x85" + bytes(133))
def test_any_bytes_read_by_hand_are_what_the_library_would_read(raw: bytes) -> None:
    found = plain_put(raw)
    if found is not None:
        assert decode_put(raw)[:2] == found
    key = plain_range_key(raw)
    if key is not None:
        assert rpc_pb2.RangeRequest.FromString(raw) == rpc_pb2.RangeRequest(key=key)
    assert plain_range_keys([raw]) == (None if key is None else [key])
    keys = plain_serializable_keys([raw])
    if keys is not None:
        expected = rpc_pb2.RangeRequest(key=keys[0], serializable=True)
        assert rpc_pb2.RangeRequest.FromString(raw) == expected


@given(st.binary(min_size=1, max_size=127))
def test_a_range_of_one_key_is_read_by_hand(key: bytes) -> None:
    raw = rpc_pb2.RangeRequest(key=key).SerializeToString()
    serializable = rpc_pb2.RangeRequest(key=key, serializable=True).SerializeToString()

    assert plain_range_key(raw) == key
    assert plain_range_keys([raw, raw]) == [key, key]
    assert plain_serializable_keys([serializable, serializable]) == [key, key]
    assert plain_range_key(serializable) is None
    assert plain_range_keys([raw, serializable]) is None
    assert plain_serializable_keys([serializable, raw]) is None
