"""The smallest part of a failing history that still fails, for people to read.

Nothing is cut out that the failure may rest on: an operation that is not needed is only relaxed.
It may then take effect at any time after its invocation, or never. Whatever explains the whole
history also explains the relaxed one: a relaxed history without explanation proves the violation.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from kvstore.check.history import FOREVER
from kvstore.check.linearizability import Call, Part, Search
from kvstore.check.verdict import Budget, Verdict

State = TypeVar("State")

_STEPS_PER_TRY = 20_000
_SINGLES_MAX = 64
"""Operations that are tried one by one, once halving has found no more."""


def shrunk(part: Part[State], budget: Budget) -> tuple[int, ...]:
    """Return the indexes of the operations that the violation needs, in the order of invocation.

    `part` has no explanation. Cost: some tens of searches, each of a bounded number of steps.
    """

    def fails(calls: Sequence[Call[State]]) -> bool:
        attempt = budget.part(_STEPS_PER_TRY)
        allowed = attempt.steps_left
        placed = Search(Part(part.name, part.initial, tuple(calls)), attempt).run()
        budget.steps_left -= allowed - max(attempt.steps_left, 0)
        return placed.verdict is Verdict.VIOLATED

    calls = _first_failing_beginning(part.calls, fails)
    calls = _last_failing_end(calls, fails)
    required = [call for call in calls if call.completed != FOREVER]
    if len(required) <= _SINGLES_MAX:
        for call in required:
            without = [_relaxed(c) if c is call else c for c in calls]
            if fails(without):
                calls = without
    needed = [call for call in calls if call.completed != FOREVER and call.index is not None]
    return tuple(
        call.index for call in sorted(needed, key=lambda c: c.invoked) if call.index is not None
    )


def _relaxed(call: Call[State]) -> Call[State]:
    return replace(call, completed=FOREVER)


def _first_failing_beginning(
    calls: Sequence[Call[State]], fails: Callable[[Sequence[Call[State]]], bool]
) -> Sequence[Call[State]]:
    """Return what was known at the first instant at which it could not be explained any more."""

    def until(instant: float) -> list[Call[State]]:
        begun = [call for call in calls if call.invoked <= instant]
        return [call if call.completed <= instant else _relaxed(call) for call in begun]

    instants = sorted({call.completed for call in calls if call.completed != FOREVER})
    low, high, best = 0, len(instants) - 1, calls
    while low <= high:
        middle = (low + high) // 2
        attempt = until(instants[middle])
        if fails(attempt):
            best, high = attempt, middle - 1
        else:
            low = middle + 1
    return best


def _last_failing_end(
    calls: Sequence[Call[State]], fails: Callable[[Sequence[Call[State]]], bool]
) -> Sequence[Call[State]]:
    """Relax what returned early, as much of it as the failure does without."""
    instants = sorted({call.completed for call in calls if call.completed != FOREVER})
    low, high, best = 0, len(instants) - 1, calls
    while low <= high:
        middle = (low + high) // 2
        attempt = [_relaxed(c) if c.completed <= instants[middle] else c for c in calls]
        if fails(attempt):
            best, low = attempt, middle + 1
        else:
            high = middle - 1
    return best
