"""Which streams to tell about progress, and when."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from kvstore.watch.stream import WatchStream

_STALE_MIN = 64


class Reminders:
    """At most one reminder per stream, scheduled at the tick after it was added."""

    def __init__(self) -> None:
        self._unscheduled: dict[WatchStream, None] = {}
        self._scheduled: dict[WatchStream, float] = {}
        self._heap: list[tuple[float, int, WatchStream]] = []
        self._sequence = 0

    def add(self, stream: WatchStream) -> None:
        """Remind of a stream, once, unless that is to happen already."""
        if stream not in self._scheduled:
            self._unscheduled[stream] = None

    def discard(self, stream: WatchStream) -> None:
        """Forget a stream."""
        self._unscheduled.pop(stream, None)
        self._scheduled.pop(stream, None)

    def due(self, now: float) -> list[WatchStream]:
        """Return, and forget, the streams whose instant has come."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            instant, _, stream = heappop(self._heap)
            if self._scheduled.get(stream) == instant:
                del self._scheduled[stream]
                found.append(stream)
        return found

    def schedule(self, now: float, interval_s: Callable[[], float]) -> None:
        """Set the instants of the streams added since the last call."""
        for stream in self._unscheduled:
            instant = now + interval_s()
            self._scheduled[stream] = instant
            self._sequence += 1
            heappush(self._heap, (instant, self._sequence, stream))
        self._unscheduled.clear()
        if len(self._heap) > 2 * len(self._scheduled) + _STALE_MIN:
            self._heap = [
                entry for entry in self._heap if self._scheduled.get(entry[2]) == entry[0]
            ]
            heapify(self._heap)
