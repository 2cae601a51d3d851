"""The checks behind `/livez` and `/readyz`, and how often each has passed."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from kvstore.apply.alarms import CORRUPT
from kvstore.base.errors import RpcError
from kvstore.member import Member

_NAMES = {
    "livez": ("serializable_read",),
    "readyz": ("data_corruption", "serializable_read", "linearizable_read", "non_learner"),
}


class Done(Protocol):
    """Told a line for each check, in order, and whether one has failed."""

    def __call__(self, lines: list[str], *, has_failed: bool) -> None: ...


class HealthChecks:
    """The checks of one member; those of a kind are run one after the other."""

    names = _NAMES
    """The checks of each kind."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self.health_counts: Counter[bool] = Counter()
        """Answers of `/health` by whether they were good."""
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """Results by kind, check and status."""
        self.last: dict[tuple[str, str], bool] = {}
        """Whether each check of a kind passed when it was last run."""
        self._checks: dict[str, Callable[[Callable[[str], None]], None]] = {
            "data_corruption": self._data_corruption,
            "serializable_read": self._serializable_read,
            "linearizable_read": self._linearizable_read,
            "non_learner": self._non_learner,
        }

    def count_health(self, *, is_healthy: bool) -> None:
        """Note an answer of `/health`."""
        self.health_counts[is_healthy] += 1

    def run(self, kind: str, names: Sequence[str], done: Done) -> None:
        """Run the checks of a kind, and tell what came of them."""
        lines: list[str] = []
        has_failed = False
        waiting = list(names)

        def next_check() -> None:
            if waiting:
                self._checks[waiting[0]](finished)
            else:
                done(lines, has_failed=has_failed)

        def finished(problem: str) -> None:
            nonlocal has_failed
            name = waiting.pop(0)
            has_failed = has_failed or bool(problem)
            lines.append(f"[-]{name} failed: {problem}\n" if problem else f"[+]{name} ok\n")
            self.last[kind, name] = not problem
            self.counts[kind, name, "error" if problem else "success"] += 1
            next_check()

        next_check()

    # Each tells what is wrong, or nothing, now or later.

    def _data_corruption(self, tell: Callable[[str], None]) -> None:
        raised = self._member.machine.alarms.is_raised(CORRUPT)
        tell("alarm activated: CORRUPT" if raised else "")

    def _serializable_read(self, tell: Callable[[str], None]) -> None:
        failure = self._member.failure
        tell("" if failure is None else str(failure))

    def _linearizable_read(self, tell: Callable[[str], None]) -> None:
        def confirmed(error: RpcError | None) -> None:
            tell("" if error is None else error.message)

        self._member.read(confirmed)

    def _non_learner(self, tell: Callable[[str], None]) -> None:
        tell("not supported for learner" if self._member.is_learner else "")
