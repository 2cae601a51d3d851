"""The header that begins every response: who answers, at which revision and term."""

from collections.abc import Sequence

from kvstore.base.ids import ClusterId, MemberId
from kvstore.wire.protobuf import SMALL_VARINTS, encode_varint, message_field, varint_field


class ResponseHeaders:
    """Encoded header fields of one member; what rarely changes of them is kept."""

    __slots__ = ("_identity", "_term", "_term_field")

    def __init__(self, cluster_id: ClusterId, member_id: MemberId) -> None:
        self._identity = varint_field(1, cluster_id) + varint_field(2, member_id)
        self._term = 0
        self._term_field = b""

    def field(self, revision: int, term: int) -> bytes:
        """Return field 1 of a response, tag and length included (rpc.proto ResponseHeader)."""
        self._know(term)
        if not revision:
            return message_field(1, self._identity + self._term_field)
        content = b"%b\x18%b%b" % (self._identity, encode_varint(revision), self._term_field)
        return b"\x0a%b%b" % (encode_varint(len(content)), content)

    def fields(self, revisions: Sequence[int], term: int) -> list[bytes]:
        """Return `field` of each revision above 0."""
        self._know(term)
        identity, term_field = self._identity, self._term_field
        contents = [
            b"%b\x18%b%b" % (identity, varint, term_field)
            for varint in map(encode_varint, revisions)
        ]
        return [b"\x0a%b%b" % (SMALL_VARINTS[len(content)], content) for content in contents]

    def _know(self, term: int) -> None:
        if term != self._term:
            self._term = term
            self._term_field = varint_field(4, term)
