"""The write-ahead log beside a model a child could check: the list of everything ever appended."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from kvstore.base.errors import StorageFull, WalFailed
from kvstore.base.ids import ClusterId, MemberId
from kvstore.base.limits import Limits
from kvstore.wal import Recovered, SyncJob, WalBase, WalEntry, WalIdentity, WriteAheadLog
from tests.support.sim_disk import SimDisk

DIRECTORY = Path("/wal")
EVERY_STEP = {"create", "write", "sync", "rename", "unlink", "sync_directory"}
IDENTITY = WalIdentity(ClusterId(7), MemberId(8))


NOTHING = WalBase(0, 0, b"", 0)


class PowerCut(BaseException):
    """The machine stopped in the middle of a disk operation."""


class SeededEntropy:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def fraction(self) -> float:
        return self._random.random()

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)


@dataclass(frozen=True)
class Model:
    """What a log says, after some number of records."""

    base: WalBase = NOTHING
    entries: tuple[WalEntry, ...] = ()
    term: int = 0
    vote: int = 0

    @property
    def last_index(self) -> int:
        return self.entries[-1].log_index if self.entries else self.base.index

    @classmethod
    def of(cls, recovered: Recovered) -> "Model":
        return cls(recovered.base, tuple(recovered.entries), recovered.term, recovered.vote)


class LogUnderFaults(RuleBasedStateMachine):
    """Every recovery yields a state the log went through: none before what was promised."""

    @initialize(
        segment_bytes=st.sampled_from([100, 700, 3000, 20_000]),
        in_flight=st.integers(1, 4),
        seed=st.integers(0, 2**32),
    )
    def begin(self, segment_bytes: int, in_flight: int, seed: int) -> None:
        self.entropy = SeededEntropy(seed)
        self.limits = Limits(wal_segment_bytes=segment_bytes, entries_in_flight_max=in_flight)
        self.disk = SimDisk()
        self.history = [Model()]
        """The state after each record since the last recovery."""
        self.promised = 0
        self.jobs: list[tuple[SyncJob, int]] = []
        self.open()

    # --- appending

    @rule(sizes=st.lists(st.integers(0, 900), min_size=1, max_size=8), kind=st.integers(0, 2))
    def append(self, sizes: list[int], kind: int) -> None:
        for size in sizes:
            self.append_one(size, kind)

    def append_one(self, size: int, kind: int) -> None:
        now = self.history[-1]
        data = self.entropy.bits(8 * size).to_bytes(size, "little") if size else b""
        entry = WalEntry(now.last_index + 1, now.term, kind, data)
        self.record(
            lambda wal: wal.append_entry(*entry), replace(now, entries=(*now.entries, entry))
        )

    @precondition(lambda self: self.history[-1].entries)
    @rule(position=st.integers(0, 2**16))
    def truncate(self, position: int) -> None:
        now = self.history[-1]
        kept = position % len(now.entries)
        index = now.entries[kept].log_index
        self.record(
            lambda wal: wal.append_truncation(index), replace(now, entries=now.entries[:kept])
        )

    @rule(terms=st.integers(0, 3), vote=st.integers(0, 5))
    def elect(self, terms: int, vote: int) -> None:
        now = self.history[-1]
        term = now.term + terms
        self.record(
            lambda wal: wal.append_hard_state(term, vote), replace(now, term=term, vote=vote)
        )

    @rule(ahead=st.integers(-2, 5), membership=st.binary(max_size=40))
    def install(self, ahead: int, membership: bytes) -> None:
        now = self.history[-1]
        base = WalBase(
            max(now.base.index, now.last_index + ahead),
            now.term,
            membership,
            now.base.generation + 1,
        )
        self.record(
            lambda wal: wal.append_reset(base.index, base.term, membership, base.generation),
            replace(now, base=base, entries=()),
        )

    @rule()
    def switch_generation(self) -> None:
        now = self.history[-1]
        base = replace(now.base, generation=now.base.generation + 1)
        self.record(lambda wal: wal.append_generation(base.generation), replace(now, base=base))

    @rule(position=st.integers(0, 2**16), membership=st.binary(max_size=40))
    def release(self, position: int, membership: bytes) -> None:
        now = self.history[-1]
        dropped = position % (len(now.entries) + 1)
        index = now.base.index + dropped
        term = now.entries[dropped - 1].term if dropped else now.base.term
        base = WalBase(index, term, membership, now.base.generation)
        self.record(
            lambda wal: wal.release(index, term, membership),
            replace(now, base=base, entries=now.entries[dropped:]),
        )

    # --- syncing

    @rule(is_written=st.booleans())
    def begin_sync(self, is_written: bool) -> None:
        def step(wal: WriteAheadLog) -> None:
            job = wal.begin_sync()
            if job is not None:
                self.jobs.append((job, len(self.history) - 1))
                if is_written and len(self.jobs) == 1:
                    job.write()

        self.attempt(step)

    @precondition(lambda self: self.jobs)
    @rule()
    def finish_sync(self) -> None:
        job, state = self.jobs.pop(0)

        def step(wal: WriteAheadLog) -> None:
            job.run()
            wal.finish_sync(job)
            self.promised = max(self.promised, state)

        self.attempt(step)

    @rule()
    def sync(self) -> None:
        def step(wal: WriteAheadLog) -> None:
            wal.sync()
            self.promised = len(self.history) - 1
            assert wal.durable_sequence == wal.sequence

        self.attempt(step)

    @rule(is_full=st.booleans(), is_synced=st.booleans())
    def upkeep(self, is_full: bool, is_synced: bool) -> None:
        def step(wal: WriteAheadLog) -> None:
            if is_synced:
                wal.sync()
                self.promised = len(self.history) - 1
                self.jobs.clear()
            job = wal.begin_upkeep()
            if job is None:
                return
            self.disk.free_bytes = 0 if is_full else None
            try:
                job.run()
            except StorageFull:
                assert is_full
            finally:
                self.disk.free_bytes = None
            wal.finish_upkeep(job)

        self.attempt(step)

    # --- faults

    @rule(
        kind=st.sampled_from(["kill", "cut", "cut later", "fail later"]), steps=st.integers(0, 20)
    )
    def fault(self, kind: str, steps: int) -> None:
        match kind:
            case "kill":
                self.kill()
            case "cut":
                self.cut_power()
            case "cut later":
                self.disk.fault = self.after(steps, PowerCut(), EVERY_STEP)
            case _:
                self.disk.fault = self.after(
                    steps, OSError(5, "the disk failed"), {"write", "sync"}
                )

    def kill(self) -> None:
        """The process ends: what was written is read back, though perhaps never synced."""
        self.disk.kill()
        self.open()

    def cut_power(self) -> None:
        self.disk.crash(self.entropy)
        self.open()

    def after(
        self, steps: int, error: BaseException, operations: set[str]
    ) -> Callable[[str, Path], None]:
        """Raise `error` in the middle of whatever comes then, recovery included."""
        countdown = steps

        def fault(operation: str, path: Path) -> None:
            nonlocal countdown
            if operation not in operations:
                return
            if countdown == 0:
                self.disk.fault = None
                raise error
            countdown -= 1

        return fault

    # --- inside

    def open(self) -> None:
        """Recover, however often the power fails meanwhile."""
        self.jobs = []
        while True:
            try:
                self.wal, recovered = WriteAheadLog.open(
                    DIRECTORY,
                    disk=self.disk,
                    limits=self.limits,
                    identity=IDENTITY,
                    entropy=self.entropy,
                )
                if recovered.failure:
                    self.wal.forget_failure()
                break
            except PowerCut:
                self.disk.crash(self.entropy)
            except WalFailed:
                self.disk.kill()
        found = Model.of(recovered)
        possible = self.history[self.promised :]
        assert found in possible, (found, self.promised)
        self.history = [found]
        self.promised = 0

    def attempt(self, step: Callable[[WriteAheadLog], None]) -> None:
        try:
            step(self.wal)
        except PowerCut:
            self.disk.crash(self.entropy)
            self.open()
        except WalFailed:
            self.check_failure_is_final()
            if self.entropy.bits(1):
                self.disk.kill()
            else:
                self.disk.crash(self.entropy)
            self.open()

    def record(self, append: Callable[[WriteAheadLog], int], after: Model) -> None:
        before = self.wal.sequence
        assert append(self.wal) == before + 1
        self.history.append(after)

    def check_failure_is_final(self) -> None:
        for call in (self.wal.sync, self.wal.begin_sync, self.wal.begin_upkeep):
            try:
                call()
            except WalFailed:
                continue
            raise AssertionError("a failed log goes on")

    @invariant()
    def positions_make_sense(self) -> None:
        assert self.wal.durable_sequence <= self.wal.sequence
        assert 0 < self.wal.retained_bytes <= self.wal.position

    def teardown(self) -> None:
        """Whatever happened, the log opens once more, and a second time the same."""
        if hasattr(self, "wal"):
            self.cut_power()
            self.disk.kill()
            again = self.history[-1]
            self.open()
            assert self.history[-1] == again


TestLogUnderFaults = LogUnderFaults.TestCase
TestLogUnderFaults.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
