from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from kvstore.base import failpoint
from kvstore.base.errors import CorruptWal, StorageFull, WalFailed, WrongDataDirectory
from kvstore.base.ids import ClusterId, MemberId
from kvstore.base.limits import Limits
from kvstore.wal import RealDisk, Recovered, WalBase, WalIdentity, WriteAheadLog
from kvstore.wal.directory import FAILURE_NAME
from kvstore.wal.disk import Disk
from kvstore.wal.record import RecordType, Seal, encode
from kvstore.wal.segment import FORMAT_VERSION, HEADER_BYTES
from tests.support.sim_disk import SimDisk

DIRECTORY = Path("/wal")
IDENTITY = WalIdentity(ClusterId(0xC1), MemberId(0xA1))


class Dice:
    def __init__(self, seed: int = 0) -> None:
        random = Random(seed)
        self.fraction = random.random
        self.bits = random.getrandbits


class PowerCut(BaseException):
    pass


@dataclass
class Bench:
    """A log on a disk, opened again as often as wanted."""

    disk: SimDisk = field(default_factory=SimDisk)
    limits: Limits = field(default_factory=lambda: Limits(wal_segment_bytes=2000))
    dice: Dice = field(default_factory=Dice)

    def open(self, identity: WalIdentity = IDENTITY) -> tuple[WriteAheadLog, Recovered]:
        return WriteAheadLog.open(
            DIRECTORY, disk=self.disk, limits=self.limits, identity=identity, entropy=self.dice
        )

    def paths(self) -> list[Path]:
        return [DIRECTORY / name for name in self.disk.names(DIRECTORY) if name.endswith(".wal")]

    def blanks(self) -> list[Path]:
        return [DIRECTORY / name for name in self.disk.names(DIRECTORY) if name.endswith(".blank")]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def append(wal: WriteAheadLog, first: int, count: int, size: int = 100) -> None:
    for index in range(first, first + count):
        wal.append_entry(index, 1, 1, bytes([index % 256]) * size)


def upkeep(wal: WriteAheadLog) -> None:
    job = wal.begin_upkeep()
    assert job is not None
    job.run()
    wal.finish_upkeep(job)


def indexes(recovered: Recovered) -> list[int]:
    return [entry.log_index for entry in recovered.entries]


# --- what is promised


def test_a_new_log_is_empty_and_says_so(bench: Bench) -> None:
    _, recovered = bench.open()
    assert recovered.is_new
    assert (recovered.base, recovered.entries) == (WalBase(0, 0, b"", 0), [])
    assert not bench.open()[1].is_new


def test_what_was_synced_survives_a_power_cut(bench: Bench) -> None:
    wal, _ = bench.open()
    append(wal, 1, 30)
    wal.append_hard_state(4, 9)
    wal.sync()
    bench.disk.crash(bench.dice)
    _, recovered = bench.open()
    assert indexes(recovered) == list(range(1, 31))
    assert (recovered.term, recovered.vote) == (4, 9)


def test_nothing_is_durable_before_its_job_is_finished(bench: Bench) -> None:
    wal, _ = bench.open()
    append(wal, 1, 2)
    job = wal.begin_sync()
    assert job is not None
    append(wal, 3, 1)
    assert wal.durable_sequence == 0
    job.run()
    assert wal.durable_sequence == 0
    wal.finish_sync(job)
    assert (wal.durable_sequence, wal.sequence) == (2, 3)


def test_no_more_jobs_are_outstanding_than_the_limit(bench: Bench) -> None:
    wal, _ = bench.open()
    for index in range(1, 5):
        append(wal, index, 1)
        assert wal.begin_sync() is not None
    append(wal, 5, 1)
    assert wal.begin_sync() is None


def test_a_blocking_sync_covers_jobs_under_way_and_they_may_still_be_run(bench: Bench) -> None:
    wal, _ = bench.open()
    append(wal, 1, 1)
    job = wal.begin_sync()
    assert job is not None
    append(wal, 2, 1)
    wal.sync()
    assert wal.durable_sequence == 2
    before = bench.disk.operations
    job.run()
    wal.finish_sync(job)
    assert (wal.durable_sequence, bench.disk.operations) == (2, before)


def work(wal: WriteAheadLog) -> Iterator[int]:
    """Fill, sync, release and recycle segments; yield the last index promised."""
    index = 1
    for batch in (4, 60, 4, 4, 50, 4):
        append(wal, index, batch)
        wal.sync()
        index += batch
        yield index - 1
        if batch == 4:
            wal.release(max(0, index - 6), 1, b"m")
            wal.sync()
            upkeep(wal)


@pytest.mark.slow
def test_a_power_cut_at_any_disk_operation_keeps_what_was_promised() -> None:
    """Also in the recovery itself, and in its recovery."""
    for stop in range(0, 300, 2):
        bench = Bench(dice=Dice(stop))
        promised = 0
        bench.disk.fault = power_cut_after(stop)
        try:
            for promised in work(bench.open()[0]):  # noqa: B007 - the last one reached counts
                pass
        except PowerCut:
            pass
        attempts = 0
        while True:
            bench.disk.crash(bench.dice)
            attempts += 1
            bench.disk.fault = power_cut_after(stop % 7 + attempts) if attempts < 9 else None
            try:
                _, recovered = bench.open()
                break
            except PowerCut:
                continue
        last = recovered.entries[-1].log_index if recovered.entries else recovered.base.index
        assert promised <= last <= promised + 60
        assert indexes(recovered) == list(range(recovered.base.index + 1, last + 1))


def power_cut_after(operations: int) -> Callable[[str, Path], None]:
    left = operations

    def fault(operation: str, path: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise PowerCut

    return fault


# --- damage


def test_every_prefix_of_a_segment_opens_with_a_prefix_of_the_log_or_says_why_not() -> None:
    bench = Bench(limits=Limits(wal_segment_bytes=1000))
    wal, _ = bench.open()
    append(wal, 1, 2)
    wal.sync()
    append(wal, 3, 2)
    wal.sync()
    (path,) = bench.paths()
    image = bench.disk.copy()
    refused: list[str] = []
    for size in range(len(image.read(path))):
        bench.disk = image.copy()
        bench.disk.truncate(path, size)
        try:
            _, recovered = bench.open()
        except CorruptWal as error:
            refused.append(str(error))
        else:
            assert indexes(recovered) == list(range(1, len(recovered.entries) + 1))
    assert len(refused) == HEADER_BYTES
    assert set(refused) == {f"{path}: offset 0: no header of a log segment"}


def test_damage_before_the_watermark_is_corruption_that_names_file_and_offset(
    bench: Bench,
) -> None:
    wal, _ = bench.open()
    append(wal, 1, 40)
    wal.sync()
    append(wal, 41, 1)
    wal.sync()
    image = bench.disk.copy()
    for path in bench.paths():
        used = len(image.read(path).rstrip(b"\0"))
        for offset in (*range(0, 68, 7), *range(HEADER_BYTES, used, 97)):
            bench.disk = image.copy()
            bench.disk.rot(path, offset)
            if path == bench.paths()[-1] and offset >= used - 150:
                continue  # the last batch: no later record tells that it was durable
            with pytest.raises((CorruptWal, WrongDataDirectory), match=str(path)):
                bench.open()


def test_damage_in_the_last_unacknowledged_batch_is_cut_and_told(bench: Bench) -> None:
    wal, _ = bench.open()
    append(wal, 1, 3)
    wal.sync()
    append(wal, 4, 2)
    wal.sync()
    (path,) = bench.paths()
    used = len(bench.disk.read(path).rstrip(b"\0"))
    bench.disk.rot(path, used - 200)
    wal, recovered = bench.open()
    assert indexes(recovered) == [1, 2, 3]
    assert len(recovered.notes) == 1
    assert str(path) in recovered.notes[0]
    assert not bench.disk.read(path)[HEADER_BYTES + wal.position :].strip(b"\0")
    append(wal, 4, 1)
    wal.sync()
    assert indexes(bench.open()[1]) == [1, 2, 3, 4]


def test_a_missing_segment_in_the_middle_is_corruption(bench: Bench) -> None:
    wal, _ = bench.open()
    append(wal, 1, 60)
    wal.sync()
    bench.disk.unlink(bench.paths()[1])
    with pytest.raises(CorruptWal, match=r"0000000000000002.wal: missing"):
        bench.open()


def test_a_missing_first_segment_is_corruption_unless_it_was_released(bench: Bench) -> None:
    wal, _ = bench.open()
    append(wal, 1, 60)
    wal.sync()
    bench.disk.unlink(bench.paths()[0])
    with pytest.raises(CorruptWal, match="entries 1 to"):
        bench.open()


def test_an_intact_record_that_continues_another_log_is_cut(bench: Bench) -> None:
    """What an earlier cut left behind must not come back when the place before it fits again."""
    wal, _ = bench.open()
    append(wal, 1, 1)
    wal.sync()
    (path,) = bench.paths()
    segment_id = int.from_bytes(bench.disk.read(path)[16:24], "little")
    stray, _ = encode(Seal.of(segment_id), RecordType.ENTRY, 1, 2, 1, b"", 12345, 0)
    bench.disk.open(path).write(stray, HEADER_BYTES + wal.position)
    _, recovered = bench.open()
    assert indexes(recovered) == [1]
    assert len(recovered.notes) == 1
    assert bench.open()[1].notes == []


def test_a_power_cut_while_unpromised_segments_are_dropped_leaves_no_gap(bench: Bench) -> None:
    wal, _ = bench.open()
    append(wal, 1, 5)
    wal.sync()
    append(wal, 6, 80)
    wal.sync()
    first = bench.paths()[0]
    bench.disk.rot(first, len(bench.disk.read(first).rstrip(b"\0")) - 1)
    assert len(bench.paths()) > 3
    image = bench.disk.copy()
    for stop in range(2 * len(bench.paths())):
        bench.disk = image.copy()
        bench.disk.fault = power_cut_after(stop)
        with suppress(PowerCut):
            bench.open()
        bench.disk.fault = None
        bench.disk.crash(bench.dice)
        assert indexes(bench.open()[1])[:5] == [1, 2, 3, 4, 5]


# --- whose log


@pytest.mark.parametrize(
    ("identity", "text"),
    [
        (WalIdentity(ClusterId(0xC2), MemberId(0xA1)), "belongs to cluster c1, not to c2"),
        (WalIdentity(ClusterId(0xC1), MemberId(0xA2)), "belongs to member a1, not to a2"),
    ],
)
def test_the_log_of_another_is_refused(bench: Bench, identity: WalIdentity, text: str) -> None:
    bench.open()
    with pytest.raises(WrongDataDirectory, match=text):
        bench.open(identity)


def test_an_unknown_format_version_is_refused(bench: Bench) -> None:
    bench.open()
    (path,) = bench.paths()
    bench.disk.rot(path, 8, FORMAT_VERSION ^ 77)
    with pytest.raises(WrongDataDirectory, match="version 77"):
        bench.open()


# --- space


def test_a_released_segment_is_zeroed_and_becomes_the_next_one(bench: Bench) -> None:
    wal, _ = bench.open()
    append(wal, 1, 40)
    wal.sync()
    count = len(bench.paths())
    wal.release(40, 1, b"members")
    wal.sync()
    upkeep(wal)
    assert len(bench.paths()) < count
    (spare,) = bench.blanks()
    assert not bench.disk.read(spare).strip(b"\0")
    append(wal, 41, 20)
    wal.sync()
    assert not bench.blanks()
    _, recovered = bench.open()
    assert recovered.base == WalBase(40, 1, b"members", 0)
    assert indexes(recovered) == list(range(41, 61))


def test_a_spare_that_waits_for_the_sync_thread_is_not_taken_for_the_next_one(
    bench: Bench,
) -> None:
    wal, _ = bench.open()
    upkeep(wal)
    append(wal, 1, 20)  # goes on in the spare, which stays blank until the job has run
    waiting = wal.begin_sync()
    upkeep(wal)
    assert waiting is not None
    waiting.run()
    wal.finish_sync(waiting)
    append(wal, 21, 20)
    wal.sync()
    assert indexes(bench.open()[1]) == list(range(1, 41))


def test_a_segment_is_kept_until_the_release_is_durable(bench: Bench) -> None:
    wal, _ = bench.open()
    append(wal, 1, 40)
    wal.sync()
    paths = bench.paths()
    upkeep(wal)
    wal.release(40, 1, b"")
    assert wal.begin_upkeep() is None
    assert bench.paths() == paths


@pytest.mark.parametrize("is_reopened", [False, True])
def test_after_a_truncation_only_what_the_base_covers_is_given_up(
    bench: Bench, is_reopened: bool
) -> None:
    wal, _ = bench.open()
    append(wal, 1, 60)
    wal.append_truncation(31)
    append(wal, 31, 60)
    wal.sync()
    if is_reopened:
        wal, _ = bench.open()
    wal.release(10, 1, b"")
    wal.sync()
    upkeep(wal)
    assert indexes(bench.open()[1]) == list(range(11, 91))
    wal, _ = bench.open()
    before = len(bench.paths())
    wal.release(40, 1, b"")
    wal.sync()
    upkeep(wal)
    # The truncated entries above 40 do not keep their segments.
    assert before - len(bench.paths()) == 4
    assert indexes(bench.open()[1]) == list(range(41, 91))


def test_a_full_disk_refuses_the_spare_but_not_the_log(bench: Bench) -> None:
    wal, _ = bench.open()
    bench.disk.free_bytes = 10
    job = wal.begin_upkeep()
    assert job is not None
    with pytest.raises(StorageFull):
        job.run()
    wal.finish_upkeep(job)
    append(wal, 1, 1)
    wal.sync()
    bench.disk.free_bytes = None
    upkeep(wal)
    assert len(bench.blanks()) == 1


def test_an_entry_larger_than_a_segment_gets_one_of_its_own_size(bench: Bench) -> None:
    wal, _ = bench.open()
    append(wal, 1, 1, size=9000)
    append(wal, 2, 1)
    wal.sync()
    assert indexes(bench.open()[1]) == [1, 2]


def test_releasing_what_is_told_bounds_what_is_retained(bench: Bench) -> None:
    wal, _ = bench.open()
    append(wal, 1, 100)
    wal.sync()
    assert wal.index_to_retain(wal.retained_bytes) <= 0
    wal.release(wal.index_to_retain(6000), 1, b"")
    wal.sync()
    assert wal.retained_bytes <= 6000


# --- failure


@pytest.mark.parametrize("point", ["wal_before_write", "wal_before_sync", "wal_before_create"])
def test_the_first_failure_is_final_and_noted(bench: Bench, point: str) -> None:
    def fail() -> None:
        raise OSError(5, "gone")

    wal, _ = bench.open()
    append(wal, 1, 40)
    failpoint.arm(point, fail)
    try:
        with pytest.raises(WalFailed, match="gone"):
            wal.sync()
    finally:
        failpoint.disarm(point)
    for call in (wal.sync, wal.begin_sync, wal.begin_upkeep, lambda: append(wal, 41, 1)):
        with pytest.raises(WalFailed, match="gone"):
            call()
    assert FAILURE_NAME in bench.disk.names(DIRECTORY)
    wal, recovered = bench.open()
    assert "gone" in recovered.failure
    wal.forget_failure()
    assert bench.open()[1].failure == ""


def test_after_a_failed_sync_what_is_recovered_is_written_anew(bench: Bench) -> None:
    """The page cache calls it clean, though it never reached the disk."""
    wal, _ = bench.open()
    append(wal, 1, 3)

    def fault(operation: str, path: Path) -> None:
        if operation == "sync":
            bench.disk.fault = None
            raise OSError(5, "lost")

    bench.disk.fault = fault
    with pytest.raises(WalFailed):
        wal.sync()
    bench.disk.kill()
    _, recovered = bench.open()
    assert indexes(recovered) == [1, 2, 3]
    for _ in range(10):
        bench.disk.crash(bench.dice)
        assert indexes(bench.open()[1]) == [1, 2, 3]


# --- the real disk


@pytest.fixture(params=["real", "simulated"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Disk, Path]:
    return (RealDisk(), tmp_path / "wal") if request.param == "real" else (SimDisk(), DIRECTORY)


def test_disks_agree_on_names_contents_and_errors(place: tuple[Disk, Path]) -> None:
    disk, directory = place
    disk.make_directory(directory)
    file = disk.create(directory / "b")
    file.allocate(3000)
    file.write(b"xyz", 1000)
    file.write_zeros(1001, 1)
    file.sync()
    file.close()
    disk.rename(directory / "b", directory / "a")
    disk.create(directory / "c").close()
    disk.sync_directory(directory)
    assert disk.names(directory) == ["a", "c"]
    assert disk.read(directory / "a") == bytes(1000) + b"x\0z" + bytes(1997)
    disk.unlink(directory / "c")
    assert disk.names(directory) == ["a"]
    with pytest.raises(FileNotFoundError):
        disk.open(directory / "c")


def test_a_log_on_the_real_disk_comes_back(place: tuple[Disk, Path]) -> None:
    disk, directory = place
    limits = Limits(wal_segment_bytes=5000)

    def reopen() -> tuple[WriteAheadLog, Recovered]:
        return WriteAheadLog.open(
            directory, disk=disk, limits=limits, identity=IDENTITY, entropy=Dice()
        )

    wal, _ = reopen()
    append(wal, 1, 100)
    wal.sync()
    wal.release(50, 1, b"m")
    wal.sync()
    upkeep(wal)
    append(wal, 101, 50)
    wal.sync()
    wal.close()
    wal, recovered = reopen()
    wal.close()
    assert recovered.base == WalBase(50, 1, b"m", 0)
    assert indexes(recovered) == list(range(51, 151))
