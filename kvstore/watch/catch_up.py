"""Slices of history for watchers that are behind."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from kvstore.base.key_range import KeyRange
from kvstore.watch.encoding import EncodedEvent, event_fields, wanted
from kvstore.watch.ports import Turn
from kvstore.watch.range_index import RangeIndex
from kvstore.watch.watcher import Watcher

_BATCH_MAX = 512
_SLICE_REVISIONS_MIN = 16
_SLICE_BYTES = 1024 * 1024


class Backlog:
    """The watchers that are behind and may be served, each in its turn.

    A slice serves the first in the queue, and with it those of the next 511 whose next revision the
    same read of history covers; who is not done goes to the end.
    """

    def __init__(self, revisions_max: int) -> None:
        self._queue: dict[Watcher, None] = {}
        self._revisions_max = revisions_max
        self.slice_revisions = min(_SLICE_REVISIONS_MIN, revisions_max)
        """How many revisions to read next: few while they are large, up to the limit."""

    def __len__(self) -> int:
        """Return the number of watchers that wait."""
        return len(self._queue)

    def add(self, watcher: Watcher) -> None:
        """Put a watcher at the end; it must not be in the queue."""
        assert watcher not in self._queue
        self._queue[watcher] = None

    def discard(self, watcher: Watcher) -> None:
        """Take a watcher out, if it is in the queue."""
        self._queue.pop(watcher, None)

    def batch(self) -> list[Watcher]:
        """Return the watchers that the next slice is for; they stay in the queue."""
        neighbours = list(islice(self._queue, _BATCH_MAX))
        since = neighbours[0].next_revision
        before = since + self.slice_revisions
        return [watcher for watcher in neighbours if since <= watcher.next_revision < before]

    def adapt(self, read_bytes: int) -> None:
        """Let the next slice hold about as many bytes as it should, after one of `read_bytes`."""
        if read_bytes > _SLICE_BYTES:
            self.slice_revisions = max(1, self.slice_revisions // 2)
        elif read_bytes < _SLICE_BYTES // 4:
            self.slice_revisions = min(self._revisions_max, self.slice_revisions * 2)


class Response(NamedTuple):
    """What one watcher gets of a slice."""

    fields: list[bytes]
    """Encoded `events` fields; empty if it wants none of these revisions."""
    next_revision: int


class Replay:
    """A slice of history, for a batch of watchers that may start anywhere in it.

    Invariant: a response ends between two revisions (Atomic). It ends early once it has
    `response_bytes` or more; the rest is left for a later slice.
    """

    def __init__(
        self, watchers: Iterable[Watcher], turn: Turn, reached: int, response_bytes: int
    ) -> None:
        self._reached = reached
        self._response_bytes = response_bytes
        self._ready: dict[tuple[KeyRange, int, int], Response] = {}
        self._events: RangeIndex[list[EncodedEvent]] = RangeIndex()
        for watcher in watchers:
            if self._events.get(watcher.keys) is None:
                self._events.add(watcher.keys, [])
        self.read_bytes = 0
        for revision, changes in turn:
            for change in changes:
                self.read_bytes += len(change.key_value) + len(change.previous or b"")
                encoded = EncodedEvent(revision, change)
                for events in self._events.matching(change.key):
                    events.append(encoded)

    def response(self, watcher: Watcher) -> Response:
        """Return what `watcher`, one of the batch, gets next."""
        address = (watcher.keys, watcher.style, watcher.next_revision)
        response = self._ready.get(address)
        if response is None:
            response = self._ready[address] = self._build(*address)
        return response

    def _build(self, keys: KeyRange, style: int, next_revision: int) -> Response:
        reached = max(self._reached, next_revision)
        events = self._events.get(keys)
        assert events is not None
        first = bisect_left(events, next_revision, key=_revision)
        selected = wanted(events[first:], style)
        fields = event_fields(selected, style)
        end = self._end_of_response(selected, fields)
        if end < len(fields):
            return Response(fields[:end], selected[end].revision)
        return Response(fields, reached)

    def _end_of_response(self, events: Sequence[EncodedEvent], fields: list[bytes]) -> int:
        size = 0
        for position, field in enumerate(fields):
            if size >= self._response_bytes and (
                events[position].revision != events[position - 1].revision
            ):
                return position
            size += len(field)
        return len(fields)


def covering(watchers: Iterable[Watcher]) -> KeyRange:
    """Return the smallest range that holds all their ranges."""
    start: bytes | None = None
    end: bytes | None = b""
    for watcher in watchers:
        keys = watcher.keys
        start = keys.start if start is None else min(start, keys.start)
        end = None if end is None or keys.end is None else max(end, keys.end)
    assert start is not None
    return KeyRange(start, end)


def _revision(event: EncodedEvent) -> int:
    return event.revision
