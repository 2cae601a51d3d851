"""SPDY/3.1 as far as Kubernetes speaks it: streams that the client opens. Pure.

Kubernetes takes SPDY as a multiplexer: a stream is told by its headers (`streamtype`), and carries
bytes both ways until each side has said that it is done. Windows are not kept, as its other
implementations do not keep them either: the connection beneath slows a sender down.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

VERSION = 3
HEADER_BLOCK_BYTES_MAX = 64 * 1024
CONTROL_BYTES_MAX = 64 * 1024
STREAMS_MAX = 512
_DATA_BYTES_MAX = 32 * 1024
"""Of a frame that we send; those that we receive are handed on as they come."""
_HEAD_BYTES = 8
_FIN = 0x01
_CONTROL = 0x80000000
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 4, 6, 7, 8
_STREAM_MASK = 0x7FFFFFFF
PROTOCOL_ERROR = 1
REFUSED_STREAM = 3
CANCEL = 5

# What SPDY/3 presets its compression with: words with their length in front, then plain text.
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language"
    " accept-ranges age allow authorization cache-control connection content-base content-encoding"
    " content-language content-length content-location content-md5 content-range content-type date"
    " etag expect expires from host if-match if-modified-since if-none-match if-range"
    " if-unmodified-since last-modified location max-forwards pragma proxy-authenticate"
    " proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade"
    " user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url"
    " public set-cookie keep-alive origin"
)
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 "
    "Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service "
    "UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, "
    "Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,"
    "sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(
        struct.pack(">I", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split()
    )
    + _TEXT.encode()
)


class SpdyError(Exception):
    """The peer broke the protocol: the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer opened a stream."""

    stream: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Received:
    """The peer sent bytes on a stream; `is_last`: it will send no more."""

    stream: int
    data: bytes
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer gave a stream up, both ways."""

    stream: int


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The peer opens no more streams."""


Event = Opened | Received | Reset | GoneAway


class HeaderBlocks:
    """Compresses and reads header blocks; one dictionary each way for a connection's whole life."""

    def __init__(self) -> None:
        self._out = zlib.compressobj(zdict=DICTIONARY)
        self._in = zlib.decompressobj(zdict=DICTIONARY)

    def pack(self, headers: Mapping[str, str]) -> bytes:
        """Return the compressed block."""
        parts = [struct.pack(">I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                parts += [struct.pack(">I", len(text)), text]
        return self._out.compress(b"".join(parts)) + self._out.flush(zlib.Z_SYNC_FLUSH)

    def read(self, block: bytes) -> dict[str, str]:
        """Return the headers of a compressed block; of several values of a name, all, with NULs.

        Raises:
            SpdyError: it is none, or too large.
        """
        try:
            plain = self._in.decompress(block, HEADER_BLOCK_BYTES_MAX)
        except zlib.error as error:
            raise SpdyError(f"header block: {error}") from error
        if self._in.unconsumed_tail:
            raise SpdyError(f"a header block has more than {HEADER_BLOCK_BYTES_MAX} bytes")
        texts = list(_texts(plain))
        return dict(zip(texts[::2], texts[1::2], strict=True))


def _texts(plain: bytes) -> Iterator[str]:
    try:
        (count,) = struct.unpack_from(">I", plain, 0)
        at = 4
        for _ in range(2 * count):
            (size,) = struct.unpack_from(">I", plain, at)
            at += 4 + size
            if at > len(plain):
                raise SpdyError("a header block ends within a header")
            yield plain[at - size : at].decode(errors="replace")
    except struct.error as error:
        raise SpdyError("a header block ends within a header") from error


class ServerSession:
    """One connection, as the side sees it that streams are opened to."""

    def __init__(self) -> None:
        self._blocks = HeaderBlocks()
        self._unread = bytearray()
        self._unsent: list[bytes] = []
        self._peer_open: set[int] = set()
        self._own_open: set[int] = set()
        self._last_stream = 0
        self._data_left: tuple[int, int, int] | None = None
        """Of a data frame whose bytes are still coming: stream, how many, flags."""

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes; return what they say. An opened stream is answered here.

        Raises:
            SpdyError: they are no SPDY.
        """
        self._unread += data
        return list(self._events())

    def send(self, stream: int, data: bytes, *, is_last: bool = False) -> None:
        """Send bytes on a stream; nothing if it is closed already."""
        if stream not in self._own_open:
            return
        pieces = [data[at : at + _DATA_BYTES_MAX] for at in range(0, len(data), _DATA_BYTES_MAX)]
        for piece in pieces:
            self._unsent.append(struct.pack(">II", stream, len(piece)) + piece)
        if is_last:
            self._unsent.append(struct.pack(">II", stream, _FIN << 24))
            self._own_open.discard(stream)

    def reset(self, stream: int, status: int = CANCEL) -> None:
        """Give a stream up, both ways."""
        if stream in self._own_open or stream in self._peer_open:
            self._unsent.append(_control(_RST_STREAM, struct.pack(">II", stream, status)))
            self._forget(stream)

    def data_to_send(self) -> bytes:
        """Return what is to be sent now."""
        data = b"".join(self._unsent)
        self._unsent.clear()
        return data

    def _events(self) -> Iterator[Event]:
        while True:
            if self._data_left is not None:
                if not self._unread and self._data_left[1]:
                    return
                yield from self._data()
                continue
            if len(self._unread) < _HEAD_BYTES:
                return
            word, size = struct.unpack_from(">II", self._unread)
            flags, size = size >> 24, size & 0xFFFFFF
            if not word & _CONTROL:
                del self._unread[:_HEAD_BYTES]
                self._data_left = (word & _STREAM_MASK, size, flags)
                continue
            if size > CONTROL_BYTES_MAX:
                raise SpdyError(f"a control frame of {size} bytes")
            if len(self._unread) < _HEAD_BYTES + size:
                return
            body = bytes(self._unread[_HEAD_BYTES : _HEAD_BYTES + size])
            del self._unread[: _HEAD_BYTES + size]
            if word >> 16 & 0x7FFF != VERSION:
                raise SpdyError(f"version {word >> 16 & 0x7FFF} is not spoken here")
            yield from self._control_frame(word & 0xFFFF, flags, body)

    def _data(self) -> Iterator[Event]:
        """Hand on as much of a data frame as is here."""
        assert self._data_left is not None, "in a data frame"
        stream, left, flags = self._data_left
        piece = bytes(self._unread[:left])
        del self._unread[: len(piece)]
        left -= len(piece)
        self._data_left = (stream, left, flags) if left else None
        is_last = bool(flags & _FIN) and not left
        if stream in self._peer_open:
            if is_last:
                self._peer_open.discard(stream)
            if piece or is_last:
                yield Received(stream, piece, is_last)

    def _control_frame(self, kind: int, flags: int, body: bytes) -> Iterator[Event]:
        if kind == _SYN_STREAM:
            yield from self._opened(flags, body)
        elif kind == _RST_STREAM:
            stream = _word(body) & _STREAM_MASK
            if stream in self._peer_open or stream in self._own_open:
                self._forget(stream)
                yield Reset(stream)
        elif kind == _PING:
            if _word(body) % 2:  # an even one answers a ping of ours, which there is none of
                self._unsent.append(_control(_PING, body[:4]))
        elif kind == _GOAWAY:
            yield GoneAway()
        elif kind in (_SYN_REPLY, _HEADERS):
            self._blocks.read(body[4:])  # or later blocks could not be read

    def _opened(self, flags: int, body: bytes) -> Iterator[Event]:
        stream = _word(body) & _STREAM_MASK
        headers = self._blocks.read(body[10:])
        if stream % 2 == 0 or stream <= self._last_stream:
            raise SpdyError(f"stream {stream} opened after {self._last_stream}")
        self._last_stream = stream
        if len(self._own_open | self._peer_open) >= STREAMS_MAX:
            refusal = struct.pack(">II", stream, REFUSED_STREAM)
            self._unsent.append(_control(_RST_STREAM, refusal))
            return
        self._own_open.add(stream)
        reply = struct.pack(">I", stream) + self._blocks.pack({})
        self._unsent.append(_control(_SYN_REPLY, reply))
        yield Opened(stream, headers)
        if flags & _FIN:
            yield Received(stream, b"", is_last=True)
        else:
            self._peer_open.add(stream)

    def _forget(self, stream: int) -> None:
        self._peer_open.discard(stream)
        self._own_open.discard(stream)


def _word(body: bytes) -> int:
    if len(body) < 4:  # noqa: PLR2004 - a word
        raise SpdyError("a control frame ends too early")
    return int.from_bytes(body[:4])


def _control(kind: int, body: bytes) -> bytes:
    return struct.pack(">II", _CONTROL | VERSION << 16 | kind, len(body)) + body
