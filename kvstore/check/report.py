"""The whole judgement of a history: which checks apply, what they found, in words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kvstore.check.etcd_model import EtcdModel
from kvstore.check.history import History, Operation, Outcome
from kvstore.check.leases import check_leases
from kvstore.check.linearizability import Model, linearizable
from kvstore.check.locks import check_locks
from kvstore.check.models import ListAppendModel, MutexModel, RegisterModel
from kvstore.check.revisions import check_revisions
from kvstore.check.shrink import shrunk
from kvstore.check.store_evidence import REPLAYED
from kvstore.check.transactions import check_transactions
from kvstore.check.verdict import Budget, Finding, Verdict
from kvstore.check.watches import check_watches
from kvstore.check.wording import operation_text, printable

State = TypeVar("State")

_SHOWN_MAX = 20
"""Operations of a failing part that the text lists."""
_LEASE_KINDS = frozenset({"grant", "revoke", "keep_alive", "time_to_live"})


@dataclass(frozen=True, slots=True)
class Report:
    """Every finding about a history, in the order of the checks."""

    history: History
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """`violated` if anything is; else `unknown` if anything was not decided."""
        found = {finding.verdict for finding in self.findings}
        for verdict in (Verdict.VIOLATED, Verdict.UNKNOWN):
            if verdict in found:
                return verdict
        return Verdict.HOLDS

    @property
    def violation(self) -> Finding | None:
        """The first violation; None if there is none."""
        violated = (f for f in self.findings if f.verdict is Verdict.VIOLATED)
        return next(violated, None)

    @property
    def text(self) -> str:
        """The findings, and the operations that show the violations."""
        return printable("\n".join(self._lines()) + "\n")

    def _lines(self) -> Iterator[str]:
        counts = dict.fromkeys(Outcome, 0)
        for operation in self.history.operations:
            counts[operation.outcome] += 1
        yield (
            f"{len(self.history.operations)} operations "
            f"({', '.join(f'{count} {outcome}' for outcome, count in counts.items())}), "
            f"{len(self.history.watches)} watches"
        )
        for finding in self.findings:
            yield f"{finding.verdict.value:>8}  {finding.guarantee}: {finding.summary}"
            for step in finding.steps:
                yield f"{'':>10}{step}"
        yield f"verdict: {self.verdict.value}"


def check(history: History, *, models: Sequence[str] = (), budget: Budget | None = None) -> Report:
    """Judge a history by the checks of `models`, or by all that its operations call for.

    Raises:
        MalformedHistory: an operation has no sense to a check.
        KeyError: there is no check of such a name.
    """
    budget = budget or Budget()
    kinds = {operation.kind for operation in history.operations}
    chosen = [CHECKS[name] for name in models] or [
        applicable for applicable in CHECKS.values() if applicable.applies(history, kinds)
    ]
    findings = [finding for one in chosen for finding in one.run(history, budget)]
    judged = frozenset().union(*(one.kinds for one in chosen))
    if unjudged := sorted(kinds - judged):
        findings.append(
            Finding(
                guarantee="all operations",
                verdict=Verdict.UNKNOWN,
                summary=f"no check was made of operations of the kinds {', '.join(unjudged)}",
            )
        )
    return Report(history, tuple(findings))


@dataclass(frozen=True, slots=True)
class Check:
    """A check by the name that users give."""

    kinds: frozenset[str]
    """The operations that it judges."""
    run: Callable[[History, Budget], Sequence[Finding]]
    is_automatic: bool = True

    def applies(self, history: History, kinds: set[str]) -> bool:
        """Whether the history calls for it."""
        return self.is_automatic and (
            bool(self.kinds & kinds) or (self is CHECKS["etcd"] and bool(history.watches))
        )


def _searched(
    history: History, model: Model[State], kinds: frozenset[str], budget: Budget
) -> list[Finding]:
    operations = [o for o in history.operations if o.kind in kinds]
    return [_explained(history, operations, model, budget)]


def _explained(
    history: History, operations: Sequence[Operation], model: Model[State], budget: Budget
) -> Finding:
    """Search, and give a violation its shortest failing part."""
    finding, part = linearizable(operations, model, budget)
    if part is None:
        return finding
    if budget.is_spent:
        return finding
    needed = shrunk(part, budget)
    shown = [operation_text(history.operations[index]) for index in needed[:_SHOWN_MAX]]
    more = len(needed) - len(shown)
    return replace(
        finding,
        operations=needed,
        steps=(
            *finding.steps,
            "these are enough to show it, whenever the others took effect:",
            *shown,
            *([f"and {more} more"] if more else []),
        ),
    )


def _etcd(history: History, budget: Budget) -> list[Finding]:
    finding, replay = check_revisions(history)
    findings = [finding]
    if finding.verdict is Verdict.UNKNOWN and history.is_complete:
        operations = [o for o in history.operations if o.kind in REPLAYED]
        findings = [_explained(history, operations, EtcdModel(history), budget)]
        if findings[0].verdict is Verdict.UNKNOWN:
            findings.insert(0, finding)
    known = None if finding.verdict is Verdict.VIOLATED else replay
    if history.watches:
        findings += check_watches(history, known)
    if any(o.kind in _LEASE_KINDS for o in history.operations):
        findings.append(check_leases(history, known))
    return findings


_REGISTER = frozenset({"read", "write", "cas"})
_MUTEX = frozenset({"acquire", "release"})
_TRANSACTIONS = frozenset({"transaction"})

CHECKS: dict[str, Check] = {
    "etcd": Check(REPLAYED | _LEASE_KINDS, _etcd),
    "register": Check(
        _REGISTER, lambda history, budget: _searched(history, RegisterModel(), _REGISTER, budget)
    ),
    "mutex": Check(
        _MUTEX, lambda history, budget: _searched(history, MutexModel(), _MUTEX, budget)
    ),
    "transactions": Check(_TRANSACTIONS, lambda history, _budget: check_transactions(history)),
    "list-append": Check(
        _TRANSACTIONS,
        lambda history, budget: _searched(history, ListAppendModel(), _TRANSACTIONS, budget),
        is_automatic=False,
    ),
    "locks": Check(
        frozenset({"lock", "unlock"}) | _LEASE_KINDS,
        lambda history, _budget: [check_locks(history)],
    ),
}
"""The checks by name. `list-append` searches where `transactions` looks for cycles."""
