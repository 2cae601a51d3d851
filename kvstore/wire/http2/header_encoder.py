"""Response fields into header blocks (RFC 7541) that cost one byte a frequent field.

The few fields that every response carries enter the peer's dynamic table once and stay there,
since nothing else is ever inserted; everything else goes as a literal. So indexes never move,
and once all frequent fields are in, the same fields always give the same bytes (`is_primed`).
"""

from collections.abc import Sequence

from hpack.table import HeaderTable

RawField = tuple[bytes, bytes]
Fields = tuple[RawField, ...]

_STATIC_PAIRS = {
    pair: index for index, pair in reversed(list(enumerate(HeaderTable.STATIC_TABLE, 1)))
}
_STATIC_NAMES = {
    name: index for index, (name, _) in reversed(list(enumerate(HeaderTable.STATIC_TABLE, 1)))
}
_FIRST_DYNAMIC = HeaderTable.STATIC_TABLE_LENGTH + 1
_ENTRY_OVERHEAD = 32


class HeaderEncoder:
    """The sending half of a connection's header compression."""

    __slots__ = (
        "_frequent",
        "_frequent_bytes",
        "_inserted",
        "_size_updates",
        "_table_bytes",
        "is_primed",
    )

    def __init__(self, frequent: Sequence[RawField]) -> None:
        self._frequent = frozenset(frequent)
        self._frequent_bytes = sum(len(n) + len(v) + _ENTRY_OVERHEAD for n, v in self._frequent)
        self._inserted: dict[RawField, int] = {}
        self._table_bytes = HeaderTable.DEFAULT_SIZE
        self._size_updates: list[int] = []
        self.is_primed = False

    def set_table_size(self, size: int) -> None:
        """Obey the peer's SETTINGS_HEADER_TABLE_SIZE; announced in the next block (§4.2)."""
        size = min(size, HeaderTable.DEFAULT_SIZE)
        if size == self._table_bytes:
            return
        # Announcing 0 first empties the peer's table, so ours starts over without evictions.
        self._size_updates = [0, size] if size else [0]
        self._table_bytes = size
        self._inserted.clear()
        self.is_primed = False

    def encode(self, fields: Fields) -> bytes:
        """Return the block; it must be sent before the next one is encoded."""
        pieces: list[bytes] = [_integer(size, 0x1F, 0x20) for size in self._size_updates]
        self._size_updates.clear()
        pieces += [self._field(field) for field in fields]
        return b"".join(pieces)

    def _field(self, field: RawField) -> bytes:
        index = _STATIC_PAIRS.get(field)
        if index is not None:
            return _integer(index, 0x7F, 0x80)
        place = self._inserted.get(field)
        if place is not None:
            return _integer(_FIRST_DYNAMIC + len(self._inserted) - 1 - place, 0x7F, 0x80)
        name, value = field
        if field in self._frequent and self._frequent_bytes <= self._table_bytes:
            self._inserted[field] = len(self._inserted)
            self.is_primed = len(self._inserted) == len(self._frequent)
            return _literal(name, value, 0x3F, 0x40)
        return _literal(name, value, 0x0F, 0x00)


def _literal(name: bytes, value: bytes, mask: int, pattern: int) -> bytes:
    index = _STATIC_NAMES.get(name, 0)
    head = _integer(index, mask, pattern)
    if not index:
        head += _integer(len(name), 0x7F, 0) + name
    return head + _integer(len(value), 0x7F, 0) + value


def _integer(value: int, mask: int, pattern: int) -> bytes:
    """Return an integer with `mask` prefix bits below `pattern` (§5.1)."""
    if value < mask:
        return bytes((pattern | value,))
    pieces = bytearray((pattern | mask,))
    value -= mask
    while value >> 7:
        pieces.append(value & 0x7F | 0x80)
        value >>= 7
    pieces.append(value)
    return bytes(pieces)
