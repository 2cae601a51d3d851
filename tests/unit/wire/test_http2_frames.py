import pytest

from kvstore.wire.http2.errors import ConnectionFailed, ErrorCode
from kvstore.wire.http2.frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    Setting,
    frame,
    header_frames,
    setting_values,
    unpadded,
)


def test_a_frame_is_a_9_byte_head_and_its_payload() -> None:
    assert frame(0x06, 0x01, 0, b"12345678") == b"\x00\x00\x08\x06\x01\x00\x00\x00\x0012345678"


def test_a_long_block_goes_in_continuations_and_only_the_last_ends_it() -> None:
    frames = header_frames(3, b"abcdefg", end_stream=True, frame_bytes_max=3)
    assert frames == (
        frame(HEADERS, END_STREAM, 3, b"abc")
        + frame(CONTINUATION, 0, 3, b"def")
        + frame(CONTINUATION, END_HEADERS, 3, b"g")
    )


def test_a_block_of_exactly_two_frames_has_no_empty_third() -> None:
    frames = header_frames(1, b"abcdef", end_stream=False, frame_bytes_max=3)
    assert frames == frame(HEADERS, 0, 1, b"abc") + frame(CONTINUATION, END_HEADERS, 1, b"def")


def test_settings_keep_their_order_and_repeats() -> None:
    payload = b"\x00\x04\x00\x00\x00\x01\x00\x04\x00\x00\x00\x02"
    assert setting_values(payload) == [
        (Setting.INITIAL_WINDOW_SIZE, 1),
        (Setting.INITIAL_WINDOW_SIZE, 2),
    ]


@pytest.mark.parametrize(
    ("payload", "data"),
    [(b"\x00abc", b"abc"), (b"\x02abc\0\0", b"abc"), (b"\x00", b""), (b"\x01\0", b"")],
)
def test_padding_is_taken_off(payload: bytes, data: bytes) -> None:
    assert unpadded(payload) == data


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05abc"])
def test_more_padding_than_payload_is_refused(payload: bytes) -> None:
    with pytest.raises(ConnectionFailed) as failure:
        unpadded(payload)
    assert failure.value.code is ErrorCode.PROTOCOL_ERROR
