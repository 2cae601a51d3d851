"""Length-prefixed messages out of DATA of any cut (gRPC over HTTP/2, "Length-Prefixed-Message")."""

import zlib
from collections.abc import Iterator
from struct import Struct

from kvstore.base.errors import Code

PREFIX = Struct(">BI")
"""Compressed flag, length."""
PREFIX_BYTES = PREFIX.size

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class BadMessage(Exception):
    """A message that ends its call with `code` and `text`, which are grpc-go's."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class MessageReader:
    """Cuts one call's body into messages. Holds at most one unfinished message."""

    __slots__ = ("_buffer", "_encoding", "_message_bytes_max")

    def __init__(self, *, message_bytes_max: int, encoding: str | None) -> None:
        self._buffer = bytearray()
        self._encoding = encoding
        self._message_bytes_max = message_bytes_max

    @property
    def held_bytes(self) -> int:
        """Bytes of a message whose end has not arrived."""
        return len(self._buffer)

    def messages(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that `data` completes.

        Raises:
            BadMessage: at the prefix of a message too large, before it is held; for a message that
                is compressed in no agreed way.
        """
        buffer = self._buffer
        if not buffer and len(data) >= PREFIX_BYTES:
            flag, length = PREFIX.unpack_from(data)
            if PREFIX_BYTES + length == len(data):  # the usual case, without the buffer
                yield self._message(flag, length, data[PREFIX_BYTES:])
                return
        buffer += data
        while len(buffer) >= PREFIX_BYTES:
            flag, length = PREFIX.unpack_from(buffer)
            if length > self._message_bytes_max:
                raise self._too_large(length)
            end = PREFIX_BYTES + length
            if len(buffer) < end:
                return
            body = bytes(buffer[PREFIX_BYTES:end])
            del buffer[:end]
            yield self._message(flag, length, body)

    def _message(self, flag: int, length: int, body: bytes) -> bytes:
        if length > self._message_bytes_max:
            raise self._too_large(length)
        if not flag:
            return body
        if flag != 1:
            raise BadMessage(Code.INTERNAL, f"grpc: received unexpected payload format {flag}")
        if self._encoding is None or self._encoding == "identity":
            raise BadMessage(
                Code.INTERNAL, "grpc: compressed flag set with identity or empty encoding"
            )
        return gunzipped(body, self._message_bytes_max)

    def _too_large(self, length: int) -> BadMessage:
        return BadMessage(
            Code.RESOURCE_EXHAUSTED,
            f"grpc: received message larger than max ({length} vs. {self._message_bytes_max})",
        )


def gunzipped(body: bytes, bytes_max: int) -> bytes:
    """Return what `body` holds, never inflating more than `bytes_max` and one byte.

    Raises:
        BadMessage: not gzip, cut short, or larger than `bytes_max`.
    """
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        message = inflater.decompress(body, bytes_max + 1)
    except zlib.error as error:
        raise BadMessage(
            Code.INTERNAL, f"grpc: failed to decompress the received message: {error}"
        ) from error
    if len(message) > bytes_max:
        raise BadMessage(
            Code.RESOURCE_EXHAUSTED,
            f"grpc: received message after decompression larger than max {bytes_max}",
        )
    if not inflater.eof:
        raise BadMessage(
            Code.INTERNAL, "grpc: failed to decompress the received message: unexpected EOF"
        )
    return message
