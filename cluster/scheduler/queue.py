"""Which pod is next, and which wait: for a time, or for something to change. Pure."""

import heapq
from dataclasses import dataclass, field

from cluster.informer.store import key_of
from cluster.kube_api.objects import JsonObject, integer_at

_FIRST_BACKOFF_S = 1.0
_BACKOFF_MAX_S = 10.0
_FORGOTTEN_AFTER_S = 300.0
"""A pod that nothing seems to help is tried all the same, should an event have been misread."""


@dataclass(slots=True)
class _Queued:
    pod: JsonObject
    attempts: int = 0
    parked_at: float = 0.0
    since: float = 0.0
    is_ready: bool = field(default=False)


class SchedulingQueue:
    """Pods without a node, each in one of three places: ready, backing off, parked.

    Ready ones come by priority, then by how long they have been here.
    """

    def __init__(self) -> None:
        self._pods: dict[str, _Queued] = {}
        self._ready: list[tuple[int, float, int, str]] = []
        self._backing_off: list[tuple[float, str]] = []
        self._parked: set[str] = set()
        self._taken: set[str] = set()
        self._changed_while_taken = False
        self._serial = 0

    def __len__(self) -> int:
        return len(self._pods)

    def put(self, pod: JsonObject, now: float) -> None:
        """Add a pod, or take its new state; one that is parked or new becomes ready."""
        key = key_of(pod)
        queued = self._pods.get(key)
        if queued is None:
            queued = self._pods[key] = _Queued(pod, since=now)
        queued.pod = pod
        if key in self._parked:
            self._unpark(key, now)
        elif not queued.is_ready and key not in self._taken and not self._is_backing_off(key):
            self._make_ready(key)

    def remove(self, key: str) -> None:
        """The pod has a node, or is gone."""
        self._pods.pop(key, None)
        self._parked.discard(key)
        self._taken.discard(key)

    def take(self, now: float) -> JsonObject | None:
        """Return the next pod; `park` or `remove` must follow."""
        self._advance(now)
        while self._ready:
            _, _, _, key = heapq.heappop(self._ready)
            queued = self._pods.get(key)
            if queued is not None and queued.is_ready:
                queued.is_ready = False
                queued.attempts += 1
                self._taken.add(key)
                self._changed_while_taken = False
                return queued.pod
        return None

    def park(self, key: str, now: float) -> None:
        """No node would do: wait for a change. One that came meanwhile counts."""
        self._taken.discard(key)
        queued = self._pods.get(key)
        if queued is None:
            return
        queued.parked_at = now
        self._parked.add(key)
        if self._changed_while_taken:
            self._unpark(key, now)

    def retry(self, key: str, now: float) -> None:
        """Something failed that has nothing to do with the nodes: try again after a while."""
        self._taken.discard(key)
        queued = self._pods.get(key)
        if queued is not None:
            queued.parked_at = now
            self._parked.add(key)
            self._unpark(key, now)

    def changed(self, now: float) -> None:
        """Something changed that may help: everybody who waits for that is tried again."""
        self._changed_while_taken = True
        for key in list(self._parked):
            self._unpark(key, now)

    def next_due(self) -> float | None:
        """Return when a pod that waits for time will be ready; None if none does."""
        times = [self._backing_off[0][0]] if self._backing_off else []
        times += [self._pods[key].parked_at + _FORGOTTEN_AFTER_S for key in self._parked]
        return min(times, default=None)

    def _is_backing_off(self, key: str) -> bool:
        return any(key == waiting for _, waiting in self._backing_off)

    def _unpark(self, key: str, now: float) -> None:
        self._parked.discard(key)
        queued = self._pods[key]
        backoff = min(_FIRST_BACKOFF_S * 2 ** max(queued.attempts - 1, 0), _BACKOFF_MAX_S)
        due = queued.parked_at + backoff
        if due <= now:
            self._make_ready(key)
        else:
            heapq.heappush(self._backing_off, (due, key))

    def _make_ready(self, key: str) -> None:
        queued = self._pods[key]
        queued.is_ready = True
        self._serial += 1
        priority = integer_at(queued.pod, "spec", "priority")
        heapq.heappush(self._ready, (-priority, queued.since, self._serial, key))

    def _advance(self, now: float) -> None:
        while self._backing_off and self._backing_off[0][0] <= now:
            _, key = heapq.heappop(self._backing_off)
            if key in self._pods and not self._pods[key].is_ready and key not in self._taken:
                self._make_ready(key)
        for key in list(self._parked):
            if self._pods[key].parked_at + _FORGOTTEN_AFTER_S <= now:
                self._unpark(key, now)
