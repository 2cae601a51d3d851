import hpack
import pytest

from kvstore.wire.http2.errors import ConnectionFailed, ErrorCode, HeaderListTooLarge
from kvstore.wire.http2.header_decoder import (
    MALFORMED,
    PATH,
    REGULAR,
    HeaderDecoder,
    field_of,
)


@pytest.fixture
def decoder() -> HeaderDecoder:
    return HeaderDecoder(list_bytes_max=64 * 1024)


def pairs(decoder: HeaderDecoder, block: bytes) -> list[tuple[str, str]]:
    return [(name, value) for _, name, value, _ in decoder.decode(block)]


@pytest.mark.parametrize(
    ("block", "fields"),
    [  # RFC 7541 appendix C
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", [("custom-key", "custom-header")]),
        ("040c2f73616d706c652f70617468", [(":path", "/sample/path")]),
        ("100870617373776f726406736563726574", [("password", "secret")]),
        ("82", [(":method", "GET")]),
        (
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            [
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "www.example.com"),
            ],
        ),
    ],
)
def test_the_examples_of_the_rfc(
    decoder: HeaderDecoder, block: str, fields: list[tuple[str, str]]
) -> None:
    assert pairs(decoder, bytes.fromhex(block)) == fields


def test_the_version_changes_with_the_table_only(decoder: HeaderDecoder) -> None:
    decoder.decode(bytes.fromhex("82"))
    decoder.decode(bytes.fromhex("040c2f73616d706c652f70617468"))
    assert decoder.version == 0
    decoder.decode(bytes.fromhex("400a637573746f6d2d6b65790d637573746f6d2d686561646572"))
    assert decoder.version == 1
    decoder.decode(b"\x20")
    assert decoder.version == 2


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xbe",  # an entry that does not exist
        b"\x7e\x01a",  # the name of an entry that does not exist
        b"\xff\xff\xff\xff\xff\x0f",  # an integer that never ends well
        b"\x00\x05ab",  # a name cut short
        b"\x00\x01a\x05b",  # a value cut short
        b"\x00\x01a",  # no value
        b"\x82\x20",  # a size update after a field
        b"\x3f\xe2\x1f",  # a size update over our setting
        b"\x00\x81\x00\x00",  # Huffman padding of zeros
        b"\x00\x84\xff\xff\xff\xff\x00",  # Huffman end-of-string symbol
    ],
)
def test_a_bad_block_ends_the_connection(decoder: HeaderDecoder, block: bytes) -> None:
    with pytest.raises(ConnectionFailed) as failure:
        decoder.decode(block)
    assert failure.value.code is ErrorCode.COMPRESSION_ERROR


def test_a_list_over_the_limit_is_refused_but_its_insertions_are_kept() -> None:
    decoder = HeaderDecoder(list_bytes_max=100)
    encoder = hpack.Encoder()
    with pytest.raises(HeaderListTooLarge):
        decoder.decode(encoder.encode([("a", "1"), ("b", "x" * 100), ("c", "3")]))
    assert pairs(decoder, encoder.encode([("c", "3"), ("a", "1")])) == [("c", "3"), ("a", "1")]


def test_an_entry_larger_than_the_table_empties_it(decoder: HeaderDecoder) -> None:
    encoder = hpack.Encoder()
    decoder.decode(encoder.encode([("a", "1")]))
    decoder.decode(encoder.encode([("b", "x" * 5000)]))
    with pytest.raises(ConnectionFailed):
        decoder.decode(b"\xbe")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"Upper", b"x"),
        (b"", b"x"),
        (b"sp ace", b"x"),
        (b":status", b"200"),
        (b"connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"te", b"gzip"),
        (b"a", b"x\ny"),
        (b"a", b"x\0"),
        (b"a", b" x"),
        (b"a", b"x\t"),
    ],
)
def test_fields_that_http2_forbids_are_malformed(name: bytes, value: bytes) -> None:
    assert field_of(name, value)[0] == MALFORMED


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        (b"te", b"trailers", REGULAR),
        (b"a", b"", REGULAR),
        (b"a", b"in side\xff", REGULAR),
        (b":path", b"/x", PATH),
    ],
)
def test_good_fields_have_their_kind(name: bytes, value: bytes, kind: int) -> None:
    assert field_of(name, value)[0] == kind
