"""gRPC's responses as HTTP/2 frames.

The hot path is an OK reply to a unary call whose windows have room: HEADERS, DATA and trailers are
packed by one struct, the two header blocks being three bytes together once the peer's dynamic
table has our fields. Everything else goes through the sender's general path, which is its model.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

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

_FRAME_START = Struct(">IB")
"""A frame's head less its stream: `length << 8 | type`, flags."""
_HEADERS_START = _FRAME_START.pack(len(_RESPONSE_BLOCK) << 8 | HEADERS, END_HEADERS)
_TRAILERS_START = _FRAME_START.pack(len(_TRAILERS_BLOCK) << 8 | HEADERS, END_HEADERS | END_STREAM)


class _Layout(NamedTuple):
    """The frames of an OK reply with a message of one length."""

    pack: Callable[..., bytes]
    """Of: start, stream, between, stream, prefix, message, start, stream, block."""
    between: bytes
    """The block of the response headers, and the start of the DATA frame."""
    prefix: bytes
    """The message's."""
    size: int


@lru_cache(4096)
def _layout(length: int) -> _Layout:
    between = _RESPONSE_BLOCK + _FRAME_START.pack((PREFIX_BYTES + length) << 8 | DATA, 0)
    prefix = PREFIX.pack(0, length)
    frames = Struct(
        f">{len(_HEADERS_START)}sI{len(between)}sI{len(prefix)}s{length}s"
        f"{len(_TRAILERS_START)}sI{len(_TRAILERS_BLOCK)}s"
    )
    return _Layout(frames.pack, between, prefix, frames.size)


def send_reply(sender: Sender, stream: Stream, message: bytes) -> None:
    """Answer a unary call with OK and `message`."""
    send_replies(sender, (stream,), (message,))


def send_replies(sender: Sender, streams: Sequence[Stream], messages: Sequence[bytes]) -> None:
    """Answer unary calls with OK, each with its message."""
    out, open_streams = sender.out, sender.streams
    size_max = sender.frame_bytes_max if sender.encoder.is_primed and sender.is_writable else -1
    laid_out, (pack, between, prefix, frames_bytes) = 0, _layout(0)
    window, unflushed_bytes = sender.window, sender.unflushed_bytes  # written back when others look
    for stream, message in zip(streams, messages, strict=True):
        length = len(message)
        size = length + PREFIX_BYTES
        if (
            size <= size_max
            and size <= window
            and size <= stream.window
            and stream.is_open
            and stream.is_remote_closed
            and unflushed_bytes < UNFLUSHED_BYTES_MAX
        ):
            if length != laid_out:
                pack, between, prefix, frames_bytes = _layout(length)
                laid_out = length
            stream_id = stream.id
            out.append(
                pack(
                    _HEADERS_START,
                    stream_id,
                    between,
                    stream_id,
                    prefix,
                    message,
                    _TRAILERS_START,
                    stream_id,
                    _TRAILERS_BLOCK,
                )
            )
            window -= size
            unflushed_bytes += frames_bytes
            stream.is_open = False
            del open_streams[stream_id]
        elif stream.is_open:
            sender.window, sender.unflushed_bytes = window, unflushed_bytes
            send_message(sender, stream, message)
            sender.end(stream, OK_TRAILERS)
            window, unflushed_bytes = sender.window, sender.unflushed_bytes
    sender.window, sender.unflushed_bytes = window, unflushed_bytes
    if out:
        sender.has_responded = True
        if not sender.is_awake:
            sender.wake()


def begin_message(sender: Sender, stream: Stream, message_bytes: int) -> None:
    """Send the response headers and what stands before a message; its bytes follow as data."""
    sender.headers(stream, RESPONSE)
    sender.data(stream, PREFIX.pack(0, message_bytes))


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
