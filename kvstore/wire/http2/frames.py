"""The frames of HTTP/2 (RFC 9113 §4.1, §6) as bytes.

A frame is a 9-byte head and a payload. The head is read and written as three integers, the 24-bit
length and the 8-bit type sharing the first: one `unpack_from` instead of index arithmetic halves
the cost of a frame.
"""

from collections.abc import Mapping
from enum import IntEnum
from struct import Struct

from kvstore.wire.http2.errors import ConnectionFailed, ErrorCode

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What every client sends first (RFC 9113 §3.4)."""

FRAME_HEAD_BYTES = 9
FRAME_START_BYTES = 5
"""Of them length, kind and flags; then the stream id."""
FRAME_BYTES_MAX = 16_384
"""The largest payload we accept: the protocol's default, never raised by our SETTINGS."""
WINDOW_MAX = 2**31 - 1
STREAM_ID_MASK = 2**31 - 1

DATA = 0
HEADERS = 1
PRIORITY = 2
RST_STREAM = 3
SETTINGS = 4
PUSH_PROMISE = 5
PING = 6
GOAWAY = 7
WINDOW_UPDATE = 8
CONTINUATION = 9

END_STREAM = 0x01
ACK = 0x01
END_HEADERS = 0x04
PADDED = 0x08
PRIORITY_FLAG = 0x20

FRAME_HEAD = Struct(">IBI")
"""`length << 8 | type`, flags, stream id."""

_FRAME_WITH_U32 = Struct(">IBII")
_GOAWAY = Struct(">IBIII")
_SETTING = Struct(">HI")


class Setting(IntEnum):
    """RFC 9113 §6.5.2."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return FRAME_HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings_frame(values: Mapping[Setting, int]) -> bytes:
    """Return a SETTINGS frame."""
    payload = b"".join(_SETTING.pack(name, value) for name, value in values.items())
    return frame(SETTINGS, 0, 0, payload)


SETTINGS_ACK = frame(SETTINGS, ACK, 0)


def ping_frame(payload: bytes, *, is_ack: bool) -> bytes:
    """Return a PING; `payload` is the 8 bytes that come back."""
    return frame(PING, ACK if is_ack else 0, 0, payload)


def window_update_frame(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE; stream 0 is the connection."""
    return _FRAME_WITH_U32.pack(4 << 8 | WINDOW_UPDATE, 0, stream_id, increment)


def rst_stream_frame(stream_id: int, code: ErrorCode) -> bytes:
    """Return a RST_STREAM."""
    return _FRAME_WITH_U32.pack(4 << 8 | RST_STREAM, 0, stream_id, code)


def goaway_frame(last_stream_id: int, code: ErrorCode, text: str = "") -> bytes:
    """Return a GOAWAY; streams above `last_stream_id` were not and will not be served."""
    debug = text.encode()
    return _GOAWAY.pack((8 + len(debug)) << 8 | GOAWAY, 0, 0, last_stream_id, code) + debug


def header_frames(stream_id: int, block: bytes, *, end_stream: bool, frame_bytes_max: int) -> bytes:
    """Return HEADERS, and CONTINUATION frames if `block` is longer than a frame may be."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= frame_bytes_max:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    pieces = [frame(HEADERS, flags, stream_id, block[:frame_bytes_max])]
    for start in range(frame_bytes_max, len(block), frame_bytes_max):
        piece = block[start : start + frame_bytes_max]
        is_last = start + frame_bytes_max >= len(block)
        pieces.append(frame(CONTINUATION, END_HEADERS if is_last else 0, stream_id, piece))
    return b"".join(pieces)


_FIXED_BYTES = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_ON_CONNECTION = frozenset((SETTINGS, PING, GOAWAY))
_ON_STREAM = frozenset((DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION))
_GOAWAY_BYTES_MIN = 8


def check_frame(kind: int, stream_id: int, size: int) -> None:
    """Check what every frame of `kind` must satisfy, whatever the state (RFC 9113 §6).

    Raises:
        ConnectionFailed: on a stream where it belongs to the connection or the reverse, or of a
            length that `kind` cannot have.
    """
    if kind in _ON_CONNECTION if stream_id else kind in _ON_STREAM:
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, f"frame {kind} on stream {stream_id}")
    if size != _FIXED_BYTES.get(kind, size) or (kind == GOAWAY and size < _GOAWAY_BYTES_MIN):
        raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, f"frame {kind} of {size} bytes")
    if kind == PUSH_PROMISE:
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE from a client")


def without_priority(stream_id: int, payload: bytes) -> bytes:
    """Return the payload of HEADERS without its priority, which is ignored (RFC 9113 §5.3.2).

    Raises:
        ConnectionFailed: too short, or the stream depends on itself (RFC 7540 §5.3.1).
    """
    if len(payload) < _FIXED_BYTES[PRIORITY]:
        raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "length of HEADERS")
    check_priority(stream_id, payload)
    return payload[_FIXED_BYTES[PRIORITY] :]


def check_priority(stream_id: int, payload: bytes) -> None:
    """Check a priority, which begins `payload`; raises as `without_priority`."""
    if int.from_bytes(payload[:4], "big") & STREAM_ID_MASK == stream_id:
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "stream depends on itself")


def setting_values(payload: bytes) -> list[tuple[int, int]]:
    """Return the pairs of a SETTINGS payload, in order, after checking each.

    Raises:
        ConnectionFailed: a length or value that RFC 9113 §6.5 forbids.
    """
    if len(payload) % _SETTING.size:
        raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "length of SETTINGS")
    values = list(_SETTING.iter_unpack(payload))
    for name, value in values:
        if name == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH")
        if name == Setting.INITIAL_WINDOW_SIZE and value > WINDOW_MAX:
            raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE")
        if name == Setting.MAX_FRAME_SIZE and not FRAME_BYTES_MAX <= value < 1 << 24:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE")
    return values


def unpadded(payload: bytes) -> bytes:
    """Return the payload of a PADDED frame without its padding.

    Raises:
        ConnectionFailed: more padding than payload (RFC 9113 §6.1).
    """
    if not payload or payload[0] >= len(payload):
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "padding")
    return payload[1 : len(payload) - payload[0]]
