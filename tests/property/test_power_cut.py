"""The keyspace's data file and the log after a power cut, beside a model: one dictionary per entry.

An image of the data file takes every page written since it was last synced independently: as it was
then, as it is now, any version between, or torn at 512 bytes; sometimes with the newest meta pages
on otherwise old ones, sometimes cut short or extended. The log is cut by `SimDisk`. From each image
the keyspace must come back exactly as it was at some entry, and by the log to the last one
promised, or later; then it goes on.

`KVSTORE_POWER_CUTS` says how many images to try (1,000 for a full run).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from struct import Struct
from tempfile import TemporaryDirectory

import lmdb
import pytest

from kvstore.backend.checkpoint import CHECKPOINT_FILE, RUN_FILE, PinnedCheckpoint
from kvstore.backend.lmdb_backend import LmdbBackend
from kvstore.backend.lmdb_file import DATA_FILE
from kvstore.backend.schema import Tree
from kvstore.base import failpoint
from kvstore.base.ids import ClusterId, MemberId
from kvstore.base.limits import GIB, KIB, Limits
from kvstore.wal import WalIdentity, WriteAheadLog
from tests.support.sim_disk import SECTOR, SimDisk

PAGE = 4096
IMAGES = int(os.environ.get("KVSTORE_POWER_CUTS", "24"))
IMAGES_PER_HISTORY = 8
ENTRIES = 40
CONTROL_HISTORIES = 3
WRONG_IMAGE = 3
"""How a control process ends that found one; a signal's number below 0 is as good."""
APPLIED = b"applied"

_WAL = Path("/wal")
_IDENTITY = WalIdentity(ClusterId(1), MemberId(1))
_LIMITS = Limits(wal_segment_bytes=64 * KIB)
_NUMBER = Struct(">Q")

State = dict[bytes, bytes]


class Dice:
    """`Entropy` from a seeded generator."""

    def __init__(self, random: Random) -> None:
        self.fraction = random.random
        self.bits = random.getrandbits


def changes(seed: int) -> list[tuple[bytes, bytes | None]]:
    """Return what an entry whose data is `seed` does: puts, some large, and deletes."""
    random = Random(seed)
    found: list[tuple[bytes, bytes | None]] = []
    for _ in range(random.randint(1, 8)):
        key = b"key-%03d" % random.randrange(60)
        if random.random() < 0.3:
            found.append((key, None))
        else:
            size = random.choice([0, 10, 300, 2000, 9000, 20_000])
            found.append((key, random.randbytes(16) * (size // 16)))
    return found


def after(state: State, seed: int) -> State:
    new = dict(state)
    for key, value in changes(seed):
        if value is None:
            new.pop(key, None)
        else:
            new[key] = value
    return new


def apply(backend: LmdbBackend, index: int, seed: int, midway: Callable[[], None]) -> None:
    txn = backend.begin_write()
    for key, value in changes(seed):
        if value is None:
            txn.delete(Tree.KEYS, key)
        else:
            txn.put(Tree.KEYS, key, value)
    midway()
    txn.put(Tree.META, APPLIED, _NUMBER.pack(index))
    txn.commit()


def content(backend: LmdbBackend) -> tuple[int, State]:
    txn = backend.begin_read()
    try:
        stored = txn.get(Tree.META, APPLIED)
        return _NUMBER.unpack(stored)[0] if stored else 0, dict(txn.scan(Tree.KEYS))
    finally:
        txn.close()


class History:
    """A keyspace and its log at work, and what the disk may hold of the data file meanwhile."""

    def __init__(self, directory: Path, seed: int, *, is_pinned: bool = True) -> None:
        self.random = Random(seed)
        self.is_pinned = is_pinned
        self.live = directory / "live"
        self.image = directory / "image"
        self.disk = SimDisk()
        self.wal, _ = WriteAheadLog.open(
            _WAL, disk=self.disk, limits=_LIMITS, identity=_IDENTITY, entropy=Dice(self.random)
        )
        self.backend = LmdbBackend(self.live, quota_bytes=GIB)
        self.release_pins(None)
        self.states: list[State] = [{}]
        self.synced: list[bytes] = []
        self.versions: list[list[bytes]] = []
        """Of each page, since it was last synced."""
        self.note_sync()
        self.checkpoint: PinnedCheckpoint | None = None

    def close(self) -> None:
        self.wal.close()
        self.backend.close()

    def pages(self) -> list[bytes]:
        with (self.live / DATA_FILE).open("rb") as file:
            data = file.read(self.backend.size_bytes)
        return [data[start : start + PAGE] for start in range(0, len(data), PAGE)]

    def note_sync(self) -> None:
        self.synced = self.pages()
        self.versions = [[] for _ in self.synced]

    def note_write(self) -> None:
        for number, page in enumerate(self.pages()):
            if number == len(self.versions):
                self.versions.append([])
            known = self.versions[number]
            before = known[-1] if known else self.synced_page(number)
            if page != before:
                known.append(page)

    def synced_page(self, number: int) -> bytes:
        return self.synced[number] if number < len(self.synced) else bytes(PAGE)

    def step(self) -> None:
        """Append an entry, make it durable, apply it; now and then move a checkpoint on."""
        index = len(self.states)
        seed = self.random.getrandbits(32)
        self.wal.append_entry(index, 1, 1, _NUMBER.pack(seed))
        self.wal.sync()
        self.states.append(after(self.states[-1], seed))
        apply(self.backend, index, seed, self.note_write)
        self.note_write()
        dice = self.random.random()
        if self.checkpoint is None:
            if dice < 0.3:
                self.checkpoint = self.backend.begin_checkpoint()
                self.release_pins(self.checkpoint)
        elif dice < 0.4:
            self.checkpoint.make_durable()
            self.checkpoint.finish()
            self.checkpoint = None

    def release_pins(self, checkpoint: PinnedCheckpoint | None) -> None:
        """In the control, do without what makes checkpoints sound."""
        if self.is_pinned:
            return
        self.backend._checkpointer._pinned.abort()
        if checkpoint is not None:
            checkpoint._pin.abort()

    def cut_power(self) -> SimDisk:
        """Write an image of the data file as a power cut now could leave it; return the log's."""
        shutil.rmtree(self.image, ignore_errors=True)
        self.image.mkdir()
        shutil.copy(self.live / CHECKPOINT_FILE, self.image / CHECKPOINT_FILE)
        (self.image / RUN_FILE).write_bytes(b"an earlier boot\n")
        mode = self.random.choice(["any", "any", "torn", "new", "old", "new metas"])
        data = b"".join(self.page_after_cut(number, mode) for number in range(len(self.versions)))
        ending = self.random.choice(["as it is", "short", "long"])
        if ending == "short":
            data = data[: max(len(self.synced) * PAGE, self.random.randrange(len(data) + 1))]
        elif ending == "long":
            data += self.random.randbytes(SECTOR) * self.random.randrange(40)
        (self.image / DATA_FILE).write_bytes(data)
        disk = self.disk.copy()
        disk.crash(Dice(self.random))
        return disk

    def page_after_cut(self, number: int, mode: str) -> bytes:
        possible = [self.synced_page(number), *self.versions[number]]
        if mode == "new" or (mode == "new metas" and number < 2):
            return possible[-1]
        if mode in {"old", "new metas"}:
            return possible[0]
        if mode == "any" and self.random.random() < 0.7:
            return self.random.choice(possible)
        sectors = range(0, PAGE, SECTOR)
        return b"".join(self.random.choice(possible)[start : start + SECTOR] for start in sectors)

    def check_image(self) -> None:
        """Cut the power, come back, compare, go on, come back again."""
        disk = self.cut_power()
        durable = len(self.states) - 1
        wal, recovered = WriteAheadLog.open(
            _WAL, disk=disk, limits=_LIMITS, identity=_IDENTITY, entropy=Dice(self.random)
        )
        wal.close()
        seeds = [_NUMBER.unpack(entry.data)[0] for entry in recovered.entries]
        assert len(seeds) >= durable
        backend = LmdbBackend(self.image, quota_bytes=GIB)
        try:
            applied, found = content(backend)
            assert applied <= durable
            assert found == self.states[applied]
            state = found
            upcoming = [*seeds[applied:], *(self.random.getrandbits(32) for _ in range(5))]
            for index, seed in enumerate(upcoming, applied + 1):
                apply(backend, index, seed, lambda: None)
                state = after(state, seed)
            assert content(backend) == (applied + len(upcoming), state)
        finally:
            backend.close()


def run_history(seed: int, images: int, *, is_pinned: bool = True) -> None:
    """Let a keyspace work, cutting the power `images` times, also in the middle of checkpoints."""
    with TemporaryDirectory() as directory:
        history = History(Path(directory), seed, is_pinned=is_pinned)
        left = images

        def maybe_cut(chance: float) -> None:
            nonlocal left
            if left and history.random.random() < chance:
                left -= 1
                try:
                    history.check_image()
                except (AssertionError, lmdb.Error):
                    if is_pinned:
                        raise
                    os._exit(WRONG_IMAGE)

        def data_file_synced() -> None:
            history.note_sync()
            maybe_cut(0.5)

        failpoint.arm("checkpoint_before_sync", lambda: maybe_cut(0.5))
        failpoint.arm("checkpoint_before_save", data_file_synced)
        failpoint.arm("checkpoint_after_save", lambda: maybe_cut(0.5))
        try:
            for _ in range(ENTRIES):
                history.step()
                maybe_cut(images / ENTRIES)
            while left:
                history.step()
                maybe_cut(1.0)
        finally:
            for point in ("before_sync", "before_save", "after_save"):
                failpoint.disarm(f"checkpoint_{point}")
            history.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(-(-IMAGES // IMAGES_PER_HISTORY)))
def test_a_power_cut_at_any_moment_loses_nothing_that_was_promised(seed: int) -> None:
    run_history(seed, IMAGES_PER_HISTORY)


@pytest.mark.slow
def test_without_the_pin_the_same_images_show_that_it_is_needed() -> None:
    """The control: what it opens may be broken in any way, so it runs in processes of its own."""
    outcomes = [
        subprocess.run(
            [sys.executable, "-m", "tests.property.test_power_cut", str(seed)],
            capture_output=True,
            check=False,
            timeout=120,
        ).returncode
        for seed in range(CONTROL_HISTORIES)
    ]
    wrong = [code for code in outcomes if code == WRONG_IMAGE or code < 0]
    assert wrong, f"an unpinned checkpoint was never found wrong: {outcomes}"


if __name__ == "__main__":
    run_history(int(sys.argv[1]), IMAGES_PER_HISTORY, is_pinned=False)
