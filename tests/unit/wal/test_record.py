from hypothesis import given
from hypothesis import strategies as st

from kvstore.wal.record import (
    HEAD_BYTES,
    Seal,
    State,
    decode,
    decode_state,
    encode,
    encode_state,
    sealable,
    watermark_beyond,
)

U64 = st.integers(0, 2**64 - 1)
SEAL = Seal.of(sealable(0x1234_5678_9ABC_DEF0))


def image_of(data: bytes, *, previous: int = 1, durable: int = 0, seal: Seal = SEAL) -> bytes:
    head, _ = encode(seal, 1, 1, 5, 2, data, previous, durable)
    return head + data


@given(
    fields=st.tuples(st.integers(0, 255), U64, U64, st.binary(max_size=200)),
    previous=st.integers(0, 2**32 - 1),
    durable=U64,
    lead=st.integers(0, 50),
)
def test_a_record_is_read_back_as_it_was_written(
    fields: tuple[int, int, int, bytes], previous: int, durable: int, lead: int
) -> None:
    head, crc = encode(SEAL, 3, *fields, previous, durable)
    data = fields[-1]
    record = decode(SEAL, bytes(lead) + head + data + bytes(9), lead)
    assert record == (3, *fields, previous, durable, crc, lead + HEAD_BYTES + len(data))


@given(data=st.binary(max_size=60), place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_record_with_any_bit_flipped_is_none(data: bytes, place: int, bit: int) -> None:
    image = bytearray(image_of(data))
    image[place % len(image)] ^= 1 << bit
    assert decode(SEAL, bytes(image), 0) is None


@given(data=st.binary(max_size=60), size=st.integers(0, 10_000))
def test_a_record_cut_short_is_none(data: bytes, size: int) -> None:
    image = image_of(data)
    assert decode(SEAL, image[: size % len(image)], 0) is None


def test_a_record_of_another_segment_is_none() -> None:
    other = Seal(SEAL.marker, Seal.of(sealable(99)).seed)
    assert decode(SEAL, image_of(b"data", seal=other), 0) is None


def test_no_marker_can_pass_for_zeros() -> None:
    assert all(Seal.of(sealable(bits)).marker.strip(b"\0") for bits in (0, 1 << 63, 1 << 32))


def test_the_watermark_is_found_behind_damage_of_unknown_length() -> None:
    image = b"\x01" * 77 + image_of(b"abc", durable=4000) + b"\x02" * 13 + image_of(b"", durable=7)
    assert watermark_beyond(SEAL, image, 0) == 4000
    assert watermark_beyond(SEAL, image, 78) == 7


def test_a_record_inside_a_damaged_ones_data_is_not_told_by_another_seal() -> None:
    forged = image_of(b"", durable=10**9, seal=Seal.of(sealable(2)))
    assert watermark_beyond(SEAL, image_of(forged)[1:], 0) == 0


def test_half_a_marker_does_not_end_the_search() -> None:
    image = SEAL.marker + SEAL.marker[:2] + image_of(b"x", durable=3)
    assert watermark_beyond(SEAL, image, 0) == 3


@given(generation=U64, term=U64, vote=U64, last_index=U64, membership=st.binary(max_size=30))
def test_a_state_is_read_back_as_it_was_written(
    generation: int, term: int, vote: int, last_index: int, membership: bytes
) -> None:
    state = State(generation, term, vote, last_index, membership)
    assert decode_state(encode_state(state)) == state


def test_a_state_that_is_too_short_is_none() -> None:
    assert decode_state(bytes(31)) is None
