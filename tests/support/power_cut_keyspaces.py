"""Real keyspaces on disk for simulated machines: a power cut leaves what LMDB's file could be then.

Each page written since the data file was last synced is afterwards as it was then, as it is now,
any version in between, or torn at 512 bytes; sometimes the meta pages are the newest on otherwise
old ones; the file's end may be missing or be garbage. Side files are synced one by one when they
are written, so they are as they are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from unittest.mock import patch

from kvstore.backend.checkpoint import RUN_FILE, PinnedCheckpoint
from kvstore.backend.lmdb_backend import LmdbBackend, LmdbWriteTxn
from kvstore.backend.lmdb_file import DATA_FILE
from kvstore.base import failpoint
from kvstore.base.limits import KIB, Limits
from kvstore.member.lmdb_keyspaces import LmdbKeyspaces
from tests.support.sim_disk import SECTOR
from tests.support.sim_member import PowerCut

PAGE = 4096
CUT_POINTS = ("checkpoint_before_sync", "checkpoint_before_save", "checkpoint_after_save")
_MODES = ("any", "any", "torn", "new", "old", "new metas")


class DataFile:
    """What the disk may hold of a data file: each page when last synced, and its versions since."""

    def __init__(self, backend: "ImagedBackend") -> None:
        self._backend = backend
        self.synced: list[bytes] = []
        self.versions: list[list[bytes]] = []
        self.note_sync()

    def note_sync(self) -> None:
        """All that was written is on the disk."""
        self.synced = self._pages()
        self.versions = [[] for _ in self.synced]

    def note_write(self) -> None:
        """A transaction was committed to the page cache."""
        for number, page in enumerate(self._pages()):
            if number == len(self.versions):
                self.versions.append([])
            known = self.versions[number]
            if page != (known[-1] if known else self._synced_page(number)):
                known.append(page)

    def image(self, dice: Random) -> bytes:
        """Return what a power cut now could leave."""
        mode = dice.choice(_MODES)
        data = b"".join(self._after_cut(n, mode, dice) for n in range(len(self.versions)))
        ending = dice.choice(("as it is", "short", "long"))
        if ending == "short":
            data = data[: max(len(self.synced) * PAGE, dice.randrange(len(data) + 1))]
        elif ending == "long":
            data += dice.randbytes(SECTOR) * dice.randrange(40)
        return data

    def _after_cut(self, number: int, mode: str, dice: Random) -> bytes:
        possible = [self._synced_page(number), *self.versions[number]]
        if mode == "new" or (mode == "new metas" and number < 2):
            return possible[-1]
        if mode in {"old", "new metas"}:
            return possible[0]
        if mode == "any" and dice.random() < 0.7:
            return dice.choice(possible)
        sectors = range(0, PAGE, SECTOR)
        return b"".join(dice.choice(possible)[start : start + SECTOR] for start in sectors)

    def _synced_page(self, number: int) -> bytes:
        return self.synced[number] if number < len(self.synced) else bytes(PAGE)

    def _pages(self) -> list[bytes]:
        with (self._backend.directory / DATA_FILE).open("rb") as file:
            data = file.read(self._backend.size_bytes)
        return [data[start : start + PAGE] for start in range(0, len(data), PAGE)]


class _NotedTxn(LmdbWriteTxn):
    """Tells the data file of its end."""

    __slots__ = ("_data_file",)

    @classmethod
    def of(cls, txn: LmdbWriteTxn, data_file: DataFile) -> "_NotedTxn":
        noted = cls(txn._txn, txn._trees)
        noted._data_file = data_file
        return noted

    def commit(self) -> None:
        super().commit()
        self._data_file.note_write()


class _NotedCheckpoint:
    """A checkpoint during which the power may go, and whose sync is noted."""

    def __init__(self, inner: PinnedCheckpoint, of: "ImagedBackend") -> None:
        self._inner = inner
        self._of = of

    def make_durable(self) -> None:
        with self._of.points_armed():
            self._inner.make_durable()

    def finish(self) -> None:
        self._inner.finish()

    def abandon(self) -> None:
        self._inner.abandon()


class ImagedBackend(LmdbBackend):
    """A keyspace whose data file is known page by page."""

    def __init__(self, directory: Path, keyspaces: "PowerCutKeyspaces", limits: Limits) -> None:
        super().__init__(directory, quota_bytes=limits.quota_bytes, reserve_bytes=0)
        self._keyspaces = keyspaces
        self._release_pin(None)
        self.data_file = DataFile(self)

    def begin_write(self) -> LmdbWriteTxn:
        return _NotedTxn.of(super().begin_write(), self.data_file)

    def begin_checkpoint(self) -> PinnedCheckpoint:
        checkpoint = super().begin_checkpoint()
        self._release_pin(checkpoint)
        return _NotedCheckpoint(checkpoint, self)  # type: ignore[return-value]  # the same calls

    @contextmanager
    def points_armed(self) -> Iterator[None]:
        """Note the sync of a checkpoint; at any of its points the power may go."""
        goes_at = self._keyspaces.point_of_cut()

        def reached(point: str) -> Callable[[], None]:
            def act() -> None:
                if point == "checkpoint_before_save":
                    self.data_file.note_sync()
                if point == goes_at:
                    raise PowerCut

            return act

        for point in CUT_POINTS:
            failpoint.arm(point, reached(point))
        try:
            yield
        finally:
            for point in CUT_POINTS:
                failpoint.disarm(point)

    def _release_pin(self, checkpoint: PinnedCheckpoint | None) -> None:
        """In the control, do without what makes checkpoints sound."""
        if self._keyspaces.is_pinned:
            return
        self._checkpointer._pinned.abort()
        if checkpoint is not None:
            checkpoint._pin.abort()


class PowerCutKeyspaces(LmdbKeyspaces):
    """One machine's keyspaces; stands in for `SimKeyspaces`."""

    def __init__(self, directory: Path, limits: Limits, dice: Random, *, is_pinned: bool) -> None:
        super().__init__(directory, limits)
        directory.mkdir()
        self.is_pinned = is_pinned
        self.is_cutting = False
        """Whether the power is about to go: then it may do so during a checkpoint."""
        self.images = 0
        self._dice = dice
        self._open: dict[int, ImagedBackend] = {}

    def open(self, generation: int, *, is_suspect: bool = False) -> LmdbBackend:
        assert not is_suspect, "no sync fails here"
        backend = ImagedBackend(self._path(generation), self, self._limits)
        self._open[generation] = backend
        return backend

    def remove(self, generation: int) -> None:
        self._open.pop(generation, None)
        super().remove(generation)

    def point_of_cut(self) -> str:
        """Return at which point of the checkpoint under way the power goes, if it does."""
        return self._dice.choice(("", *CUT_POINTS)) if self.is_cutting else ""

    def kill(self) -> None:
        """End the process; the page cache stays."""
        for backend in self._open.values():
            backend.close()
        self._open.clear()

    def crash(self) -> None:
        """Cut the power: each data file is what its pages could have come to."""
        images = {generation: each.data_file for generation, each in self._open.items()}
        self.kill()
        for generation, data_file in images.items():
            directory = self._path(generation)
            if directory.exists():
                self.images += 1
                (directory / DATA_FILE).unlink()
                (directory / DATA_FILE).write_bytes(data_file.image(self._dice))
                (directory / RUN_FILE).write_bytes(b"an earlier boot\n")

    def fill(self, *, is_full: bool) -> None:
        """The disk is never full here."""

    def fail_syncs(self, *, syncs_fail: bool) -> None:
        """No sync fails here."""


@contextmanager
def small_data_files() -> Iterator[None]:
    """Let data files take little more of the disk than they need."""
    with patch("kvstore.backend.lmdb_backend._ALLOCATION_STRIDE", 64 * KIB):
        yield
