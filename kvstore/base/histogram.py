"""Durations and sizes, counted in buckets as they happen, read when somebody asks."""

from bisect import bisect_left
from collections.abc import Sequence

DISK_BOUNDS_S = tuple(0.001 * 2**power for power in range(14))
"""1 ms to 8 s: etcd's buckets for what a disk does."""
CALL_BOUNDS_S = tuple(0.0001 * 2**power for power in range(20))
"""0.1 ms to 52 s: etcd's buckets for what a request takes."""
LONG_BOUNDS_S = tuple(0.1 * 2**power for power in range(13))
"""0.1 s to 7 min: etcd's buckets for defragmentations and backups."""
HASH_BOUNDS_S = tuple(0.01 * 2**power for power in range(15))
TTL_BOUNDS_S = tuple(float(2**power) for power in range(24))
PAUSE_BOUNDS_MS = tuple(float(2**power) for power in range(13))
REMOVAL_BOUNDS_MS = tuple(100.0 * 2**power for power in range(14))
RPC_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Prometheus' own, which go-grpc-prometheus uses."""


class Histogram:
    """How many observations were at most each bound. Cheap: two calls an observation."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """By bucket, not cumulated; the last one holds what is above every bound."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulated(self) -> list[tuple[str, float]]:
        """Return (bound as Prometheus writes it, observations up to it)."""
        total = 0
        found = []
        names = (*map(repr, self.bounds), "+Inf")
        for name, count in zip(names, self.counts, strict=True):
            total += count
            found.append((name, float(total)))
        return found
