"""Load generators: each runs one closed loop against one endpoint and returns a `Load`."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requests:
    """Whom to ask, and which method."""

    endpoint: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """How many requests are always in flight, and for how long."""

    in_flight: int
    connections: int | None
    """Over how many connections they are spread evenly; None: few, as a busy client has."""
    warm_up_s: float
    seconds: float
    on_start: Callable[[], None]
    """Called when the warm-up is over and the measured part begins."""


class LoadFailed(Exception):
    """A request ended with another status than OK, or the generator itself failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one closed loop saw, warm-up excluded."""

    operations: int
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    driver: str
    driver_cpu_us: float
    """CPU time of the generator per operation: it shares the machine with the servers."""
    status_check: str
    """How it was made sure that every answer was OK."""

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds


def percentile(ordered: list[int], share: float) -> float:
    """The element of an ordered list below which `share` of it lies."""
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * share))])
