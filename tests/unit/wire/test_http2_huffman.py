import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from kvstore.wire.http2.huffman import decoded

encode = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode


@pytest.mark.parametrize("text", [b"", b"4999123u", b"www.example.com", bytes(range(256)) * 3])
def test_what_the_library_encodes_is_decoded(text: bytes) -> None:
    assert decoded(encode(text)) == text


@pytest.mark.parametrize("raw", [b"\x00", b"\xff\xff\xff\xff", b"\xf1\xe3\xc2\xe5\xff\xff"])
def test_bad_codes_and_padding_are_refused_every_time(raw: bytes) -> None:
    for _ in range(2):
        with pytest.raises(HPACKDecodingError):
            decoded(raw)
