"""Reading a log back: what it holds, where it ends, and whether damage is a torn tail or a loss.

The chain of records is followed from the oldest segment until it ends. Everything behind the end is
then searched for intact records, for the highest durable position that any of them tells of. Is
that position behind the end, something promised is lost: `CorruptWal`. Otherwise whatever lies
behind the end was never promised, and is cut.

Nothing is written here: `Recovery` says what is to be cut, `WriteAheadLog.open` does it.
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kvstore.base.errors import CorruptWal
from kvstore.wal.disk import Disk
from kvstore.wal.record import (
    Record,
    RecordType,
    decode,
    decode_state,
    watermark_beyond,
)
from kvstore.wal.segment import (
    HEADER_BYTES,
    SUFFIX,
    Segment,
    WalIdentity,
    parse_header,
    segment_name,
)

MAX_INDEX = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class WalBase:
    """Where the log begins: entries at or below `index` are in the keyspace only."""

    index: int
    term: int
    membership: bytes
    """The membership at `index`, as whoever appended it encoded it."""
    generation: int
    """The keyspace directory in force."""


NO_BASE = WalBase(0, 0, b"", 0)


class WalEntry(NamedTuple):
    """An entry of the replicated log."""

    log_index: int
    term: int
    kind: int
    data: bytes


@dataclass(slots=True, kw_only=True)
class Recovery:
    """A log as read back."""

    base: WalBase
    entries: list[WalEntry]
    term: int
    vote: int
    last_index: int
    segments: list[Segment]
    """Oldest first; the last one is where the log goes on."""
    last_crc: int
    watermark: int
    """The highest position known to be durable."""
    dirty_until: int
    """Offset in the last segment's records behind which all is zero."""
    missing_bytes: int
    """How much the last segment's file is shorter than it should be."""
    dropped: list[Path]
    """Segments behind the end; to be removed, the newest first."""
    notes: list[str]


def recover(
    directory: Path, names: list[str], disk: Disk, identity: WalIdentity
) -> Recovery | None:
    """Return what the log in `directory` holds, or None if none was ever completed there.

    Raises:
        CorruptWal: something that was promised is gone; names the file and the offset.
        WrongDataDirectory: the log is another's.
    """
    paths = [directory / name for name in _segment_names(directory, names)]
    if not paths:
        return None
    replay = _Replay()
    segments: list[Segment] = []
    dropped: list[Path] = []
    position = crc = watermark = tail_length = tail_until = 0
    for path in paths:
        image = disk.read(path)
        segment = parse_header(path, image, identity)
        if not segments:
            position, crc = segment.start, segment.previous
        if dropped or (segment.start, segment.previous) != (position, crc):
            watermark = max(watermark, watermark_beyond(segment.seal, image, HEADER_BYTES))
            dropped.append(path)
            continue
        crc, promised = _follow(replay, path, image, segment, crc)
        watermark = max(watermark, promised)
        position = segment.end
        segments.append(segment)
        tail_length, tail_until = len(image), len(image.rstrip(b"\0"))
    tail = segments[-1]
    if watermark > position:
        raise CorruptWal(
            f"{directory / tail.name}: offset {HEADER_BYTES + tail.used}: damaged, "
            f"though {watermark - position} bytes from there on were durable"
        )
    if tail.used == 0:
        if len(segments) == 1:
            _check_never_completed(directory, tail)
            return None
        # It broke before its state record; without one it must not hold anything.
        dropped.insert(0, directory / tail.name)
        segments.pop()
        tail = segments[-1]
        tail_length = tail_until = HEADER_BYTES + tail.capacity
    notes = []
    if tail_until > HEADER_BYTES + tail.used or dropped:
        notes.append(
            f"{directory / tail.name}: offset {HEADER_BYTES + tail.used}: "
            "cut off what follows: it was never acknowledged"
        )
    replay.check(directory)
    return Recovery(
        base=replay.base,
        entries=[entry for entry in replay.entries if entry.log_index > replay.base.index],
        term=replay.term,
        vote=replay.vote,
        last_index=replay.last_index,
        segments=segments,
        last_crc=crc,
        watermark=watermark,
        dirty_until=max(0, tail_until - HEADER_BYTES),
        missing_bytes=max(0, HEADER_BYTES + tail.capacity - tail_length),
        dropped=dropped,
        notes=notes,
    )


def _segment_names(directory: Path, names: list[str]) -> list[str]:
    found = sorted(name for name in names if name.endswith(SUFFIX))
    for older, newer in itertools.pairwise(found):
        try:
            expected = segment_name(int(older.removesuffix(SUFFIX), 16) + 1)
        except ValueError:
            raise CorruptWal(f"{directory / older}: not the name of a log segment") from None
        if newer != expected:
            # Segments come and go one by one, each step durable before the next.
            raise CorruptWal(f"{directory / expected}: missing, though {newer} is there")
    return found


def _follow(
    replay: "_Replay", path: Path, image: bytes, segment: Segment, crc: int
) -> tuple[int, int]:
    """Replay the segment's chain of records; return its last CRC and the highest watermark."""
    segment.last_index_before = replay.last_index if replay.first_present else MAX_INDEX
    replay.segments.append(segment)
    offset = HEADER_BYTES
    promised = 0
    while (record := decode(segment.seal, image, offset)) is not None and record.previous == crc:
        problem = replay.apply(record)
        if problem:
            raise CorruptWal(f"{path}: offset {offset}: {problem}")
        promised = max(promised, record.durable)
        crc, offset = record.crc, record.end
    segment.used = offset - HEADER_BYTES
    return crc, max(promised, watermark_beyond(segment.seal, image, offset))


def _check_never_completed(directory: Path, segment: Segment) -> None:
    """Accept that a log's very first record is missing: then nothing was ever promised."""
    if segment.start:
        raise CorruptWal(
            f"{directory / segment.name}: offset {HEADER_BYTES}: damaged, "
            "and what it continued was already given up"
        )


@dataclass(slots=True)
class _Replay:
    """The state that a chain of records describes."""

    base: WalBase = NO_BASE
    entries: list[WalEntry] = field(default_factory=list)
    """From `first_present` to `last_index`, without gaps."""
    first_present: int = 0
    """0 before the first record."""
    last_index: int = 0
    term: int = 0
    vote: int = 0
    segments: list[Segment] = field(default_factory=list)

    def apply(self, record: Record) -> str:
        """Take one record; return what contradicts it, or an empty text."""
        if not self.first_present and record.type != RecordType.STATE:
            return "the oldest segment does not begin with a state record"
        match record.type:
            case RecordType.ENTRY:
                return self._entry(record)
            case RecordType.TRUNCATION:
                return self._truncation(record.log_index)
            case RecordType.HARD_STATE:
                self.term, self.vote = record.term, record.log_index
                return ""
            case RecordType.STATE | RecordType.RESET:
                return self._state(record)
            case unknown:
                return f"unknown record type {unknown}"

    def check(self, directory: Path) -> None:
        """Raise CorruptWal if entries above the base are in no segment."""
        if self.base.index + 1 < self.first_present:
            raise CorruptWal(
                f"{directory}: entries {self.base.index + 1} to {self.first_present - 1} are "
                "missing: their segment is gone"
            )

    def _entry(self, record: Record) -> str:
        if record.log_index != self.last_index + 1:
            return f"entry {record.log_index} follows entry {self.last_index}"
        self.entries.append(WalEntry(record.log_index, record.term, record.kind, record.data))
        self.last_index = record.log_index
        return ""

    def _truncation(self, index: int) -> str:
        if index <= self.base.index:
            return f"truncation at {index}, at or below the base {self.base.index}"
        lower_last_index(self.segments, index - 1)
        del self.entries[max(0, index - self.first_present) :]
        self.first_present = min(self.first_present, index)
        self.last_index = min(self.last_index, index - 1)
        return ""

    def _state(self, record: Record) -> str:
        state = decode_state(record.data)
        if state is None:
            return "a state record that is too short"
        if not self.first_present:
            self.last_index = state.last_index
            self.first_present = state.last_index + 1
            lower_last_index(self.segments, state.last_index)
        if state.last_index != self.last_index:
            return f"state of a log that ends at {state.last_index}, not at {self.last_index}"
        if record.type == RecordType.RESET:
            self.entries.clear()
            self.last_index = record.log_index
            self.first_present = record.log_index + 1
            lower_last_index(self.segments, 0)
        elif record.log_index > self.last_index:
            return f"base {record.log_index} above the last entry {self.last_index}"
        self.base = WalBase(record.log_index, record.term, state.membership, state.generation)
        self.term, self.vote = state.term, state.vote
        return ""


def lower_last_index(segments: list[Segment], last_index: int) -> None:
    """Note that older segments hold nothing above `last_index` that still counts."""
    for segment in segments:
        segment.last_index_before = min(segment.last_index_before, last_index)
