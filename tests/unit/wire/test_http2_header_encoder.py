import hpack
import pytest

from kvstore.wire.http2.header_encoder import HeaderEncoder

TYPE = (b"content-type", b"application/grpc")
OK = (b"grpc-status", b"0")
RESPONSE = ((b":status", b"200"), TYPE)


def plain(decoder: hpack.Decoder, block: bytes) -> list[tuple[bytes, bytes]]:
    return [(bytes(n), bytes(v)) for n, v in decoder.decode(block, raw=True)]


def test_frequent_fields_take_one_byte_once_the_peer_knows_them() -> None:
    encoder, decoder = HeaderEncoder((TYPE, OK)), hpack.Decoder()
    for _ in range(3):
        assert plain(decoder, encoder.encode(RESPONSE)) == list(RESPONSE)
        assert plain(decoder, encoder.encode((OK,))) == [OK]
    assert encoder.is_primed
    assert len(encoder.encode(RESPONSE)) == 2
    assert len(encoder.encode((OK,))) == 1


def test_other_fields_never_move_the_indexes() -> None:
    encoder, decoder = HeaderEncoder((TYPE, OK)), hpack.Decoder()
    for field in [*RESPONSE, OK]:
        plain(decoder, encoder.encode((field,)))
    before = encoder.encode(RESPONSE)
    other = ((b"grpc-status", b"5"), (b"grpc-message", b"no"), (b"date", b"x" * 300))
    assert plain(decoder, encoder.encode(other)) == list(other)
    assert encoder.encode(RESPONSE) == before


@pytest.mark.parametrize("size", [0, 50, 103, 104, 200, 4096, 100_000])
def test_a_peer_that_changes_its_table_size_still_understands(size: int) -> None:
    encoder, decoder = HeaderEncoder((TYPE, OK)), hpack.Decoder()
    for _ in range(2):
        for fields in (RESPONSE, (OK,)):
            plain(decoder, encoder.encode(fields))
    encoder.set_table_size(size)
    decoder.max_allowed_table_size = size
    for _ in range(3):
        assert plain(decoder, encoder.encode(RESPONSE)) == list(RESPONSE)
        assert plain(decoder, encoder.encode((OK,))) == [OK]
    assert encoder.is_primed is (size >= 104)


def test_a_table_that_shrinks_and_grows_between_two_blocks_is_emptied() -> None:
    encoder, decoder = HeaderEncoder((TYPE, OK)), hpack.Decoder()
    for fields in (RESPONSE, (OK,)):
        plain(decoder, encoder.encode(fields))
    encoder.set_table_size(0)
    encoder.set_table_size(4096)
    block = encoder.encode(RESPONSE)
    assert block.startswith(b"\x20\x3f\xe1\x1f"), "the smallest size in between is announced"
    assert plain(decoder, block) == list(RESPONSE)
    assert plain(decoder, encoder.encode((OK,))) == [OK]
    assert plain(decoder, encoder.encode((*RESPONSE, OK))) == [*RESPONSE, OK]
