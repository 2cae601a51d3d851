from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvstore.apply import meta
from kvstore.apply.snapshot import (
    CorruptSnapshot,
    SnapshotBuilder,
    SnapshotHead,
    head_of,
    snapshot_chunks,
)
from kvstore.backend.backend import Backend
from kvstore.backend.lmdb_backend import LmdbBackend
from kvstore.backend.memory_backend import MemoryBackend
from kvstore.backend.schema import Tree
from kvstore.base.ids import ClusterId, LogIndex, Term
from kvstore.base.limits import GIB

CLUSTER = ClusterId(0xC1)
Content = dict[Tree, dict[bytes, bytes]]
SAMPLE: Content = {
    Tree.KEYS: {b"key-%03d" % number: bytes([number]) * (number * 7) for number in range(60)},
    Tree.REVISIONS: {b"big": b"v" * 5000, b"empty": b""},
    Tree.MEMBERS: {b"m": b"name"},
}


def filled(content: Content) -> MemoryBackend:
    backend = MemoryBackend()
    txn = backend.begin_write()
    meta.set_applied(txn, meta.Applied(LogIndex(70), Term(3)))
    for tree, items in content.items():
        for key, value in items.items():
            txn.put(tree, key, value)
    txn.commit()
    return backend


def contents(backend: Backend) -> Content:
    txn = backend.begin_read()
    try:
        return {tree: dict(txn.scan(tree)) for tree in Tree}
    finally:
        txn.close()


def stream(backend: Backend, chunk_bytes_max: int = 256) -> list[bytes]:
    txn = backend.begin_read()
    try:
        head = head_of(txn, CLUSTER, b"members")
        return list(snapshot_chunks(txn, head, chunk_bytes_max=chunk_bytes_max))
    finally:
        txn.close()


def build(chunks: list[bytes], cluster_id: ClusterId = CLUSTER) -> tuple[SnapshotBuilder, Backend]:
    backend = MemoryBackend()
    builder = SnapshotBuilder(backend, cluster_id, value_bytes_max=10_000)
    for chunk in chunks:
        builder.add(chunk)
    return builder, backend


ITEMS = st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=400), max_size=20)


@given(keys=ITEMS, revisions=ITEMS, chunk_bytes_max=st.integers(64, 600))
def test_a_keyspace_comes_back_whole_in_chunks_of_any_size(
    keys: dict[bytes, bytes], revisions: dict[bytes, bytes], chunk_bytes_max: int
) -> None:
    source = filled({Tree.KEYS: keys, Tree.REVISIONS: revisions})
    chunks = stream(source, chunk_bytes_max)
    builder, target = build(chunks)
    assert builder.is_complete
    assert contents(target) == contents(source)
    assert all(len(chunk) <= chunk_bytes_max for chunk in chunks[1:])


def test_the_head_says_what_the_snapshot_is_of() -> None:
    builder, _ = build(stream(filled(SAMPLE))[:1])
    assert builder.head == SnapshotHead(
        cluster_id=CLUSTER, index=LogIndex(70), term=Term(3), membership=b"members"
    )
    assert not builder.is_complete


def test_a_snapshot_shows_one_moment_while_writes_go_on() -> None:
    source = filled(SAMPLE)
    before = contents(source)
    view = source.begin_read()
    chunks = []
    for chunk in snapshot_chunks(view, head_of(view, CLUSTER, b""), chunk_bytes_max=256):
        chunks.append(chunk)
        txn = source.begin_write()
        txn.put(Tree.KEYS, b"new-%d" % len(chunks), b"x")
        txn.commit()
    view.close()
    assert contents(build(chunks)[1]) == before


def test_a_real_keyspace_is_built_and_opens_again(tmp_path: Path) -> None:
    source = filled(SAMPLE)
    backend = LmdbBackend(tmp_path / "keyspace.2", quota_bytes=GIB)
    builder = SnapshotBuilder(backend, CLUSTER, value_bytes_max=10_000)
    for chunk in stream(source):
        builder.add(chunk)
    checkpoint = backend.begin_checkpoint()
    checkpoint.make_durable()
    checkpoint.finish()
    backend.close()
    backend = LmdbBackend(tmp_path / "keyspace.2", quota_bytes=GIB)
    assert contents(backend) == contents(source)
    backend.close()


DAMAGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a chunk lost": lambda chunks: chunks[:3] + chunks[4:],
    "a chunk repeated": lambda chunks: [*chunks[:4], *chunks[3:]],
    "two chunks swapped": lambda chunks: [*chunks[:3], chunks[4], chunks[3], *chunks[5:]],
    "no head": lambda chunks: chunks[1:],
    "two heads": lambda chunks: [chunks[0], *chunks],
    "a chunk cut short": lambda chunks: [*chunks[:3], chunks[3][:-1], *chunks[4:]],
    "an empty chunk": lambda chunks: [*chunks[:3], b"", *chunks[3:]],
    "something behind the end": lambda chunks: [*chunks, chunks[-1]],
    "the end too early": lambda chunks: [*chunks[:3], chunks[-1]],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_stream_is_refused(damage: str) -> None:
    with pytest.raises(CorruptSnapshot):
        build(DAMAGES[damage](stream(filled(SAMPLE))))


@given(place=st.integers(0, 2**20), bit=st.integers(0, 7))
def test_a_stream_with_any_bit_flipped_is_refused(place: int, bit: int) -> None:
    chunks = stream(filled(SAMPLE))
    lengths = [len(chunk) for chunk in chunks]
    place %= sum(lengths)
    number = 0
    while place >= lengths[number]:
        place -= lengths[number]
        number += 1
    damaged = bytearray(chunks[number])
    damaged[place] ^= 1 << bit
    with pytest.raises(CorruptSnapshot):
        build([*chunks[:number], bytes(damaged), *chunks[number + 1 :]])


def test_another_clusters_snapshot_is_refused() -> None:
    with pytest.raises(CorruptSnapshot, match="of cluster c1, not c2"):
        build(stream(filled(SAMPLE)), ClusterId(0xC2))


def test_a_value_beyond_the_bound_is_refused_before_it_is_kept() -> None:
    source = filled({Tree.KEYS: {b"k": b"v" * 10_001}})
    with pytest.raises(CorruptSnapshot, match="10001 bytes"):
        build(stream(source)[:2])


def test_a_head_that_announces_another_index_than_the_content_is_refused() -> None:
    source = filled(SAMPLE)
    txn = source.begin_read()
    head = SnapshotHead(cluster_id=CLUSTER, index=LogIndex(71), term=Term(3), membership=b"")
    chunks = list(snapshot_chunks(txn, head, chunk_bytes_max=256))
    txn.close()
    with pytest.raises(CorruptSnapshot, match="announced at 71, holds the state at 70"):
        build(chunks)
