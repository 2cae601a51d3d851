"""Header compression and frames against the `hpack` and `hyperframe` libraries."""

from contextlib import suppress

import hpack
import hyperframe.frame as hf
from hpack.exceptions import HPACKError
from hypothesis import given
from hypothesis import strategies as st

from kvstore.wire.http2.errors import ConnectionFailed, ErrorCode, HeaderListTooLarge
from kvstore.wire.http2.frames import (
    Setting,
    goaway_frame,
    header_frames,
    ping_frame,
    rst_stream_frame,
    setting_values,
    settings_frame,
    unpadded,
    window_update_frame,
)
from kvstore.wire.http2.header_decoder import HeaderDecoder
from kvstore.wire.http2.header_encoder import HeaderEncoder

NAMES = st.sampled_from(
    [b":path", b":method", b"grpc-timeout", b"user-agent", b"te", b"x", b"token", b"cookie"]
)
VALUES = st.one_of(
    st.sampled_from([b"", b"POST", b"/a/b", b"trailers", b"x" * 200, b"y" * 1000]),
    st.binary(max_size=40),
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=12)
LIST_BYTES_MAX = 10_000


def raw(fields: list[tuple[int, str, str, int]]) -> list[tuple[bytes, bytes]]:
    return [(n.encode("latin-1"), v.encode("latin-1")) for _, n, v, _ in fields]


@given(
    blocks=st.lists(st.tuples(FIELDS, st.booleans(), st.none() | st.integers(0, 4096)), max_size=8)
)
def test_every_block_decodes_as_it_was_encoded(
    blocks: list[tuple[list[tuple[bytes, bytes]], bool, int | None]],
) -> None:
    encoder, decoder = hpack.Encoder(), HeaderDecoder(list_bytes_max=LIST_BYTES_MAX)
    for fields, huffman, table_size in blocks:
        if table_size is not None:
            encoder.header_table_size = table_size
        block = encoder.encode(fields, huffman=huffman)
        size = sum(len(n) + len(v) + 32 for n, v in fields)
        try:
            assert raw(decoder.decode(block)) == fields
            assert size <= LIST_BYTES_MAX
        except HeaderListTooLarge:
            assert size > LIST_BYTES_MAX


@given(blocks=st.lists(st.tuples(FIELDS, st.integers(0, 300), st.binary(max_size=3)), max_size=5))
def test_a_damaged_block_decodes_as_the_library_would_or_is_refused(
    blocks: list[tuple[list[tuple[bytes, bytes]], int, bytes]],
) -> None:
    encoder = hpack.Encoder()
    ours = HeaderDecoder(list_bytes_max=1 << 30)
    theirs = hpack.Decoder(max_header_list_size=1 << 30)
    for fields, place, damage in blocks:
        block = encoder.encode(fields)
        block = block[:place] + damage + block[place + len(damage) :]
        try:
            decoded = raw(ours.decode(block))
        except ConnectionFailed:
            return
        try:
            assert [(bytes(n), bytes(v)) for n, v in theirs.decode(block, raw=True)] == decoded
        except HPACKError as error:
            raise AssertionError(f"we took what the library refuses: {block!r}") from error


@given(block=st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(block: bytes) -> None:
    decoder = HeaderDecoder(list_bytes_max=1000)
    with suppress(ConnectionFailed, HeaderListTooLarge):
        decoder.decode(block)
    assert decoder._bytes <= 4096
    assert decoder._bytes == sum(entry[3] for entry in decoder._entries)


FREQUENT = ((b"content-type", b"application/grpc"), (b"grpc-status", b"0"))


@given(
    steps=st.lists(
        st.one_of(
            st.sampled_from([0, 10, 104, 105, 4096, 9000]),
            st.lists(
                st.one_of(
                    st.sampled_from([*FREQUENT, (b":status", b"200")]), st.tuples(NAMES, VALUES)
                ),
                min_size=1,
                max_size=5,
            ),
        ),
        max_size=12,
    )
)
def test_what_we_encode_the_library_decodes(steps: list[int | list[tuple[bytes, bytes]]]) -> None:
    encoder, decoder = HeaderEncoder(FREQUENT), hpack.Decoder()
    for step in steps:
        if isinstance(step, int):
            encoder.set_table_size(step)
            decoder.max_allowed_table_size = step
        else:
            decoded = decoder.decode(encoder.encode(tuple(step)), raw=True)
            assert [(bytes(n), bytes(v)) for n, v in decoded] == step


def parsed(data: bytes) -> list[hf.Frame]:
    frames = []
    while data:
        frame, length = hf.Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + length]))
        frames.append(frame)
        data = data[9 + length :]
    return frames


STREAM_IDS = st.integers(1, 2**31 - 1)


@given(
    stream_id=STREAM_IDS,
    block=st.binary(min_size=1, max_size=60),
    is_end=st.booleans(),
    size=st.integers(1, 70),
)
def test_header_frames_join_to_the_block(
    stream_id: int, block: bytes, is_end: bool, size: int
) -> None:
    frames = parsed(header_frames(stream_id, block, end_stream=is_end, frame_bytes_max=size))
    assert b"".join(frame.data for frame in frames) == block
    assert {frame.stream_id for frame in frames} == {stream_id}
    assert [("END_HEADERS" in frame.flags) for frame in frames] == [False] * (len(frames) - 1) + [
        True
    ]
    assert ("END_STREAM" in frames[0].flags) is is_end


@given(
    stream_id=STREAM_IDS,
    number=st.integers(1, 2**31 - 1),
    code=st.sampled_from(ErrorCode),
    payload=st.binary(min_size=8, max_size=8),
    is_ack=st.booleans(),
)
def test_small_frames_are_what_the_library_reads(
    stream_id: int, number: int, code: ErrorCode, payload: bytes, is_ack: bool
) -> None:
    window, reset, goaway, ping = parsed(
        window_update_frame(stream_id, number)
        + rst_stream_frame(stream_id, code)
        + goaway_frame(number, code, "why")
        + ping_frame(payload, is_ack=is_ack)
    )
    assert (window.stream_id, window.window_increment) == (stream_id, number)
    assert (reset.stream_id, reset.error_code) == (stream_id, code)
    assert (goaway.last_stream_id, goaway.error_code, goaway.additional_data) == (
        number,
        code,
        b"why",
    )
    assert (ping.opaque_data, "ACK" in ping.flags) == (payload, is_ack)


@given(
    values=st.dictionaries(
        st.sampled_from([Setting.HEADER_TABLE_SIZE, Setting.MAX_CONCURRENT_STREAMS]),
        st.integers(0, 2**32 - 1),
    )
)
def test_settings_there_and_back(values: dict[Setting, int]) -> None:
    assert dict(setting_values(settings_frame(values)[9:])) == values


@given(data=st.binary(max_size=30), padding=st.integers(0, 255))
def test_padding_there_and_back(data: bytes, padding: int) -> None:
    frame = hf.DataFrame(1, data, pad_length=padding, flags=["PADDED"])
    assert unpadded(frame.serialize()[9:]) == data
