"""What a checker says: a verdict, and what it rests on."""

from dataclasses import dataclass
from enum import StrEnum

from kvstore.base.clock import Clock


class Verdict(StrEnum):
    """The answer to "can a correct store have produced this history?"."""

    HOLDS = "holds"
    VIOLATED = "violated"
    UNKNOWN = "unknown"
    """Not decided; the summary says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One guarantee, judged."""

    guarantee: str
    verdict: Verdict
    summary: str
    """One sentence."""
    operations: tuple[int, ...] = ()
    """Indexes of the operations that show the violation, in the order of their invocation."""
    watch: str = ""
    """The watch that shows the violation."""
    steps: tuple[str, ...] = ()
    """Why, a line each."""


class Budget:
    """How long a search may go on: at most `steps`, and until `seconds` have passed on `clock`.

    A budget is spent by whoever it is handed to; what is left goes to the next.
    """

    _CLOCK_STRIDE = 1024
    """Steps between two looks at the clock; a step costs microseconds."""

    def __init__(
        self,
        steps: int = 1_000_000,
        *,
        seconds: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        assert seconds is None or clock is not None, "seconds are counted on a clock"
        self.steps_left = steps
        self._clock = clock
        self._deadline = clock.monotonic() + seconds if clock and seconds is not None else None

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        if self.steps_left <= 0:
            return True
        return (
            self._deadline is not None
            and self._clock is not None
            and self._clock.monotonic() >= self._deadline
        )

    def spend(self) -> bool:
        """Take one step; return whether it may be taken."""
        self.steps_left -= 1
        if self.steps_left <= 0:
            return False
        return self.steps_left % self._CLOCK_STRIDE != 0 or not self.is_spent

    def part(self, steps: int) -> "Budget":
        """Return a budget of at most `steps` that ends with this one; it is not deducted here."""
        part = Budget(min(steps, self.steps_left))
        part._clock, part._deadline = self._clock, self._deadline
        return part
