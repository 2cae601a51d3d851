"""What only the backend on disk does: locks, formats, space."""

import ast
import logging
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import kvstore
from kvstore.backend.directory_lock import KeyspaceInUse
from kvstore.backend.lmdb_backend import LmdbBackend
from kvstore.backend.lmdb_file import DATA_FILE, parse_meta, read_metas
from kvstore.backend.schema import Tree
from kvstore.base.errors import CorruptKeyspace, StorageFull
from kvstore.base.limits import GIB, Limits
from kvstore.member.lmdb_keyspaces import LmdbKeyspaces

MIB = 1 << 20


def filled(directory: Path, count: int = 100) -> LmdbBackend:
    backend = LmdbBackend(directory, quota_bytes=MIB)
    txn = backend.begin_write()
    for number in range(count):
        txn.put(Tree.KEYS, b"%d" % number, b"v" * 1000)
    txn.commit()
    return backend


def test_a_second_opener_is_refused_and_the_first_not_disturbed(tmp_path: Path) -> None:
    first = filled(tmp_path)
    with pytest.raises(KeyspaceInUse):
        LmdbBackend(tmp_path, quota_bytes=MIB)
    view = first.begin_read()
    assert view.count(Tree.KEYS) == 100
    view.close()
    first.close()


@pytest.mark.slow
def test_another_process_is_refused(tmp_path: Path) -> None:
    backend = filled(tmp_path)
    program = (
        "import sys, pathlib\n"
        "from kvstore.backend.lmdb_backend import LmdbBackend\n"
        "LmdbBackend(pathlib.Path(sys.argv[1]), quota_bytes=1)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "KeyspaceInUse" in ended.stderr
    backend.close()


def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    filled(tmp_path).close()
    backend = LmdbBackend(tmp_path, quota_bytes=MIB)
    view = backend.begin_read()
    assert view.get(Tree.KEYS, b"42") == b"v" * 1000
    view.close()
    backend.close()


@pytest.mark.parametrize(
    ("offset", "damage"),
    [(16, b"\x00\x00\x00\x00"), (20, struct.pack("<I", 2)), (40, struct.pack("<I", 1000))],
    ids=["magic", "format version", "page size"],
)
def test_a_file_of_another_format_is_refused(tmp_path: Path, offset: int, damage: bytes) -> None:
    filled(tmp_path).close()
    with (tmp_path / DATA_FILE).open("r+b") as file:
        file.seek(offset)
        file.write(damage)
    for _ in range(2):  # and not as in use: who was refused holds nothing
        with pytest.raises(CorruptKeyspace):
            LmdbBackend(tmp_path, quota_bytes=MIB)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    filled(tmp_path).close()
    os.truncate(tmp_path / DATA_FILE, 100)
    with pytest.raises(CorruptKeyspace):
        LmdbBackend(tmp_path, quota_bytes=MIB)


def test_the_metas_are_those_that_the_engine_reports(tmp_path: Path) -> None:
    backend = filled(tmp_path)
    info = backend.env.info()
    newest = max(read_metas(tmp_path / DATA_FILE), key=lambda meta: meta.txn_id)
    assert newest.txn_id == info["last_txnid"]
    assert newest.last_page == info["last_pgno"]
    assert newest.map_bytes == info["map_size"]
    assert newest.page_bytes == backend.env.stat()["psize"]
    backend.close()


def test_a_meta_page_knows_its_place(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with (tmp_path / DATA_FILE).open("rb") as file:
        page = file.read(4096)
    assert parse_meta(page, number=0)
    with pytest.raises(CorruptKeyspace):
        parse_meta(page, number=1)


def test_reserved_space_is_allocated_and_not_counted_as_used(tmp_path: Path) -> None:
    backend = filled(tmp_path)
    size = backend.size_bytes
    backend.reserve(MIB, 1)
    assert backend.can_preallocate
    assert (tmp_path / DATA_FILE).stat().st_blocks * 512 >= size + 2 * MIB
    assert backend.size_bytes == size
    backend.close()


def test_a_disk_with_too_little_left_is_refused_before_anything_is_taken(tmp_path: Path) -> None:
    with pytest.raises(StorageFull):
        LmdbBackend(tmp_path / "new", quota_bytes=MIB, reserve_bytes=1 << 60)


def test_a_change_beyond_the_map_is_refused(tmp_path: Path) -> None:
    backend = filled(tmp_path)
    with pytest.raises(StorageFull):
        backend.reserve(1 << 40, 1)
    backend.close()


def test_deleting_frees_live_bytes_but_not_the_file(tmp_path: Path) -> None:
    backend = filled(tmp_path, 1000)
    size, live = backend.size_bytes, backend.live_bytes
    txn = backend.begin_write()
    for number in range(1000):
        txn.delete(Tree.KEYS, b"%d" % number)
    txn.commit()
    assert backend.live_bytes < live / 10
    assert backend.size_bytes >= size
    backend.close()


def test_the_map_is_opened_once_and_far_larger_than_the_quota(tmp_path: Path) -> None:
    for name, quota_bytes, map_bytes in (("small", MIB, 64 * GIB), ("large", 32 * GIB, 128 * GIB)):
        backend = LmdbBackend(tmp_path / name, quota_bytes=quota_bytes)
        assert backend.env.info()["map_size"] == map_bytes
        backend.close()
    resizers = [
        source
        for source in Path(kvstore.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "set_mapsize"
    ]
    assert resizers == [], "resizing an open map drops the page pin of its readers"


def test_where_nothing_can_be_allocated_the_map_is_not_written_through_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    through = LmdbKeyspaces(tmp_path / "through", Limits(reserve_bytes=0)).open(1)
    monkeypatch.setattr("kvstore.backend.lmdb_backend.can_allocate", lambda descriptor: False)
    with caplog.at_level(logging.WARNING):
        copied = LmdbKeyspaces(tmp_path / "copied", Limits(reserve_bytes=0)).open(1)
    assert through.env.flags()["writemap"]
    assert not copied.env.flags()["writemap"]
    assert [record.message for record in caplog.records] == [
        "the filesystem cannot allocate ahead: the keyspace is not written through its map"
    ]
    through.close()
    copied.close()
