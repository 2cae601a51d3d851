import os
from pathlib import Path

import pytest

from kvstore.backend.checkpoint import (
    CHECKPOINT_FILE,
    FAILED_FILE,
    RUN_FILE,
    UNFINISHED_FILE,
    restore_if_needed,
)
from kvstore.backend.directory_lock import KeyspaceInUse
from kvstore.backend.lmdb_backend import LmdbBackend
from kvstore.backend.lmdb_file import DATA_FILE
from kvstore.backend.schema import Tree
from kvstore.base import failpoint
from kvstore.base.errors import CorruptKeyspace, MemberFailed
from kvstore.base.limits import GIB


def put(backend: LmdbBackend, value: bytes) -> None:
    txn = backend.begin_write()
    txn.put(Tree.KEYS, b"key", value)
    txn.commit()


def value_in(directory: Path) -> bytes | None:
    backend = LmdbBackend(directory, quota_bytes=GIB)
    txn = backend.begin_read()
    found = txn.get(Tree.KEYS, b"key")
    txn.close()
    backend.close()
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A keyspace checkpointed at `old` and left at `new`."""
    directory = tmp_path / "keyspace.1"
    backend = LmdbBackend(directory, quota_bytes=GIB)
    put(backend, b"old")
    checkpoint = backend.begin_checkpoint()
    put(backend, b"new")
    checkpoint.make_durable()
    checkpoint.finish()
    put(backend, b"new")
    backend.close()
    return directory


def test_after_the_end_of_the_process_nothing_is_restored(directory: Path) -> None:
    assert not restore_if_needed(directory, sync_failed=False)
    assert value_in(directory) == b"new"


def test_after_another_boot_the_checkpoint_is_restored_once(directory: Path) -> None:
    (directory / RUN_FILE).write_text("another-boot 1 1\n")
    assert restore_if_needed(directory, sync_failed=False)
    assert not restore_if_needed(directory, sync_failed=False)
    assert value_in(directory) == b"old"


def test_the_same_file_after_another_boot_is_restored(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The page cache that held the newest commits went with the boot before."""
    another = tmp_path / "boot_id"
    another.write_text("another-boot\n")
    monkeypatch.setattr("kvstore.backend.checkpoint._BOOT_ID", another)
    assert restore_if_needed(directory, sync_failed=False)
    assert value_in(directory) == b"old"


def test_a_copied_data_file_is_restored(directory: Path) -> None:
    copy = directory / "copy"
    with (directory / DATA_FILE).open("rb") as file:
        copy.write_bytes(file.read(1 << 20))
    copy.replace(directory / DATA_FILE)
    assert restore_if_needed(directory, sync_failed=False)
    assert value_in(directory) == b"old"


def test_a_failed_sync_of_the_log_restores_the_checkpoint(directory: Path) -> None:
    assert restore_if_needed(directory, sync_failed=True)
    assert value_in(directory) == b"old"


def test_opening_after_a_restart_saves_the_state_found_before_it_is_written(
    directory: Path,
) -> None:
    """The pins of the run before are gone, and with them what protects its checkpoint."""
    assert value_in(directory) == b"new"
    (directory / RUN_FILE).write_text("another-boot 1 1\n")
    assert value_in(directory) == b"new"


def test_a_failed_sync_is_final_noted_and_restores_at_the_next_start(tmp_path: Path) -> None:
    directory = tmp_path / "keyspace.1"
    backend = LmdbBackend(directory, quota_bytes=GIB)
    put(backend, b"lost")

    def fail() -> None:
        raise OSError(5, "gone")

    failpoint.arm("checkpoint_before_sync", fail)
    checkpoint = backend.begin_checkpoint()
    try:
        with pytest.raises(MemberFailed, match="gone"):
            checkpoint.make_durable()
    finally:
        failpoint.disarm("checkpoint_before_sync")
    assert (directory / FAILED_FILE).exists()
    backend.close()
    assert value_in(directory) is None
    assert not (directory / FAILED_FILE).exists()


def test_nothing_is_restored_under_a_process_that_has_it_open(directory: Path) -> None:
    backend = LmdbBackend(directory, quota_bytes=GIB)
    with pytest.raises(KeyspaceInUse):
        restore_if_needed(directory, sync_failed=True)
    backend.close()


def test_a_directory_that_was_never_checkpointed_begins_anew(directory: Path) -> None:
    (directory / UNFINISHED_FILE).touch()
    assert value_in(directory) is None
    assert not (directory / UNFINISHED_FILE).exists()


@pytest.mark.parametrize("name", [CHECKPOINT_FILE, DATA_FILE])
def test_data_and_checkpoint_do_not_go_without_each_other(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(CorruptKeyspace, match=name):
        restore_if_needed(directory, sync_failed=False)


@pytest.mark.parametrize("offset", [0, 8, 12, 16, 20 + 16, 20 + 20, 20 + 144])
def test_a_damaged_or_unknown_checkpoint_is_refused(directory: Path, offset: int) -> None:
    path = directory / CHECKPOINT_FILE
    image = bytearray(path.read_bytes())
    image[offset] ^= 0xFF
    path.write_bytes(image)
    with pytest.raises(CorruptKeyspace, match="checkpoint"):
        restore_if_needed(directory, sync_failed=False)


def test_a_data_file_shorter_than_its_checkpoint_is_refused(directory: Path) -> None:
    os.truncate(directory / DATA_FILE, 8192)
    with pytest.raises(CorruptKeyspace, match="8192 bytes"):
        restore_if_needed(directory, sync_failed=True)
    assert restore_if_needed(directory.parent / "absent", sync_failed=True) is False
