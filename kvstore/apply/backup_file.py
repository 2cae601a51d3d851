"""A snapshot as a file that an operator keeps: the stream of `snapshot`, framed and sealed.

    file   = "kvst-bak" (8) format version (4) frame* 0 (4) padding SHA-256 (32)
    frame  = length (4) chunk                                 little endian; chunks of `snapshot`

The padding makes what is in front of the checksum a multiple of 512 bytes, which etcdctl checks.
The checksum is over everything before it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Protocol

from kvstore.apply.snapshot import CorruptSnapshot

_HEAD = Struct("<8sI")
_LENGTH = Struct("<I")
_MAGIC, _FORMAT = b"kvst-bak", 1
_BLOCK_BYTES = 512
_CHUNK_BYTES_MAX = 16 * 1024 * 1024
_READ_BYTES = 1024 * 1024
DIGEST_BYTES = 32


class Progress(Protocol):
    """Is told how many bytes more have been read."""

    def __call__(self, count: int, /) -> None: ...


def framed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the file's bytes, a piece a chunk, up to and with the checksum."""
    digest = hashlib.sha256()
    size = 0

    def passed(piece: bytes) -> bytes:
        nonlocal size
        size += len(piece)
        digest.update(piece)
        return piece

    yield passed(_HEAD.pack(_MAGIC, _FORMAT))
    for chunk in chunks:
        yield passed(_LENGTH.pack(len(chunk)) + chunk)
    end = _LENGTH.pack(0)
    yield passed(end + b"\0" * (-(size + len(end)) % _BLOCK_BYTES))
    yield digest.digest()


def check_digest(path: Path, progress: Progress) -> None:
    """Compare a file with its checksum.

    Raises:
        CorruptSnapshot: it has none, or another.
    """
    size = path.stat().st_size
    if size % _BLOCK_BYTES != DIGEST_BYTES:
        raise CorruptSnapshot(f"{path}: {size} bytes: it is cut short, or holds no checksum")
    digest = hashlib.sha256()
    left = size - DIGEST_BYTES
    with path.open("rb") as file:
        while left:
            data = file.read(min(left, _READ_BYTES))
            digest.update(data)
            left -= len(data)
            progress(len(data))
        if file.read() != digest.digest():
            raise CorruptSnapshot(f"{path}: its checksum is wrong: the file is damaged")


def chunks_of(path: Path) -> Iterator[bytes]:
    """Yield the chunks in a file.

    Raises:
        CorruptSnapshot: it is no backup of ours, or is cut short.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size or head[:8] != _MAGIC:
            raise CorruptSnapshot(
                f"{path}: not a snapshot of kvstore's (etcd's own are imported by `kvstore import`)"
            )
        if _HEAD.unpack(head)[1] != _FORMAT:
            raise CorruptSnapshot(f"{path}: format version {_HEAD.unpack(head)[1]}")
        while (length := _LENGTH.unpack(_exactly(file, _LENGTH.size))[0]) > 0:
            if length > _CHUNK_BYTES_MAX:
                raise CorruptSnapshot(f"{path}: a chunk of {length} bytes")
            yield _exactly(file, length)


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise CorruptSnapshot("the file is cut short")
    return data
