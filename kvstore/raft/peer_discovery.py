"""How a member that joins learns of its cluster: one question on a peer port, before any hello.

    question := kind 5 (u8) magic (8 bytes) version (u16)
    answer   := kind 6 (u8) cluster id (u64) membership     (kvstore.raft.membership)

Both are control messages in the frames of `peer_session`. The answer is the membership that the
asked member has applied, so it is committed, and holds the one that joins if that was added before.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterable
from struct import Struct
from typing import NamedTuple

from kvstore.base.errors import ProtocolError
from kvstore.base.ids import ClusterId
from kvstore.raft.consensus import Membership
from kvstore.raft.membership import decode_membership, encode_membership
from kvstore.raft.peer_address import PeerAddress
from kvstore.raft.peer_session import (
    DESCRIPTION_KIND,
    FRAME,
    QUESTION,
    Channel,
    control_frame,
    frame_payload,
)

_CLUSTER = Struct("<Q")
_ANSWER_BYTES_MAX = 256 * 1024


class ClusterDescription(NamedTuple):
    """Which cluster a member belongs to, and who else does."""

    cluster_id: ClusterId
    membership: Membership

    def encode(self) -> bytes:
        """Return the answer's bytes behind its kind."""
        return _CLUSTER.pack(self.cluster_id) + encode_membership(self.membership)

    @classmethod
    def decode(cls, data: bytes) -> "ClusterDescription":
        """Decode an answer.

        Raises:
            ProtocolError: it is none.
        """
        if len(data) < _CLUSTER.size:
            raise ProtocolError("malformed description of a cluster")
        (cluster_id,) = _CLUSTER.unpack_from(data)
        return cls(ClusterId(cluster_id), decode_membership(data[_CLUSTER.size :]))


class CannotDescribe(Exception):
    """No member could be asked; the text says why, for each."""


async def describe_cluster(
    urls: Iterable[str],
    context_for: Callable[[PeerAddress], ssl.SSLContext | None],
    *,
    timeout_s: float,
) -> ClusterDescription:
    """Ask the members at `urls`, one after the other; `timeout_s` is for each.

    Raises:
        CannotDescribe: none of them answers.
    """
    problems = []
    for url in urls:
        try:
            async with asyncio.timeout(timeout_s):
                return await _ask(PeerAddress.of(url), context_for)
        except (OSError, EOFError, TimeoutError, ProtocolError, ValueError) as problem:
            problems.append(f"{url}: {str(problem) or type(problem).__name__}")
    raise CannotDescribe("; ".join(problems) or "there is no other member to ask")


async def _ask(
    address: PeerAddress, context_for: Callable[[PeerAddress], ssl.SSLContext | None]
) -> ClusterDescription:
    if address.is_unix:
        reader, writer = await asyncio.open_unix_connection(address.host)
    else:
        reader, writer = await asyncio.open_connection(
            address.host, address.port, ssl=context_for(address)
        )
    try:
        writer.write(control_frame(QUESTION))
        head = await reader.readexactly(FRAME.size)
        length = FRAME.unpack(head)[0]
        if length > _ANSWER_BYTES_MAX:
            raise ProtocolError(f"description of {length} bytes")
        channel, payload = frame_payload(head, await reader.readexactly(length))
        if channel != Channel.CONTROL or payload[:1] != bytes([DESCRIPTION_KIND]):
            raise ProtocolError("it does not describe its cluster")
        return ClusterDescription.decode(payload[1:])
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
