"""Keys that wait for a worker. Pure: time is an argument.

A key waits once however often it is added; while a worker has it, it waits until that worker is
done. After failures a key comes back later and later, and all keys together come back at a bounded
rate (one failing server must not be asked a thousand times a second).
"""

import heapq
from collections import deque

_FIRST_DELAY_S = 0.005
_DELAY_MAX_S = 1000.0
_RETRIES_PER_S = 10.0
_RETRIES_BURST = 100.0


class WorkQueue:
    """Invariant: a key is in `_ready` once at most, and never while a worker has it."""

    def __init__(self) -> None:
        self._ready: deque[str] = deque()
        self._waiting: set[str] = set()
        self._active: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._tokens = _RETRIES_BURST
        self._tokens_at = 0.0

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: str) -> None:
        """Let a worker look at `key` soon."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._active:
            self._ready.append(key)

    def add_at(self, key: str, due: float) -> None:
        """Let a worker look at `key` at `due`; the earlier of two such times counts."""
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._later, (due, key))

    def retry(self, key: str, now: float) -> None:
        """Let a worker look at `key` again after a failure: later with each one."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        own = min(_FIRST_DELAY_S * 2 ** min(failures, 30), _DELAY_MAX_S)
        self.add_at(key, now + max(own, self._take_token(now)))

    def failures(self, key: str) -> int:
        """Return how often in a row `key` has failed."""
        return self._failures.get(key, 0)

    def forget(self, key: str) -> None:
        """`key` went well: its next failure is its first."""
        self._failures.pop(key, None)

    def take(self, now: float) -> str | None:
        """Hand out the next key, or None; `done` must follow."""
        self._advance(now)
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._active.add(key)
        return key

    def done(self, key: str) -> None:
        """A worker has finished with `key`."""
        self._active.discard(key)
        if key in self._waiting:
            self._ready.append(key)

    def next_due(self) -> float | None:
        """Return when the next delayed key is to be looked at, if any waits."""
        while self._later and self._due.get(self._later[0][1]) != self._later[0][0]:
            heapq.heappop(self._later)  # superseded by an earlier time
        return self._later[0][0] if self._later else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is ready and no worker is at work."""
        return not self._ready and not self._active

    def _advance(self, now: float) -> None:
        while (due := self.next_due()) is not None and due <= now:
            _, key = heapq.heappop(self._later)
            del self._due[key]
            self.add(key)

    def _take_token(self, now: float) -> float:
        """Return how long to wait for the shared rate; the token is taken at once."""
        elapsed = max(now - self._tokens_at, 0.0)
        self._tokens = min(self._tokens + elapsed * _RETRIES_PER_S, _RETRIES_BURST) - 1.0
        self._tokens_at = now
        return max(-self._tokens / _RETRIES_PER_S, 0.0)
