"""One file of the log: an identifying header, then records, then zeros.

A segment's file is allocated, filled with zeros and synced before its first record, so that a
record overwrites bytes that the filesystem already maps, and its sync writes no metadata. It takes
its final name only once its header is durable: a file named `*.wal` with a damaged header is
therefore never the trace of a crash.
"""

from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct

from google_crc32c import extend

from kvstore.base import failpoint
from kvstore.base.errors import CorruptWal, WrongDataDirectory
from kvstore.base.ids import ClusterId, MemberId
from kvstore.wal.disk import Disk, DiskFile
from kvstore.wal.record import Seal

FORMAT_VERSION = 1
HEADER_BYTES = 4096
"""A page of its own: writing records never touches the sector that holds the header."""
SUFFIX = ".wal"

_MAGIC = b"kvst-wal"
_LEAD = Struct("<8sI")
_HEADER = Struct("<8sIIQQQQQQ")


@dataclass(frozen=True, slots=True)
class WalIdentity:
    """Whose log it is; in the header of every segment."""

    cluster_id: ClusterId
    member_id: MemberId


@dataclass(slots=True, kw_only=True)
class Segment:
    """A segment as the event loop accounts for it; `file` belongs to whoever runs its jobs."""

    identity: WalIdentity
    sequence: int
    segment_id: int
    start: int
    """Position of the first record."""
    previous: int
    """CRC of the last record of the segment before."""
    capacity: int
    """Bytes for records."""
    last_index_before: int
    """Highest entry that only older segments hold: they may go once the base is past it."""
    used: int = 0
    seal: Seal = field(init=False)
    file: DiskFile | None = None

    def __post_init__(self) -> None:
        self.seal = Seal.of(self.segment_id)

    @property
    def name(self) -> str:
        """The file's name."""
        return segment_name(self.sequence)

    @property
    def end(self) -> int:
        """Position behind the last record."""
        return self.start + self.used

    def create(self, disk: Disk, directory: Path, blank: Path) -> None:
        """Turn `blank`, an all-zero durable file of the right size, into this segment."""
        file = self.file = disk.open(blank)
        file.write(self._header(), 0)
        file.sync()
        failpoint.hit("wal_before_rename")
        disk.rename(blank, directory / self.name)
        disk.sync_directory(directory)
        failpoint.hit("wal_after_rename")

    def write(self, data: bytes, offset: int) -> None:
        """Write record bytes at `offset` behind the header; they are not durable yet."""
        assert self.file is not None
        self.file.write(data, HEADER_BYTES + offset)

    def write_durably(self, data: bytes, offset: int) -> None:
        """Write record bytes, durable on return."""
        assert self.file is not None
        self.file.write_durably(data, HEADER_BYTES + offset)

    def sync(self) -> None:
        """Make durable what was written."""
        assert self.file is not None
        self.file.sync()

    def close(self) -> None:
        """Release the file."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def _header(self) -> bytes:
        header: bytes = _HEADER.pack(
            _MAGIC,
            FORMAT_VERSION,
            self.previous,
            self.segment_id,
            self.sequence,
            self.identity.cluster_id,
            self.identity.member_id,
            self.start,
            self.capacity,
        )
        crc: int = extend(0, header)
        return header + crc.to_bytes(4, "little")


def segment_name(sequence: int) -> str:
    """Return the file name of segment `sequence`; names sort as numbers do."""
    return f"{sequence:016x}{SUFFIX}"


def parse_header(path: Path, image: bytes, identity: WalIdentity) -> Segment:
    """Return the segment that the file `path` with content `image` says to be.

    Raises:
        CorruptWal: it has no intact header.
        WrongDataDirectory: it is of another format version, cluster or member.
    """
    if len(image) < HEADER_BYTES or not image.startswith(_MAGIC):
        raise CorruptWal(f"{path}: offset 0: no header of a log segment")
    _, version = _LEAD.unpack_from(image)
    if version != FORMAT_VERSION:
        raise WrongDataDirectory(
            f"{path}: log format version {version}; this program reads version {FORMAT_VERSION}"
        )
    _, _, previous, segment_id, sequence, cluster, member, start, capacity = _HEADER.unpack_from(
        image
    )
    crc = int.from_bytes(image[_HEADER.size : _HEADER.size + 4], "little")
    if extend(0, image[: _HEADER.size]) != crc:
        raise CorruptWal(f"{path}: offset 0: the header's checksum does not match")
    if cluster != identity.cluster_id:
        raise WrongDataDirectory(
            f"{path}: belongs to cluster {cluster:x}, not to {identity.cluster_id:x}"
        )
    if member != identity.member_id:
        raise WrongDataDirectory(
            f"{path}: belongs to member {member:x}, not to {identity.member_id:x}"
        )
    if path.name != segment_name(sequence):
        raise CorruptWal(f"{path}: offset 0: the header is that of {segment_name(sequence)}")
    return Segment(
        identity=identity,
        sequence=sequence,
        segment_id=segment_id,
        start=start,
        previous=previous,
        capacity=capacity,
        last_index_before=0,
    )


def make_blank(disk: Disk, path: Path, capacity: int) -> None:
    """Make `path` a durable, all-zero file with room for a header and `capacity` bytes of records.

    A crash in between leaves a file that is not a segment by its name; opening the log removes it.
    """
    file = disk.create(path)
    try:
        _blank(file, capacity)
    finally:
        file.close()
    disk.sync_directory(path.parent)


def blank_again(disk: Disk, path: Path, capacity: int) -> None:
    """Zero a retired segment for reuse: no old record may be found behind new ones."""
    file = disk.open(path)
    try:
        _blank(file, capacity)
    finally:
        file.close()


def _blank(file: DiskFile, capacity: int) -> None:
    file.allocate(HEADER_BYTES + capacity)
    file.write_zeros(0, HEADER_BYTES + capacity)
    failpoint.hit("wal_before_blank_sync")
    file.sync()
