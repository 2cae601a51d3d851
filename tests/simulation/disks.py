"""Where a simulated machine's log lives: records in memory, or the real log on a simulated disk."""

from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Protocol

from kvstore.base.ids import ClusterId, LogIndex, MemberId, Term
from kvstore.base.limits import Limits
from kvstore.raft.journal import Journal
from kvstore.wal.jobs import SyncJob
from kvstore.wal.segment import WalIdentity
from kvstore.wal.write_ahead_log import Recovered, WriteAheadLog
from tests.simulation.checkers import Checkers
from tests.support.memory_log import Image, MemoryLog
from tests.support.sim_disk import SimDisk
from tests.support.world import SeededEntropy

_DIRECTORY = Path("/member/wal")
_SEGMENT_BYTES = 32 * 1024


class PowerCut(BaseException):
    """The machine stops in the middle of a step."""


class NodeDisk(Protocol):
    """What of a machine's log survives a crash."""

    def open(self) -> tuple[WriteAheadLog, Recovered]:
        """Recover the log."""
        ...

    def crash(self, journal: Journal, unfinished: SyncJob | None) -> None:
        """Lose power, perhaps in the middle of a sync."""
        ...

    def holds(self, journal: Journal, index: LogIndex, term: Term) -> bool:
        """Whether an entry survives a crash now, for certain; the journal may be a dead one."""
        ...

    def check_recovery(self, journal: Journal, checkers: Checkers) -> None:
        """Judge whether what was durable at the crash is there."""
        ...


class MemoryDisk:
    """A log in memory: some first part of the records not yet synced survives a crash."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._image = Image()
        self._log = MemoryLog(self._image)

    def open(self) -> tuple[WriteAheadLog, Recovered]:
        self._log = MemoryLog(self._image)
        return self._log, self._log.recovered()  # type: ignore[return-value]  # its twin

    def crash(self, journal: Journal, unfinished: SyncJob | None) -> None:
        self._log.crash(self._dice)

    def holds(self, journal: Journal, index: LogIndex, term: Term) -> bool:
        image = self._image
        return index <= image.base.index or image.term_at(index) == term

    def check_recovery(self, journal: Journal, checkers: Checkers) -> None:
        """The image itself is judged all the time, by `holds`."""


class SectorDisk:
    """The real log on a disk that loses any part of what was not synced."""

    def __init__(self, node_id: MemberId, dice: Random) -> None:
        self._entropy = SeededEntropy(dice)
        self._disk = SimDisk()
        self._identity = WalIdentity(ClusterId(1), node_id)
        self._promised: dict[LogIndex, Term] = {}

    def open(self) -> tuple[WriteAheadLog, Recovered]:
        return WriteAheadLog.open(
            _DIRECTORY,
            disk=self._disk,
            limits=Limits(wal_segment_bytes=_SEGMENT_BYTES),
            identity=self._identity,
            entropy=self._entropy,
        )

    def crash(self, journal: Journal, unfinished: SyncJob | None) -> None:
        first, durable = journal.first_index, journal.durable_index
        terms = {
            LogIndex(index): journal.term_at(LogIndex(index)) for index in range(first, durable + 1)
        }
        self._promised = {index: term for index, term in terms.items() if term is not None}
        if unfinished is not None:
            self._disk.fault = _cut_before_sync
            with suppress(PowerCut):
                unfinished.run()  # written, but never synced
            self._disk.fault = None
        self._disk.crash(self._entropy)

    def holds(self, journal: Journal, index: LogIndex, term: Term) -> bool:
        is_covered = index <= journal.first_index or journal.term_at(index) == term
        return is_covered and index <= journal.durable_index

    def check_recovery(self, journal: Journal, checkers: Checkers) -> None:
        for index, term in self._promised.items():
            if index >= journal.first_index and journal.term_at(index) != term:
                checkers.fail("commit_durability", f"a durable entry {index} is gone")


def _cut_before_sync(operation: str, path: Path) -> None:
    if operation == "sync":
        raise PowerCut
