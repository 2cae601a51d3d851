"""A world in one thread: one heap of events, one virtual time, and all dice from one seed."""

import heapq
from collections.abc import Callable
from random import Random

START = 1000.0
"""Virtual seconds at the beginning; not 0, so that nothing is mistaken for a duration."""


class World:
    """Runs events in order of time, then of scheduling: a seed decides everything."""

    def __init__(self, seed: int, *, is_traced: bool = False) -> None:
        self.dice = Random(seed)
        self.now = START
        self.events_run = 0
        self.trace: list[str] | None = [] if is_traced else None
        self._heap: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._scheduled = 0

    def at(self, instant: float, action: Callable[..., None], *arguments: object) -> None:
        """Run `action` at `instant`."""
        self._scheduled += 1
        heapq.heappush(self._heap, (instant, self._scheduled, action, arguments))

    def after(self, delay_s: float, action: Callable[..., None], *arguments: object) -> None:
        """Run `action` in `delay_s`."""
        self._scheduled += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._scheduled, action, arguments))

    def run(self, until: float) -> None:
        """Let time pass."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until:
            instant, _, action, arguments = pop(heap)
            if instant > self.now:  # noqa: PLR1730 - a call of max for each event is slow
                self.now = instant
            self.events_run += 1
            action(*arguments)
        self.now = max(self.now, until)

    def log(self, *words: object) -> None:
        """Add a line to the trace, if one is kept."""
        if self.trace is not None:
            self.trace.append(f"{self.now - START:9.4f} {' '.join(map(str, words))}")


class DriftingClock:
    """A node's own `Clock`: it may run fast or slow, and began anywhere."""

    def __init__(self, world: World, *, rate: float = 1.0) -> None:
        self._world = world
        self._rate = rate

    def monotonic(self) -> float:
        return self._world.now * self._rate

    def unix(self) -> float:
        return 1_700_000_000 + self._world.now * self._rate


class SeededEntropy:
    """An `Entropy` from a seed."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    def fraction(self) -> float:
        return self._dice.random()

    def bits(self, count: int) -> int:
        return self._dice.getrandbits(count)
