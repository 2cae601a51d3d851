"""The header that begins every response: who answers, at which revision and term."""

from kvstore.base.ids import ClusterId, MemberId
from kvstore.wire.protobuf import message_field, varint_field


class ResponseHeaders:
    """Encoded header fields of one member; the last one is kept, as turns ask for it again."""

    __slots__ = ("_identity", "_last", "_last_of")

    def __init__(self, cluster_id: ClusterId, member_id: MemberId) -> None:
        self._identity = varint_field(1, cluster_id) + varint_field(2, member_id)
        self._last_of = (-1, -1)
        self._last = b""

    def field(self, revision: int, term: int) -> bytes:
        """Return field 1 of a response, tag and length included (rpc.proto ResponseHeader)."""
        if self._last_of != (revision, term):
            content = self._identity + varint_field(3, revision) + varint_field(4, term)
            self._last_of = (revision, term)
            self._last = message_field(1, content)
        return self._last
