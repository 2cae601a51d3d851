"""A twin of `WriteAheadLog` that keeps its records in memory, and can lose what was not synced."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from kvstore.wal.recovery import NO_BASE, WalBase, WalEntry
from kvstore.wal.write_ahead_log import Recovered


@dataclass(slots=True)
class Image:
    """What is on the disk: the records that a recovery would find, already played."""

    base: WalBase = NO_BASE
    entries: list[WalEntry] = None  # type: ignore[assignment]
    term: int = 0
    vote: int = 0

    def __post_init__(self) -> None:
        if self.entries is None:
            self.entries = []

    def term_at(self, index: int) -> int | None:
        """Return the term of the entry at `index`, or of the base."""
        if index == self.base.index:
            return self.base.term
        position = index - self.base.index - 1
        return self.entries[position].term if 0 <= position < len(self.entries) else None


class MemoryJob:
    """A sync under way."""

    def __init__(self, log: "MemoryLog", sequence: int) -> None:
        self._log = log
        self.sequence = sequence

    def run(self) -> None:
        """Make the records durable."""
        self._log.play(self.sequence)


class MemoryLog:
    """One run of a member's log, over the `Image` that outlives it."""

    def __init__(self, image: Image, *, jobs_max: int = 4) -> None:
        self.image = image
        self.sequence = 0
        self.durable_sequence = 0
        self._pending: list[Callable[[], None]] = []
        self._played = 0
        self._generation = image.base.generation
        self._jobs_max = jobs_max
        self._jobs = 0
        self._begun = 0

    def recovered(self) -> Recovered:
        """Return what the image holds."""
        image = self.image
        return Recovered(
            base=image.base,
            entries=list(image.entries),
            term=image.term,
            vote=image.vote,
            is_new=image.base is NO_BASE,
            failure="",
            notes=[],
        )

    # --- WriteAheadLog

    def append_entry(self, index: int, term: int, kind: int, data: bytes) -> int:
        entry = WalEntry(index, term, kind, data)
        return self._append(lambda: self.image.entries.append(entry))

    def append_truncation(self, index: int) -> int:
        def truncate() -> None:
            del self.image.entries[index - self.image.base.index - 1 :]

        return self._append(truncate)

    def append_hard_state(self, term: int, vote: int) -> int:
        def set_state() -> None:
            self.image.term, self.image.vote = term, vote

        return self._append(set_state)

    def append_reset(self, index: int, term: int, membership: bytes, generation: int) -> int:
        self._generation = generation

        def reset() -> None:
            self.image.base = WalBase(index, term, membership, generation)
            self.image.entries.clear()

        return self._append(reset)

    def release(self, index: int, term: int, membership: bytes) -> int:
        generation = self._generation

        def release() -> None:
            del self.image.entries[: index - self.image.base.index]
            self.image.base = WalBase(index, term, membership, generation)

        return self._append(release)

    def begin_sync(self) -> MemoryJob | None:
        if self._begun == self.sequence or self._jobs == self._jobs_max:
            return None
        self._begun = self.sequence
        self._jobs += 1
        return MemoryJob(self, self.sequence)

    def finish_sync(self, job: MemoryJob) -> None:
        self._jobs -= 1
        self.durable_sequence = max(self.durable_sequence, job.sequence)

    def sync(self) -> None:
        self.play(self.sequence)
        self._begun = self.durable_sequence = self.sequence

    # --- the disk

    def play(self, upto: int) -> None:
        """Put the records up to sequence `upto` into the image."""
        count = upto - self._played
        if count <= 0:
            return
        for record in self._pending[:count]:
            record()
        del self._pending[:count]
        self._played = upto

    def crash(self, dice: Random) -> None:
        """Lose power: some first part of what was not synced has reached the disk."""
        self.play(self._played + dice.randint(0, len(self._pending)))
        self._pending.clear()

    def _append(self, record: Callable[[], None]) -> int:
        self._pending.append(record)
        self.sequence += 1
        return self.sequence
