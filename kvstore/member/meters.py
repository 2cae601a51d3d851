"""What a member counts and measures while it works, a few times a turn; read by `/metrics`."""

from collections import Counter
from dataclasses import dataclass, field

from kvstore.base.histogram import (
    CALL_BOUNDS_S,
    DISK_BOUNDS_S,
    HASH_BOUNDS_S,
    LONG_BOUNDS_S,
    PAUSE_BOUNDS_MS,
    REMOVAL_BOUNDS_MS,
    TTL_BOUNDS_S,
    Histogram,
)
from kvstore.base.ids import MemberId
from kvstore.mvcc import Counts

SLOW_APPLY_S = 0.1
"""etcd's --warning-apply-duration."""


def _disk() -> Histogram:
    return Histogram(DISK_BOUNDS_S)


@dataclass(slots=True)
class Meters:
    """One member's; whoever does the work adds to it."""

    counts: Counts = field(default_factory=Counts)
    wal_sync: Histogram = field(default_factory=_disk)
    backend_commit: Histogram = field(default_factory=_disk)
    apply: Histogram = field(default_factory=lambda: Histogram(CALL_BOUNDS_S))
    """Turns."""
    slow_applies: int = 0
    hash: Histogram = field(default_factory=lambda: Histogram(HASH_BOUNDS_S))
    hash_at_revision: Histogram = field(default_factory=lambda: Histogram(HASH_BOUNDS_S))
    defragmentation: Histogram = field(default_factory=lambda: Histogram(LONG_BOUNDS_S))
    backup: Histogram = field(default_factory=lambda: Histogram(LONG_BOUNDS_S))
    lease_ttl: Histogram = field(default_factory=lambda: Histogram(TTL_BOUNDS_S))
    leases_renewed: int = 0
    dropped_messages: int = 0
    """Of consensus, for which there was no room: it sends them again."""
    promotions: int = 0
    removal_slices_ms: Histogram = field(default_factory=lambda: Histogram(PAUSE_BOUNDS_MS))
    """Steps of removing what is compacted."""
    removals_ms: Histogram = field(default_factory=lambda: Histogram(REMOVAL_BOUNDS_MS))
    """From the first step to the last."""
    removal_records: int = 0
    """Records that removals have looked at."""
    removed_unix_s: float = 0.0
    """When the last removal ended; 0: none has."""
    lost_links: Counter[MemberId] = field(default_factory=Counter)
