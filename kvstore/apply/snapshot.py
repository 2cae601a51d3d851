"""The whole keyspace at one index, as a stream of chunks, and built again from one.

    stream = head chunk, item chunks, end chunk          (docs/formats/snapshot.md)

Each chunk's CRC32C continues the one before, so the last seals the whole stream: a chunk that is
lost, repeated, altered or out of order is noticed at once. Both sides work in steps of one chunk,
so the loop can do other things in between.

The builder writes into an empty backend, in the next generation's directory. Until it has finished
and its backend is durable, nothing names that directory, and starting anew removes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from google_crc32c import extend

from kvstore.apply import meta
from kvstore.backend.backend import KEY_BYTES_MAX, Backend, ReadTxn
from kvstore.backend.schema import Tree
from kvstore.base.errors import ProtocolError
from kvstore.base.ids import ClusterId, LogIndex, Term

FORMAT_VERSION = 1

_HEAD_CHUNK, _ITEMS_CHUNK, _END_CHUNK = 1, 2, 3
_CHUNK = Struct("<BI")
"""Kind, and CRC32C of the body continuing the CRC of the chunk before."""
_MAGIC = b"kvst-snp"
_HEAD = Struct("<8sIQQQII")
"""Magic, format version, cluster id, index, term, bytes of the membership, number of trees."""
_TREE = Struct("<IQ")
"""Bytes of its name, and number of its items."""
_ITEM = Struct("<II")
"""Bytes of the key and of the value."""
_END = Struct("<QQ")
"""Number of items, and bytes of all item chunks' bodies."""

_CHUNK_BYTES_MIN = 64


class CorruptSnapshot(ProtocolError):
    """A snapshot is damaged, incomplete, of another cluster or of an unknown format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotHead:
    """What a snapshot is of."""

    cluster_id: ClusterId
    index: LogIndex
    """The last entry applied to it."""
    term: Term
    """That entry's term."""
    membership: bytes
    """The encoded membership at `index`; not a newer one."""


def head_of(txn: ReadTxn, cluster_id: ClusterId, membership: bytes) -> SnapshotHead:
    """Return the head of a snapshot of what `txn` sees."""
    applied = meta.applied(txn)
    return SnapshotHead(
        cluster_id=cluster_id, index=applied.index, term=applied.term, membership=membership
    )


def snapshot_chunks(txn: ReadTxn, head: SnapshotHead, *, chunk_bytes_max: int) -> Iterator[bytes]:
    """Yield the stream of everything that `txn` sees; the caller closes `txn` after the end.

    No chunk but the head (membership and tree names) exceeds `chunk_bytes_max`.
    """
    assert chunk_bytes_max >= _CHUNK_BYTES_MIN
    room = chunk_bytes_max - _CHUNK.size
    chunk, crc = _seal(_HEAD_CHUNK, _encode_head(txn, head), 0)
    yield chunk
    items = total = 0
    parts: list[bytes] = []
    size = 0
    for tree in Tree:
        for key, value in txn.scan(tree):
            items += 1
            parts += (_ITEM.pack(len(key), len(value)), key, value)
            size += _ITEM.size + len(key) + len(value)
            if size < room:
                continue
            pending = b"".join(parts)
            offset = 0
            while size - offset >= room:
                chunk, crc = _seal(_ITEMS_CHUNK, pending[offset : offset + room], crc)
                yield chunk
                offset += room
            total += offset
            parts, size = [pending[offset:]], size - offset
    if size:
        chunk, crc = _seal(_ITEMS_CHUNK, b"".join(parts), crc)
        yield chunk
    yield _seal(_END_CHUNK, _END.pack(items, total + size), crc)[0]


class SnapshotBuilder:
    """Builds a keyspace from a stream, chunk by chunk, into an empty `backend`.

    Invariant: what was committed is a prefix of the items of a stream verified so far. After an
    exception the builder and its directory are to be thrown away.
    """

    def __init__(
        self, backend: Backend, cluster_id: ClusterId | None, *, value_bytes_max: int
    ) -> None:
        """Take an empty backend; a value above `value_bytes_max` is refused before it is kept.

        Without `cluster_id` a snapshot of any cluster is taken.
        """
        self._backend = backend
        self._cluster_id = cluster_id
        self._value_bytes_max = value_bytes_max
        self._crc = 0
        self._head: SnapshotHead | None = None
        self._counts: dict[Tree, int] = {}
        self._missing: list[tuple[Tree, int]] = []
        """Trees still to come, in order, with how many items of each; none with 0."""
        self._last_key = b""
        self._rest = b""
        """The beginning of an item that the next chunk continues."""
        self._items = 0
        self._item_bytes = 0
        self._is_complete = False

    @property
    def head(self) -> SnapshotHead | None:
        """What the snapshot is of, once its first chunk is there."""
        return self._head

    @property
    def is_complete(self) -> bool:
        """Whether the end has come, and all was right: the backend may be made durable."""
        return self._is_complete

    @property
    def crc(self) -> int:
        """Of everything so far."""
        return self._crc

    def count_of(self, tree: Tree) -> int:
        """Return how many items of a tree the snapshot announces."""
        return self._counts.get(tree, 0)

    def require_complete(self) -> SnapshotHead:
        """Return what the snapshot is of, once all of it is there.

        Raises:
            CorruptSnapshot: its end is missing.
        """
        if self._head is None or not self._is_complete:
            raise CorruptSnapshot("the end is missing")
        return self._head

    def add(self, chunk: bytes) -> None:
        """Take the next chunk of the stream.

        Raises:
            CorruptSnapshot: it is not the next chunk of a snapshot of this cluster.
            StorageFull: the disk has no room for it.
        """
        if len(chunk) < _CHUNK.size or self._is_complete:
            raise CorruptSnapshot("a chunk that is cut short, or behind the end")
        kind, crc = _CHUNK.unpack_from(chunk)
        body = chunk[_CHUNK.size :]
        if _chunk_crc(kind, body, self._crc) != crc:
            raise CorruptSnapshot(f"checksum of a chunk behind {self._items} items")
        self._crc = crc
        if self._head is None:
            if kind != _HEAD_CHUNK:
                raise CorruptSnapshot(f"begins with a chunk of kind {kind}")
            self._begin(body)
        elif kind == _ITEMS_CHUNK:
            self._add_items(body)
        elif kind == _END_CHUNK:
            self._end(body)
        else:
            raise CorruptSnapshot(f"unexpected chunk of kind {kind}")

    def _begin(self, body: bytes) -> None:
        head, self._missing = _decode_head(body)
        self._counts = dict(self._missing)
        if self._cluster_id not in {None, head.cluster_id}:
            raise CorruptSnapshot(f"of cluster {head.cluster_id:x}, not {self._cluster_id or 0:x}")
        self._head = head

    def _add_items(self, body: bytes) -> None:
        self._item_bytes += len(body)
        items, self._rest = self._parse(self._rest + body)
        self._backend.reserve(len(self._rest) + len(body), len(Tree))
        txn = self._backend.begin_write()
        try:
            for tree, key, value in items:
                txn.append(tree, key, value)
        except BaseException:
            txn.abort()
            raise
        txn.commit()

    def _parse(self, data: bytes) -> tuple[list[tuple[Tree, bytes, bytes]], bytes]:
        """Return the whole items in `data`, checked, and what is left."""
        found = []
        offset = 0
        while len(data) - offset >= _ITEM.size:
            key_bytes, value_bytes = _ITEM.unpack_from(data, offset)
            if not 0 < key_bytes <= KEY_BYTES_MAX or value_bytes > self._value_bytes_max:
                raise CorruptSnapshot(f"an item of {key_bytes} + {value_bytes} bytes")
            key_from = offset + _ITEM.size
            value_from = key_from + key_bytes
            end = value_from + value_bytes
            if end > len(data):
                break
            key = data[key_from:value_from]
            found.append((self._next_tree(key), key, data[value_from:end]))
            offset = end
        return found, data[offset:]

    def _next_tree(self, key: bytes) -> Tree:
        """Count an item, and return the tree that it belongs to."""
        if not self._missing:
            raise CorruptSnapshot("more items than announced")
        tree, count = self._missing[0]
        if key <= self._last_key:
            raise CorruptSnapshot(f"keys of {tree.name} out of order")
        self._items += 1
        if count > 1:
            self._missing[0] = (tree, count - 1)
            self._last_key = key
        else:
            del self._missing[0]
            self._last_key = b""
        return tree

    def _end(self, body: bytes) -> None:
        if body != _END.pack(self._items, self._item_bytes) or self._missing or self._rest:
            raise CorruptSnapshot(f"ended after {self._items} items, {self._item_bytes} bytes")
        txn = self._backend.begin_read()
        try:
            applied = meta.applied(txn)
        finally:
            txn.close()
        assert self._head is not None
        if (applied.index, applied.term) != (self._head.index, self._head.term):
            raise CorruptSnapshot(
                f"announced at {self._head.index}, holds the state at {applied.index}"
            )
        self._is_complete = True


def _chunk_crc(kind: int, body: bytes, previous: int) -> int:
    crc: int = extend(extend(previous, bytes((kind,))), body)
    return crc


def _seal(kind: int, body: bytes, previous: int) -> tuple[bytes, int]:
    """Return the chunk, and its CRC for the next one."""
    crc = _chunk_crc(kind, body, previous)
    return _CHUNK.pack(kind, crc) + body, crc


def _encode_head(txn: ReadTxn, head: SnapshotHead) -> bytes:
    parts = [
        _HEAD.pack(
            _MAGIC,
            FORMAT_VERSION,
            head.cluster_id,
            head.index,
            head.term,
            len(head.membership),
            len(Tree),
        ),
        head.membership,
    ]
    for tree in Tree:
        parts += (_TREE.pack(len(tree.value), txn.count(tree)), tree.value)
    return b"".join(parts)


def _decode_head(body: bytes) -> tuple[SnapshotHead, list[tuple[Tree, int]]]:
    """Return the head, and the number of items of each tree that has any."""
    if len(body) < _HEAD.size or not body.startswith(_MAGIC):
        raise CorruptSnapshot("not a snapshot")
    _, version, cluster, index, term, membership_bytes, tree_count = _HEAD.unpack_from(body)
    if version != FORMAT_VERSION:
        raise CorruptSnapshot(f"format version {version}; this program reads {FORMAT_VERSION}")
    offset = _HEAD.size + membership_bytes
    head = SnapshotHead(
        cluster_id=ClusterId(cluster),
        index=LogIndex(index),
        term=Term(term),
        membership=body[_HEAD.size : offset],
    )
    names: list[bytes] = []
    counts: list[tuple[Tree, int]] = []
    for _ in range(tree_count):
        if offset + _TREE.size > len(body):
            raise CorruptSnapshot("the head is cut short")
        name_bytes, count = _TREE.unpack_from(body, offset)
        offset += _TREE.size
        names.append(body[offset : offset + name_bytes])
        offset += name_bytes
        counts.append((_tree(names[-1]), count))
    if offset != len(body) or sorted(names) != sorted(tree.value for tree in Tree):
        raise CorruptSnapshot("the head does not name each tree once")
    return head, [(tree, count) for tree, count in counts if count]


def _tree(name: bytes) -> Tree:
    try:
        return Tree(name)
    except ValueError as error:
        raise CorruptSnapshot(f"unknown tree {name!r}") from error
