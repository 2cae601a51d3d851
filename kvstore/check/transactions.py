"""Transactional anomalies: cycles among transactions on lists or registers.

The names are Adya's ("Weak consistency", 1999); the method is that of Elle (Kingsbury and Alvaro,
2020): find in which order each key's versions were made, draw which transaction depends on which,
and look for cycles. For lists the longest read tells the order of the appends. For registers the
store's revisions do, where the results name them; else what a transaction read before it wrote.

| edge | |
|---|---|
| ww | the target overwrote or extended what the source wrote |
| wr | the target read what the source wrote |
| rw | the target overwrote or extended what the source read |
| rt | the source had returned before the target was invoked |
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from kvstore.check.graph import Edge, Graph
from kvstore.check.history import FOREVER, History, Operation, Outcome
from kvstore.check.micro_operations import MicroOperation, micro_operations
from kvstore.check.verdict import Finding, Verdict
from kvstore.check.versions import (
    Transaction,
    Versions,
    list_versions,
    register_versions,
)
from kvstore.check.wording import operation_text

GUARANTEE = "strictly serializable (transactions)"

_CYCLES = (
    ("G0: a cycle of writes", {"ww"}, {"ww"}),
    ("G1c: a cycle of writes and reads of them", {"wr"}, {"ww", "wr"}),
    ("G-single: a cycle with one read of the past", {"rw"}, {"ww", "wr"}),
    ("G2: a cycle with several reads of the past", {"rw"}, {"ww", "wr", "rw"}),
)
_REAL_TIME = ("real-time cycle: an order exists, but not in real time", {"rt"})


def check_transactions(history: History) -> list[Finding]:
    """Judge all operations of kind `transaction`: one finding per anomaly, or one that all is well.

    Raises:
        MalformedHistory: one is no transaction on lists or registers.
    """
    operations = [o for o in history.operations if o.kind == "transaction"]
    transactions = [Transaction(o, micro_operations(o)) for o in operations]
    is_list = any(
        part.function == "append" or isinstance(part.value, tuple)
        for transaction in transactions
        for part in transaction.micro
    )
    versions = list_versions(transactions) if is_list else register_versions(transactions)
    findings = [*versions.problems]
    findings += _impossible_reads(transactions, versions, is_list=is_list)
    if not is_list:
        findings += _lost_updates(versions)
    findings += _cycles(_dependencies(transactions, versions), history.operations)
    if findings:
        return findings
    return [
        Finding(
            guarantee=GUARANTEE,
            verdict=Verdict.HOLDS,
            summary=f"no anomaly among {len(transactions)} transactions",
        )
    ]


# --- anomalies of one read


def _impossible_reads(
    transactions: Sequence[Transaction], versions: Versions, *, is_list: bool
) -> Iterator[Finding]:
    for transaction in transactions:
        if transaction.is_committed:
            yield from _not_its_own(transaction, is_list=is_list)
        for key, read in transaction.reads.items():
            values = read if is_list and isinstance(read, tuple) else (read,)
            for value in values:
                if value is None:
                    continue
                writer = versions.writer.get((key, value))
                if writer is None:
                    yield _anomaly(
                        "garbage read", f"nobody wrote {value!r} to {key!r}", transaction
                    )
                elif writer.operation.outcome is Outcome.REFUSED:
                    yield _anomaly(
                        "G1a: aborted read",
                        f"{value!r} of {key!r} was written by #{writer.index}, which was refused",
                        writer,
                        transaction,
                    )
            yield from _intermediate(transaction, key, values, versions)


def _intermediate(
    reader: Transaction, key: str, values: Sequence[object], versions: Versions
) -> Iterator[Finding]:
    writer = versions.writer.get((key, values[-1])) if values else None
    if writer is None or writer is reader:
        return
    if writer.writes[key][-1] != values[-1]:
        yield _anomaly(
            "G1b: intermediate read",
            f"#{reader.index} read {values[-1]!r} of {key!r}, which #{writer.index} replaced later "
            f"in the same transaction",
            writer,
            reader,
        )


def _not_its_own(transaction: Transaction, *, is_list: bool) -> Iterator[Finding]:
    """Check what a transaction reads of keys that it has read or written before."""
    is_own = _sees_its_lists if is_list else _sees_its_registers
    for key in dict.fromkeys(part.key for part in transaction.micro):
        if not is_own([part for part in transaction.micro if part.key == key]):
            yield _anomaly(
                "internal",
                f"#{transaction.index} does not see its own reads and writes of {key!r}",
                transaction,
            )


def _sees_its_registers(micro: Sequence[MicroOperation]) -> bool:
    for before, part in pairwise(micro):
        if part.is_read and part.value != before.value:
            return False
    return True


def _sees_its_lists(micro: Sequence[MicroOperation]) -> bool:
    known: tuple[object, ...] | None = None  # until a read tells how the list began
    own: tuple[object, ...] = ()
    for part in micro:
        if not part.is_read:
            own = (*own, part.value)
            continue
        values = part.value if isinstance(part.value, tuple) else ()
        if values[len(values) - len(own) :] != own:
            return False
        if known is not None and values != known + own:
            return False
        known, own = values, ()
    return True


def _lost_updates(versions: Versions) -> Iterator[Finding]:
    for (key, value), readers in versions.readers.items():
        updates = [t for t in readers if key in t.writes]
        if len(updates) > 1:
            yield _anomaly(
                "lost update",
                f"{len(updates)} transactions read {value!r} of {key!r} and replaced it: "
                f"all but one are lost",
                *updates,
            )


def _anomaly(name: str, summary: str, *transactions: Transaction) -> Finding:
    return Finding(
        guarantee=name,
        verdict=Verdict.VIOLATED,
        summary=summary,
        operations=tuple(sorted({t.index for t in transactions})),
        steps=tuple(operation_text(t.operation) for t in transactions),
    )


# --- cycles


def _dependencies(transactions: Sequence[Transaction], versions: Versions) -> Graph:
    graph = Graph()
    happened = {
        t.index
        for t in transactions
        if t.is_committed
        or any((key, v) in versions.observed for key, values in t.writes.items() for v in values)
    }
    for (key, value), readers in versions.readers.items():
        writer = versions.writer.get((key, value))
        for reader in readers:
            if writer is not None:
                graph.add(Edge(writer.index, "wr", reader.index, f"{value!r} of {key!r}"))
    for (key, version), successors in versions.successors.items():
        before = versions.writer.get((key, version))
        readers = versions.readers.get((key, version), [])
        for successor in successors:
            after = versions.writer.get((key, successor))
            if after is None or after.index not in happened:
                continue
            why = f"{successor!r} came after {version!r} in {key!r}"
            if before is not None:
                graph.add(Edge(before.index, "ww", after.index, why))
            for reader in readers:
                graph.add(Edge(reader.index, "rw", after.index, why))
    for edge in _real_time([t.operation for t in transactions if t.index in happened]):
        graph.add(edge)
    return graph


def _real_time(operations: Sequence[Operation]) -> Iterator[Edge]:
    """Yield the edges from each operation to those that it immediately precedes; others follow."""
    # At one instant, invocations come first: operations that touch are concurrent.
    instants = sorted(
        [(o.invoked, 0, o.index) for o in operations]
        + [(o.completed, 1, o.index) for o in operations if o.completed != FOREVER]
    )
    frontier: set[int] = set()
    before: dict[int, frozenset[int]] = {}
    for _, is_return, index in instants:
        if is_return:
            frontier -= before[index]
            frontier.add(index)
        else:
            before[index] = frozenset(frontier)
            for source in sorted(frontier):
                yield Edge(source, "rt", index, "returned before it was invoked")


def _cycles(graph: Graph, operations: Sequence[Operation]) -> Iterator[Finding]:
    found = False
    for name, first, rest in _CYCLES:
        cycle = graph.short_cycle(first, rest)
        if cycle is not None and not (found and name.startswith("G2")):
            found = True
            yield _cycle(name, cycle, operations)
    if not found:
        name, first = _REAL_TIME
        cycle = graph.short_cycle(first, {"ww", "wr", "rw", "rt"})
        if cycle is not None:
            yield _cycle(name, cycle, operations)


def _cycle(name: str, cycle: Sequence[Edge], operations: Sequence[Operation]) -> Finding:
    indexes = [edge.source for edge in cycle]
    path = " ".join(f"#{edge.source} -{edge.kind}->" for edge in cycle)
    return Finding(
        guarantee=name,
        verdict=Verdict.VIOLATED,
        summary=f"{path} #{indexes[0]}",
        operations=tuple(sorted(indexes, key=lambda i: operations[i].invoked)),
        steps=(
            *(operation_text(operations[index]) for index in sorted(indexes)),
            *(f"#{e.source} -{e.kind}-> #{e.target}: {e.why}" for e in cycle),
        ),
    )
