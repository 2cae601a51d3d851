"""A connection's header blocks: put together from frames, decoded, and remembered.

A client that makes the same call again sends the same block, once its fields are in the dynamic
table. The head it decodes to is kept by the block's bytes *and the version of the table* they were
decoded at, so a call that inserts a field (grpc-go's `grpc-timeout`) ends no entry but by changing
what it means: nothing is cleared, and old entries leave as new ones come.
"""

from kvstore.base.limits import Limits
from kvstore.wire.http2.errors import ConnectionFailed, ErrorCode
from kvstore.wire.http2.header_decoder import Field, HeaderDecoder
from kvstore.wire.http2.request_head import RequestHead, request_head

_HEADS_MAX = 256
_HEAD_BLOCK_BYTES_MAX = 1024


class HeaderBlocks:
    """The blocks of one connection, in the order they arrived: the order is the tables' state."""

    __slots__ = (
        "_bytes_max",
        "_frames_max",
        "_parts",
        "_size",
        "decoder",
        "flags",
        "heads",
        "is_unfinished",
        "stream_id",
    )

    def __init__(self, limits: Limits) -> None:
        self.decoder = HeaderDecoder(list_bytes_max=limits.header_list_bytes_max)
        self.heads: dict[bytes, tuple[int, RequestHead]] = {}
        """Block to (table version, head); valid only at that version."""
        self.is_unfinished = False
        """Only CONTINUATION may follow."""
        self.stream_id = 0
        """The stream of the unfinished block."""
        self.flags = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._frames_max = limits.continuation_frames_max + 1
        # Fields that the table holds take one byte, so a legal block is seldom larger than its
        # list; twice that bounds the work of decoding what is then refused.
        self._bytes_max = 2 * limits.header_list_bytes_max

    def begin(self, stream_id: int, flags: int, part: bytes) -> None:
        """Take the part that HEADERS without END_HEADERS brought."""
        self.stream_id = stream_id
        self.flags = flags
        self.is_unfinished = True
        self._parts = [part]
        self._size = len(part)

    def append(self, part: bytes) -> None:
        """Take the part of a CONTINUATION.

        Raises:
            ConnectionFailed: none was expected, or they are too many.
        """
        if not self.is_unfinished:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._parts.append(part)
        self._size += len(part)
        if len(self._parts) > self._frames_max or self._size > self._bytes_max:
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "header block too long")

    def finish(self) -> bytes:
        """Return the whole block."""
        block = b"".join(self._parts)
        self._parts.clear()
        self.is_unfinished = False
        return block

    def fields(self, block: bytes) -> list[Field]:
        """Return the fields of a block; raises as `HeaderDecoder.decode`."""
        return self.decoder.decode(block)

    def head(self, block: bytes) -> RequestHead:
        """Return the request head that `block` means now.

        Raises:
            MalformedRequest: see `request_head`; and as `HeaderDecoder.decode`.
        """
        decoder = self.decoder
        version = decoder.version
        known = self.heads.get(block)
        if known is not None and known[0] == version:
            return known[1]
        head = request_head(decoder.decode(block))
        if decoder.version == version and len(block) <= _HEAD_BLOCK_BYTES_MAX:
            self.heads.pop(block, None)  # so that a renewed entry counts as new
            if len(self.heads) >= _HEADS_MAX:
                del self.heads[next(iter(self.heads))]
            self.heads[block] = (version, head)
        return head
