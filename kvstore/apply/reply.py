"""What applying a request yields: the answer's bytes but for its header, or an error.

The header names the answering member, so only the member that collected the request adds it: a
response is `header field + body`. Bodies are spliced from stored KeyValue bytes, never re-encoded.
"""

from collections.abc import Sequence
from typing import NamedTuple

from kvstore.base.errors import RpcError
from kvstore.mvcc import RangeResult
from kvstore.wire.protobuf import encode_varint, message_field, varint_field

_KVS_TAG = b"\x12"
_PREV_KVS_TAG = b"\x1a"
_MORE = b"\x18\x01"


class Reply(NamedTuple):
    """A successful answer: `revision` is the header's, `body` all fields behind the header."""

    revision: int
    body: bytes


Outcome = Reply | RpcError
"""Equal on every member that applies the same entry, but for errors of local origin."""


def put_body(previous: bytes | None) -> bytes:
    """Return rpc.proto PutResponse without its header."""
    return b"" if previous is None else message_field(2, previous)


def delete_range_body(deleted: int, previous: Sequence[bytes]) -> bytes:
    """Return rpc.proto DeleteRangeResponse without its header."""
    return varint_field(2, deleted) + _repeated(_PREV_KVS_TAG, previous)


def range_body(result: RangeResult) -> bytes:
    """Return rpc.proto RangeResponse without its header."""
    more = _MORE if result.more else b""
    return _repeated(_KVS_TAG, result.kvs) + more + varint_field(4, result.count)


def range_kvs(kvs: Sequence[bytes]) -> bytes:
    """Return a RangeResponse that holds keys and nothing else: part of a stream."""
    return _repeated(_KVS_TAG, kvs)


def operation_header(revision: int) -> bytes:
    """Return the header field inside a transaction: it carries nothing but the revision."""
    return message_field(1, varint_field(3, revision))


def _repeated(tag: bytes, messages: Sequence[bytes]) -> bytes:
    if not messages:
        return b""
    parts: list[bytes] = []
    for message in messages:
        parts += (tag, encode_varint(len(message)), message)
    return b"".join(parts)
