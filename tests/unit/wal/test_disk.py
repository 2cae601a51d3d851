"""The operating system's disk."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from kvstore.wal.disk import RealDisk


def test_a_durable_write_that_the_kernel_cut_short_is_completed_and_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    path = tmp_path / "log"

    def short_write(descriptor: int, buffers: Sequence[bytes], offset: int, flags: int) -> int:
        del flags
        return os.pwrite(descriptor, buffers[0][:3], offset)

    monkeypatch.setattr(os, "pwritev", short_write)
    monkeypatch.setattr(os, "fdatasync", lambda _: synced.append(path.read_bytes()))
    file = RealDisk().create(path)
    file.write_durably(b"a record", 2)
    file.close()

    assert synced == [b"\0\0a record"]


def test_where_no_write_can_be_durable_by_itself_a_sync_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    path = tmp_path / "log"

    def unknown_flag(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "pwritev", unknown_flag)
    monkeypatch.setattr(os, "fdatasync", lambda _: synced.append(path.read_bytes()))
    file = RealDisk().create(path)
    file.write_durably(b"a record", 0)
    file.close()

    assert synced == [b"a record"]


def test_a_durable_write_leaves_what_is_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = RealDisk().create(path)
    file.write_zeros(0, 200_000)
    file.write_durably(b"one", 100_000)
    file.write_durably(b"two", 100_003)
    file.close()

    assert path.read_bytes() == bytes(100_000) + b"onetwo" + bytes(99_994)
