"""Header blocks into header fields (RFC 7541), fast when every block changes the table.

grpc-go inserts each call's `grpc-timeout` into the dynamic table, so a cache of whole blocks is not
enough. A field is checked and classified once, when it enters the table; a block of indexed fields
then costs about 0.1 µs a field, against 1 µs in the `hpack` library, whose tables and Huffman code
are used here. Tests hold this decoder against the library's.
"""

import re
from collections import deque

from hpack.exceptions import HPACKDecodingError
from hpack.table import HeaderTable

from kvstore.wire.http2.errors import ConnectionFailed, ErrorCode, HeaderListTooLarge
from kvstore.wire.http2.huffman import decoded

REGULAR, METHOD, SCHEME, AUTHORITY, PATH, MALFORMED = range(6)

Field = tuple[int, str, str, int]
"""Kind, name, value (both latin-1), size by RFC 7541 §4.1. A plain tuple: one is made a literal."""

TABLE_BYTES_MAX = HeaderTable.DEFAULT_SIZE
"""The dynamic table that peers may use with us: the protocol's default."""

_FIRST_DYNAMIC = HeaderTable.STATIC_TABLE_LENGTH + 1
_ENTRY_OVERHEAD = 32
_INDEXED = 0x80
_INDEXED_MASK = 0x7F
_INSERTED = 0x40
_INSERTED_MASK = 0x3F
_RESIZED = 0x20
_RESIZED_MASK = 0x1F
_LITERAL_MASK = 0x0F
_HUFFMAN = 0x80
_LENGTH_MASK = 0x7F
_CONTINUED = 0x80
_INTEGER_BYTES_MAX = 4
_NAMES_MAX = 1024
_KINDS = {":method": METHOD, ":scheme": SCHEME, ":authority": AUTHORITY, ":path": PATH}
_KINDS |= dict.fromkeys(
    ("connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"), MALFORMED
)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_BAD_VALUE = re.compile(r"[\0\r\n]|^[ \t]|[ \t]\Z").search


_names: dict[bytes, tuple[int, str]] = {}


def field_of(name: bytes, value: bytes) -> Field:
    """Return the field with its kind; what RFC 9113 §8.2 forbids has the kind MALFORMED."""
    known = _names.get(name)
    if known is None:
        known = _kind_and_text(name)
    kind, name_text = known
    value_text = value.decode("latin-1")
    # Printable ASCII without spaces needs no closer look.
    if not (value_text.isascii() and value_text.isprintable() and " " not in value_text) and (
        _BAD_VALUE(value_text) is not None
    ):
        kind = MALFORMED
    if name == b"te" and value != b"trailers":
        kind = MALFORMED
    return (kind, name_text, value_text, len(name) + len(value) + _ENTRY_OVERHEAD)


def _kind_and_text(name: bytes) -> tuple[int, str]:
    text = name.decode("latin-1")
    kind = _KINDS.get(text)
    if kind is None:
        kind = REGULAR if _NAME(text) is not None else MALFORMED
    if len(_names) < _NAMES_MAX:
        _names[name] = (kind, text)
    return kind, text


_STATIC = [field_of(name, value) for name, value in HeaderTable.STATIC_TABLE]
_STATIC_NAMES = [name for name, _ in HeaderTable.STATIC_TABLE]


class HeaderDecoder:
    """The receiving half of a connection's header compression.

    `version` changes whenever the dynamic table does: the same block decoded at the same version
    gives the same fields, which is what makes a cache of blocks safe.
    """

    __slots__ = ("_bytes", "_bytes_max", "_entries", "_list_bytes_max", "_names", "version")

    def __init__(self, *, list_bytes_max: int) -> None:
        self.version = 0
        self._entries: deque[Field] = deque()
        self._names: deque[bytes] = deque()
        self._bytes = 0
        self._bytes_max = TABLE_BYTES_MAX
        self._list_bytes_max = list_bytes_max

    def decode(self, block: bytes) -> list[Field]:
        """Return the fields of `block` in order.

        Raises:
            ConnectionFailed: the block is no header block; the tables no longer agree.
            HeaderListTooLarge: over the limit, but wholly decoded: the connection can go on.
        """
        try:
            return self._decode(block)
        except (IndexError, HPACKDecodingError) as error:
            raise ConnectionFailed(ErrorCode.COMPRESSION_ERROR, "header block") from error

    def _decode(self, block: bytes) -> list[Field]:  # noqa: C901 - one loop over RFC 7541 §6
        fields: list[Field] = []
        entries = self._entries
        position = size = 0
        end = len(block)
        size_max = self._list_bytes_max
        while position < end:
            byte = block[position]
            if byte >= _INDEXED:
                index = byte & _INDEXED_MASK
                position += 1
                if index == _INDEXED_MASK:
                    index, position = _integer(block, position, index)
                if index >= _FIRST_DYNAMIC:
                    field = entries[index - _FIRST_DYNAMIC]
                elif index:
                    field = _STATIC[index - 1]
                else:
                    raise HPACKDecodingError("index 0")
            elif byte >= _INSERTED:
                field, name, position = self._literal(block, position, _INSERTED_MASK)
                self._insert(field, name)
            elif byte >= _RESIZED:
                if size:
                    raise HPACKDecodingError("table size update after a field")
                position = self._resize(block, position)
                continue
            else:
                field, _, position = self._literal(block, position, _LITERAL_MASK)
            size += field[3]
            if size <= size_max:
                fields.append(field)
        if size > size_max:
            raise HeaderListTooLarge(f"{size} bytes")
        return fields

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[Field, bytes, int]:
        index = block[position] & mask
        position += 1
        if index == mask:
            index, position = _integer(block, position, mask)
        if index >= _FIRST_DYNAMIC:
            name = self._names[index - _FIRST_DYNAMIC]
        elif index:
            name = _STATIC_NAMES[index - 1]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return field_of(name, value), name, position

    def _insert(self, field: Field, name: bytes) -> None:
        self.version += 1
        self._entries.appendleft(field)
        self._names.appendleft(name)
        self._bytes += field[3]
        self._evict()

    def _resize(self, block: bytes, position: int) -> int:
        size = block[position] & _RESIZED_MASK
        position += 1
        if size == _RESIZED_MASK:
            size, position = _integer(block, position, size)
        if size > TABLE_BYTES_MAX:
            raise HPACKDecodingError("table size over our setting")
        self.version += 1
        self._bytes_max = size
        self._evict()
        return position

    def _evict(self) -> None:
        while self._bytes > self._bytes_max:
            self._bytes -= self._entries.pop()[3]
            self._names.pop()


def _integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
    """Return (value, next position) of an integer whose prefix bits were all ones (§5.1)."""
    value = prefix
    for shift in range(0, 7 * _INTEGER_BYTES_MAX, 7):
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if byte < _CONTINUED:
            return value, position
    raise HPACKDecodingError("integer too long")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    first = block[position]
    length = first & _LENGTH_MASK
    position += 1
    if length == _LENGTH_MASK:
        length, position = _integer(block, position, length)
    end = position + length
    raw = block[position:end]
    if len(raw) != length:
        raise HPACKDecodingError("truncated string")
    if first < _HUFFMAN:
        return raw, end
    return decoded(raw), end
