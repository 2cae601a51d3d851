"""Varints and fields, against the protobuf runtime where it is the better judge."""

import pytest
from google.protobuf import wrappers_pb2
from hypothesis import given
from hypothesis import strategies as st

from kvstore.wire.protobuf import (
    MalformedProtobuf,
    RawField,
    bytes_field,
    decode_varint,
    encode_varint,
    fields,
    message_field,
    to_int64,
    varint_field,
)

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(INT64)
def test_a_varint_field_is_what_the_runtime_writes(value: int) -> None:
    assert varint_field(1, value) == wrappers_pb2.Int64Value(value=value).SerializeToString()


@given(st.binary(max_size=300))
def test_a_bytes_field_is_what_the_runtime_writes(value: bytes) -> None:
    assert bytes_field(1, value) == wrappers_pb2.BytesValue(value=value).SerializeToString()


@given(INT64, st.binary(max_size=3))
def test_a_varint_is_read_back_wherever_it_stands(value: int, prefix: bytes) -> None:
    data = prefix + encode_varint(value) + b"\x80"
    decoded, position = decode_varint(data, len(prefix))
    assert to_int64(decoded) == value
    assert position == len(data) - 1


def test_a_negative_varint_takes_ten_bytes() -> None:
    assert encode_varint(-1) == b"\xff" * 9 + b"\x01"


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 11, b"\x80" * 10])
def test_a_varint_that_does_not_end_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedProtobuf):
        decode_varint(data, 0)


def test_an_empty_message_field_is_there_but_an_empty_bytes_field_is_not() -> None:
    assert message_field(2, b"") == b"\x12\x00"
    assert bytes_field(2, b"") == b""


def test_fields_are_split_in_order_with_every_wire_type() -> None:
    data = varint_field(1, 300) + bytes_field(20, b"ab") + b"\x19" + b"x" * 8 + b"\x25" + b"y" * 4
    assert fields(data) == [
        RawField(1, 0, 300),
        RawField(20, 2, b"ab"),
        RawField(3, 1, b"x" * 8),
        RawField(4, 5, b"y" * 4),
    ]


@pytest.mark.parametrize("data", [b"\x0a\x05abc", b"\x09123", b"\x0b", b"\x00\x01", b"\x08"])
def test_a_broken_message_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedProtobuf):
        fields(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_split_or_refused(data: bytes) -> None:
    try:
        fields(data)
    except MalformedProtobuf:
        return
