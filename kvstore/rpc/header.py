"""The header that begins every response: who answers, at which revision and term."""

from kvstore.base.ids import ClusterId, MemberId
from kvstore.wire.protobuf import encode_varint, message_field, varint_field


class ResponseHeaders:
    """Encoded header fields of one member; what rarely changes of them is kept."""

    __slots__ = ("_identity", "_term", "_term_field")

    def __init__(self, cluster_id: ClusterId, member_id: MemberId) -> None:
        self._identity = varint_field(1, cluster_id) + varint_field(2, member_id)
        self._term = 0
        self._term_field = b""

    def field(self, revision: int, term: int) -> bytes:
        """Return field 1 of a response, tag and length included (rpc.proto ResponseHeader)."""
        if term != self._term:
            self._term = term
            self._term_field = varint_field(4, term)
        if not revision:
            return message_field(1, self._identity + self._term_field)
        content = b"%b\x18%b%b" % (self._identity, encode_varint(revision), self._term_field)
        return b"\x0a%b%b" % (encode_varint(len(content)), content)
