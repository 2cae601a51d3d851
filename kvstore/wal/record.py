"""The bytes of a log record, and what can be said about damaged ones. Pure. docs/formats/wal.md.

Every segment has a random id. A record begins with four bytes of it (the marker) and its CRC starts
from all of it, so that neither a recycled file nor a value that a client chose can pass for a
record. A record names the CRC of the one before, so that the records of a log form a chain; and the
position known to be durable when it was encoded, so that damage before that can be told from a
write that a power cut tore.

Positions count the record bytes of a log since its beginning, across segments.
"""

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from google_crc32c import extend

HEAD_BYTES = 48
_SEALED_FROM = 8
"""Marker and CRC come first, and are not covered by the CRC."""
_LEAD = Struct("<4sI")
_SEALED = Struct("<IIQQQBB6x")
_LENGTH_OFFSET = 12
assert _LEAD.size + _SEALED.size == HEAD_BYTES

_STATE = Struct("<QQQQ")
_LOWEST_BIT = 1


class RecordType(IntEnum):
    """What a record says."""

    ENTRY = 1
    """`index`, `term`, `kind`, data: an entry, one above the last."""
    TRUNCATION = 2
    """`index`: this entry and all above it are gone."""
    HARD_STATE = 3
    """`term`, and the vote in `index`."""
    STATE = 4
    """The base at (`index`, `term`) and all else that is not an entry; see `State`."""
    RESET = 5
    """As STATE, and no entry is left: a snapshot was installed."""


class Record(NamedTuple):
    """A record read back; `end` is the offset behind it."""

    type: int
    kind: int
    log_index: int
    term: int
    data: bytes
    previous: int
    durable: int
    crc: int
    end: int


class State(NamedTuple):
    """The data of a STATE or RESET record."""

    generation: int
    term: int
    vote: int
    last_index: int
    membership: bytes


class Seal(NamedTuple):
    """What a segment's id gives each of its records."""

    marker: bytes
    seed: int

    @classmethod
    def of(cls, segment_id: int) -> "Seal":
        """Return the seal of `segment_id`."""
        encoded = segment_id.to_bytes(8, "little")
        return cls(encoded[:4], extend(0, encoded))


def sealable(bits: int) -> int:
    """Return a segment id of 64 random `bits`: no marker may look like a run of zeros."""
    return bits | _LOWEST_BIT


def encode(  # noqa: PLR0913, PLR0917 - hot, and these are a record's fields
    seal: Seal,
    record_type: int,
    kind: int,
    index: int,
    term: int,
    data: bytes,
    previous: int,
    durable: int,
) -> tuple[bytes, int]:
    """Return (head, CRC); the record is the head followed by `data`."""
    sealed = _SEALED.pack(previous, len(data), durable, index, term, record_type, kind)
    crc = extend(extend(seal.seed, sealed), data)
    return _LEAD.pack(seal.marker, crc) + sealed, crc


def decode(seal: Seal, image: bytes, offset: int) -> Record | None:
    """Return the record at `offset` of `image`, or None if no intact one begins there."""
    if not image.startswith(seal.marker, offset) or offset + HEAD_BYTES > len(image):
        return None
    previous, length, durable, index, term, record_type, kind = _SEALED.unpack_from(
        image, offset + _SEALED_FROM
    )
    data_from = offset + HEAD_BYTES
    end = data_from + length
    if end > len(image):
        return None
    _, crc = _LEAD.unpack_from(image, offset)
    data = image[data_from:end]
    if extend(extend(seal.seed, image[offset + _SEALED_FROM : data_from]), data) != crc:
        return None
    return Record(record_type, kind, index, term, data, previous, durable, crc, end)


def watermark_beyond(seal: Seal, image: bytes, offset: int) -> int:
    """Return the highest durable position that any intact record from `offset` on tells of, or 0.

    Records are sought by their marker, since behind damage neither their places nor the chain are
    known.
    """
    highest = 0
    found = image.find(seal.marker, offset)
    while found >= 0:
        record = decode(seal, image, found)
        if record is not None:
            highest = max(highest, record.durable)
        found = image.find(seal.marker, record.end if record is not None else found + 1)
    return highest


def encode_state(state: State) -> bytes:
    """Return the data of a STATE or RESET record."""
    return _STATE.pack(state.generation, state.term, state.vote, state.last_index) + (
        state.membership
    )


def decode_state(data: bytes) -> State | None:
    """Return the state in `data`, or None if it is too short to be one."""
    if len(data) < _STATE.size:
        return None
    generation, term, vote, last_index = _STATE.unpack_from(data)
    return State(generation, term, vote, last_index, data[_STATE.size :])
