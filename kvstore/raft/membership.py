"""Who takes part: the bytes of a `Membership`, and which changes are safe.

A membership entry holds the whole configuration, so that none needs the ones before it. It is in
force as soon as it is in the log (Raft thesis §4.1); with one voter added or removed at a time, any
majority of the old configuration meets any majority of the new one.
"""

from struct import Struct, error

from kvstore.base.errors import ProtocolError
from kvstore.base.ids import MemberId
from kvstore.raft.consensus import Membership

_FORMAT = 2
_HEAD = Struct("<BIIIII")
_HEAD_1 = Struct("<BIIII")
"""Of format 1, which knew no joining members."""
_ID = Struct("<Q")
_URLS = Struct("<QI")
_LENGTH = Struct("<I")
_VOTERS_CHANGED_MAX = 1


def encode_membership(membership: Membership) -> bytes:
    """Return the bytes of `membership`; equal memberships give equal bytes."""
    parts = [
        _HEAD.pack(
            _FORMAT,
            len(membership.voters),
            len(membership.learners),
            len(membership.removed),
            len(membership.peer_urls),
            len(membership.joining),
        )
    ]
    for ids in (membership.voters, membership.learners, membership.removed, membership.joining):
        parts.extend(_ID.pack(member) for member in sorted(ids))
    for member in sorted(membership.peer_urls):
        urls = membership.peer_urls[member]
        parts.append(_URLS.pack(member, len(urls)))
        for url in urls:
            encoded = url.encode()
            parts.append(_LENGTH.pack(len(encoded)) + encoded)
    return b"".join(parts)


def decode_membership(data: bytes) -> Membership:
    """Return the membership that `data` encodes.

    Raises:
        ProtocolError: it is no such encoding.
    """
    try:
        return _Reader(data).membership()
    except (error, UnicodeDecodeError) as problem:
        raise ProtocolError(f"malformed membership: {problem}") from problem


def problem_with_change(old: Membership, new: Membership) -> str | None:
    """Return why going from `old` to `new` in one step is not safe, or None if it is."""
    if not new.voters:
        return "no voter would be left"
    if new.voters & (new.learners | new.joining) or new.joining - new.learners:
        return "a member is both voter and learner, or joins without being a learner"
    if len(new.voters ^ old.voters) > _VOTERS_CHANGED_MAX:
        return "more than one voter would change"
    if new.members & (old.removed | new.removed):
        return "a removed member would come back"
    if old.members - new.members - new.removed:
        return "a member would leave without being listed as removed"
    return None


class _Reader:
    """Takes an encoded membership apart, front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def membership(self) -> Membership:
        if self._data[:1] == b"\x01":
            _, voters, learners, removed, with_urls = self._take(_HEAD_1)
            joining = 0
        else:
            file_format, voters, learners, removed, with_urls, joining = self._take(_HEAD)
            if file_format != _FORMAT:
                raise ProtocolError(f"membership of unknown format {file_format}")
        result = Membership(
            voters=self._ids(voters),
            learners=self._ids(learners),
            removed=self._ids(removed),
            joining=self._ids(joining),
            peer_urls=dict(self._member_urls() for _ in range(with_urls)),
        )
        if self._at != len(self._data):
            raise ProtocolError("malformed membership: bytes left over")
        return result

    def _take(self, struct: Struct) -> tuple[int, ...]:
        values: tuple[int, ...] = struct.unpack_from(self._data, self._at)
        self._at += struct.size
        return values

    def _ids(self, count: int) -> frozenset[MemberId]:
        if count * _ID.size > len(self._data):
            raise ProtocolError("malformed membership: too short")
        return frozenset(MemberId(self._take(_ID)[0]) for _ in range(count))

    def _member_urls(self) -> tuple[MemberId, tuple[str, ...]]:
        member, count = self._take(_URLS)
        return MemberId(member), tuple(self._url() for _ in range(count))

    def _url(self) -> str:
        (length,) = self._take(_LENGTH)
        encoded = self._data[self._at : self._at + length]
        if len(encoded) != length:
            raise ProtocolError("malformed membership: too short")
        self._at += length
        return encoded.decode()
