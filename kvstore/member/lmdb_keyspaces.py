"""Keyspaces as LMDB environments, each in `<data-dir>/member/keyspace.<generation>/`."""

import logging
import shutil
from pathlib import Path

from kvstore.backend.backend import Backend
from kvstore.backend.checkpoint import restore_if_needed
from kvstore.backend.lmdb_backend import LmdbBackend
from kvstore.base.limits import Limits

logger = logging.getLogger(__name__)

_PREFIX = "keyspace."


class LmdbKeyspaces:
    """`Keyspaces` in one directory of the member's."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        self._directory = directory
        self._limits = limits

    def generations(self) -> list[int]:
        """Return the generations that have a directory."""
        return sorted(
            int(path.name.removeprefix(_PREFIX))
            for path in self._directory.glob(f"{_PREFIX}[0-9]*")
        )

    def open(self, generation: int, *, is_suspect: bool = False) -> LmdbBackend:
        """Open, or make, the directory of a generation."""
        path = self._path(generation)
        if is_suspect:
            restore_if_needed(path, sync_failed=True)
        backend = LmdbBackend(
            path, quota_bytes=self._limits.quota_bytes, reserve_bytes=self._limits.reserve_bytes
        )
        if not backend.can_preallocate:
            logger.warning(
                "the filesystem cannot allocate ahead: the keyspace is not written through its map",
                extra={"directory": str(path)},
            )
        return backend

    def copy(self, source: Backend, generation: int) -> LmdbBackend:
        """Copy an open keyspace into the directory of a generation, and open that."""
        assert isinstance(source, LmdbBackend), "a keyspace of this place"
        source.copy_to(self._path(generation))
        return self.open(generation)

    def remove(self, generation: int) -> None:
        """Remove the directory of a generation."""
        path = self._path(generation)
        if path.exists():
            shutil.rmtree(path)

    def _path(self, generation: int) -> Path:
        return self._directory / f"{_PREFIX}{generation}"
