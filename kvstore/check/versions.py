"""In which order the versions of each key were made, as far as transactions on it tell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

from kvstore.check.history import Operation, Outcome
from kvstore.check.micro_operations import MicroOperation
from kvstore.check.store_evidence import revision_of
from kvstore.check.verdict import Finding, Verdict

Value: TypeAlias = object


@dataclass(frozen=True)
class Transaction:
    """An operation on lists or registers, taken apart."""

    operation: Operation
    micro: tuple[MicroOperation, ...]

    @property
    def index(self) -> int:
        """Its operation's."""
        return self.operation.index

    @property
    def is_committed(self) -> bool:
        """Whether it certainly took effect."""
        return self.operation.outcome is Outcome.OK

    @cached_property
    def writes(self) -> dict[str, list[Value]]:
        """What it wrote or appended to each key, in its order."""
        found: dict[str, list[Value]] = {}
        for part in self.micro:
            if not part.is_read:
                found.setdefault(part.key, []).append(part.value)
        return found

    @cached_property
    def reads(self) -> dict[str, Value]:
        """What it read of each key before it wrote to it; empty if it may not have taken effect."""
        found: dict[str, Value] = {}
        written: set[str] = set()
        for part in self.micro if self.is_committed else ():
            if not part.is_read:
                written.add(part.key)
            elif part.key not in written:
                found.setdefault(part.key, part.value)
        return found

    @property
    def lists_read(self) -> Iterator[tuple[str, tuple[Value, ...]]]:
        """Yield each list it read, its own appends included; none if it may not have happened."""
        for part in self.micro if self.is_committed else ():
            if part.is_read:
                yield part.key, part.value if isinstance(part.value, tuple) else ()


@dataclass(slots=True)
class Versions:
    """What each transaction made, saw, and came before, by key."""

    writer: dict[tuple[str, Value], Transaction] = field(default_factory=dict)
    readers: dict[tuple[str, Value], list[Transaction]] = field(default_factory=dict)
    """Of a version; null is the version before the first."""
    successors: dict[tuple[str, Value], list[Value]] = field(default_factory=dict)
    """The versions that are known to come after one, the nearest if that is known."""
    observed: set[tuple[str, Value]] = field(default_factory=set)
    """The versions that somebody saw, so that they were made."""
    problems: list[Finding] = field(default_factory=list)

    def follow(self, key: str, version: Value, successor: Value) -> None:
        """Note that `successor` comes after `version`."""
        known = self.successors.setdefault((key, version), [])
        if successor not in known:
            known.append(successor)

    def problem(self, anomaly: str, summary: str, *transactions: Transaction | None) -> None:
        """Note what needs no cycle to be wrong."""
        indexes = sorted({t.index for t in transactions if t is not None})
        self.problems.append(
            Finding(
                guarantee=anomaly,
                verdict=Verdict.VIOLATED,
                summary=summary,
                operations=tuple(indexes),
            )
        )


def _written(transactions: Sequence[Transaction]) -> Versions:
    versions = Versions()
    for transaction in transactions:
        for key, values in transaction.writes.items():
            for value in values:
                other = versions.writer.setdefault((key, value), transaction)
                if other is not transaction or values.count(value) > 1:
                    versions.problems.append(
                        Finding(
                            guarantee="unique values",
                            verdict=Verdict.UNKNOWN,
                            summary=f"{value!r} is written to {key!r} twice: anomalies of this key "
                            f"cannot be told",
                            operations=tuple(sorted({other.index, transaction.index})),
                        )
                    )
    return versions


# --- lists


def list_versions(transactions: Sequence[Transaction]) -> Versions:
    """Return the versions of lists; each is named by the value appended last."""
    versions = _written(transactions)
    longest = _longest_reads(transactions, versions)
    for key, values in longest.items():
        for version, successor in pairwise((None, *values)):
            versions.follow(key, version, successor)
            versions.observed.add((key, successor))
    for transaction in transactions:
        for key, read in transaction.reads.items():
            values = read if isinstance(read, tuple) else ()
            version = values[-1] if values else None
            versions.readers.setdefault((key, version), []).append(transaction)
        if not transaction.is_committed:
            continue
        for key, appended in transaction.writes.items():
            # What nobody saw came after all that somebody saw, or it would have been seen, too.
            seen = longest.get(key, ())
            if appended[0] not in seen:
                versions.follow(key, seen[-1] if seen else None, appended[0])
    return versions


def _longest_reads(
    transactions: Sequence[Transaction], versions: Versions
) -> dict[str, tuple[Value, ...]]:
    """Return the longest read of each key, and note the reads that do not begin it."""
    longest: dict[str, tuple[tuple[Value, ...], Transaction]] = {}
    reads = [(t, key, values) for t in transactions for key, values in t.lists_read]
    for transaction, key, values in reads:
        if len(set(values)) < len(values):
            versions.problem(
                "duplicate elements", f"{key!r} was read as {list(values)}", transaction
            )
        if key not in longest or len(values) > len(longest[key][0]):
            longest[key] = (values, transaction)
    for transaction, key, values in reads:
        known, other = longest[key]
        if values != known[: len(values)]:
            versions.problem(
                "incompatible order",
                f"{key!r} was read as {list(values)} and as {list(known)}: "
                f"neither begins the other",
                transaction,
                other,
            )
    return {key: values for key, (values, _) in longest.items()}


# --- registers


def register_versions(transactions: Sequence[Transaction]) -> Versions:
    """Return the versions of registers; each is named by its value, all different."""
    versions = _written(transactions)
    writers: dict[str, list[Transaction]] = {}
    for transaction in transactions:
        for key, value in transaction.reads.items():
            versions.readers.setdefault((key, value), []).append(transaction)
            versions.observed.add((key, value))
            if key in transaction.writes:
                versions.follow(key, value, transaction.writes[key][-1])
        if transaction.is_committed:
            for key in transaction.writes:
                writers.setdefault(key, []).append(transaction)
    for key, group in writers.items():
        by_revision = [(revision_of(t.operation), t) for t in group]
        numbered = [(revision, t.index, t) for revision, t in by_revision if revision is not None]
        if len(numbered) == len(group):
            chain = [t.writes[key][-1] for _, _, t in sorted(numbered, key=lambda item: item[:2])]
            for version, successor in pairwise((None, *chain)):
                versions.follow(key, version, successor)
        else:
            for transaction in group:
                versions.follow(key, None, transaction.writes[key][-1])
    return versions
