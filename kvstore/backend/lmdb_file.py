"""The first pages of an LMDB 0.9 data file, read from the file itself.

A file starts with two meta pages; a commit writes the one of its transaction id's parity, and the
higher id is in force. Sizes are those of the machine that made the file (64 bit, little endian):
a file of another kind is refused, never guessed at. Source: mdb.c, MDB_page, MDB_meta and MDB_db.
"""

import struct
from pathlib import Path
from typing import NamedTuple

from kvstore.base.errors import CorruptKeyspace

DATA_FILE = "data.mdb"

MAGIC = 0xBEEFC0DE
FORMAT = 1
"""MDB_DATA_VERSION of the 0.9 engine; the 1.0 engine's is another one."""

_PAGE_HEADER_BYTES = 16
_META_FLAG = 0x08

# MDB_page: page number, padding, flags, free space; MDB_meta: magic, format, address, map size,
# two MDB_db (the free list's starts with the page size), last page number, transaction id.
_META = struct.Struct("<QHHI II QQ I44x 48x QQ")
META_BYTES = _META.size
PAGE_BYTES_MIN = 512
PAGE_BYTES_MAX = 65536


class Meta(NamedTuple):
    """One meta page, as far as it concerns us."""

    page_bytes: int
    map_bytes: int
    last_page: int
    txn_id: int


def parse_meta(page: bytes, *, number: int) -> Meta:
    """Read the meta page that stands at page `number` (0 or 1).

    Raises:
        CorruptKeyspace: it is none of LMDB 0.9's.
    """
    if len(page) < META_BYTES:
        raise CorruptKeyspace(f"meta page {number} is cut short")
    page_number, _pad, flags, _space, magic, version, _address, map_bytes, page_bytes, last, txn = (
        _META.unpack_from(page)
    )
    if magic != MAGIC or version != FORMAT:
        raise CorruptKeyspace(
            f"meta page {number}: magic {magic:#x} format {version}, expected {MAGIC:#x} {FORMAT}"
        )
    power_of_two = page_bytes & (page_bytes - 1) == 0
    if not power_of_two or not PAGE_BYTES_MIN <= page_bytes <= PAGE_BYTES_MAX:
        raise CorruptKeyspace(f"meta page {number}: page size {page_bytes}")
    if page_number != number or not flags & _META_FLAG:
        raise CorruptKeyspace(f"meta page {number}: found page {page_number}, {flags=:#x}")
    return Meta(page_bytes, map_bytes, last, txn)


def read_metas(data_file: Path) -> tuple[Meta, Meta]:
    """Read both meta pages; the page size is the one that the file names.

    Raises:
        CorruptKeyspace: either is none of LMDB 0.9's.
        FileNotFoundError: there is no such file.
    """
    with data_file.open("rb") as file:
        first = parse_meta(file.read(META_BYTES), number=0)
        file.seek(first.page_bytes)
        return first, parse_meta(file.read(META_BYTES), number=1)
