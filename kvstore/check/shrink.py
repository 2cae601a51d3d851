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
_TRIES_MAX = 400


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

    calls = _without_the_needless(_first_failing_beginning(part.calls, fails), fails)
    needed = [call for call in calls if call.completed != FOREVER]
    return tuple(c.index for c in sorted(needed, key=_invocation) if c.index is not None)


def _invocation(call: Call[State]) -> float:
    return call.invoked


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


def _without_the_needless(
    calls: Sequence[Call[State]], fails: Callable[[Sequence[Call[State]]], bool]
) -> Sequence[Call[State]]:
    """Relax all that the failure does without: halves first, then ever smaller pieces."""
    tries = _TRIES_MAX
    size = max(len(calls) // 2, 1)
    while True:
        required = [place for place, call in enumerate(calls) if call.completed != FOREVER]
        for start in range(0, len(required), size):
            piece = frozenset(required[start : start + size])
            attempt = [_relaxed(c) if place in piece else c for place, c in enumerate(calls)]
            tries -= 1
            if fails(attempt):
                calls = attempt
            if tries == 0:
                return calls
        if size == 1:
            return calls
        size //= 2
