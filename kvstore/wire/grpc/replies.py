"""gRPC's responses as HTTP/2 frames.

The hot path is an OK reply to a unary call whose windows have room: HEADERS, DATA and trailers are
packed by two structs, the two header blocks being three bytes together once the peer's dynamic
table has our fields. Everything else goes through the sender's general path, which is its model.
"""

from struct import Struct

from kvstore.wire.grpc.framing import PREFIX, PREFIX_BYTES
from kvstore.wire.grpc.metadata import percent_encoded
from kvstore.wire.http2.errors import ErrorCode
from kvstore.wire.http2.frames import DATA, END_HEADERS, END_STREAM, HEADERS
from kvstore.wire.http2.header_encoder import Fields, HeaderEncoder
from kvstore.wire.http2.sender import UNFLUSHED_BYTES_MAX, Sender
from kvstore.wire.http2.stream import Stream

_STATUS_200 = (b":status", b"200")
_CONTENT_TYPE = (b"content-type", b"application/grpc")
_OK = (b"grpc-status", b"0")

FREQUENT = (_CONTENT_TYPE, _OK)
"""The fields worth a place in the peer's dynamic table."""
RESPONSE: Fields = (_STATUS_200, _CONTENT_TYPE)
OK_TRAILERS: Fields = (_OK,)


def _primed_blocks() -> tuple[bytes, bytes]:
    encoder = HeaderEncoder(FREQUENT)
    encoder.encode(RESPONSE)
    encoder.encode(OK_TRAILERS)
    assert encoder.is_primed
    return encoder.encode(RESPONSE), encoder.encode(OK_TRAILERS)


_RESPONSE_BLOCK, _TRAILERS_BLOCK = _primed_blocks()

_HEAD = Struct(f">IBI{len(_RESPONSE_BLOCK)}sIBIBI")
"""The HEADERS frame; the head of the DATA frame; the message's prefix."""
_TAIL = Struct(f">IBI{len(_TRAILERS_BLOCK)}s")
"""The trailers."""
_HEADERS_HEAD = len(_RESPONSE_BLOCK) << 8 | HEADERS
_TRAILERS_HEAD = len(_TRAILERS_BLOCK) << 8 | HEADERS
_TRAILERS_FLAGS = END_HEADERS | END_STREAM
_FRAMES_BYTES = _HEAD.size + _TAIL.size


def send_reply(sender: Sender, stream: Stream, message: bytes) -> None:
    """Answer a unary call with OK and `message`."""
    length = len(message)
    size = length + PREFIX_BYTES
    if (
        size <= sender.frame_bytes_max
        and size <= sender.window
        and size <= stream.window
        and sender.encoder.is_primed
        and stream.is_open
        and stream.is_remote_closed
        and sender.is_writable
        and sender.unflushed_bytes < UNFLUSHED_BYTES_MAX
    ):
        stream_id = stream.id
        sender.window -= size
        sender.has_responded = True
        sender.unflushed_bytes += length + _FRAMES_BYTES
        sender.out += (
            _HEAD.pack(
                _HEADERS_HEAD,
                END_HEADERS,
                stream_id,
                _RESPONSE_BLOCK,
                size << 8 | DATA,
                0,
                stream_id,
                0,
                length,
            ),
            message,
            _TAIL.pack(_TRAILERS_HEAD, _TRAILERS_FLAGS, stream_id, _TRAILERS_BLOCK),
        )
        stream.is_open = False
        del sender.streams[stream_id]
        if not sender.is_awake:
            sender.wake()
        return
    send_message(sender, stream, message)
    sender.end(stream, OK_TRAILERS)


def send_message(sender: Sender, stream: Stream, message: bytes) -> None:
    """Send one message of a stream, after the response headers if they have not gone yet."""
    if not stream.is_open:
        return
    if not stream.has_headers:
        sender.headers(stream, RESPONSE)
    sender.data(stream, PREFIX.pack(0, len(message)) + message)


def send_status(
    sender: Sender, stream: Stream, code: int, text: str, *, http_status: int = 200
) -> None:
    """End a call with its status: as trailers, or alone ("Trailers-Only") if nothing was sent."""
    if not stream.is_open:
        return
    if code:
        status: Fields = (
            (b"grpc-status", str(int(code)).encode()),
            (b"grpc-message", percent_encoded(text)),
        )
    else:
        status = OK_TRAILERS
    if stream.has_headers:
        sender.end(stream, status)
    elif code:
        head = (b":status", str(http_status).encode())
        sender.respond(stream, (head, _CONTENT_TYPE, *status))
    else:
        sender.headers(stream, RESPONSE)
        sender.end(stream, status)


def cancel(sender: Sender, stream: Stream) -> None:
    """Abandon a call without a status."""
    sender.reset(stream, ErrorCode.CANCEL)
