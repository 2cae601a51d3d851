"""One client stream: its watchers, and the one ordered queue of all it is told."""

from collections.abc import Iterable
from typing import Protocol

from kvstore.base.errors import Compacted, TooManyRequests
from kvstore.base.ids import WatchId
from kvstore.base.limits import Limits
from kvstore.watch.encoding import (
    CANCELED,
    CREATED,
    NO_WATCHER,
    compacted_fields,
    refusal_fields,
    watch_id_field,
)
from kvstore.watch.ports import Sink
from kvstore.watch.watcher import Place, Watcher, WatchSpec

RANGE_EMPTY = "mvcc: watcher range is empty"
DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream"
_NO_WATCHER_FIELD = watch_id_field(NO_WATCHER)


class Watchers(Protocol):
    """The hub, as its streams see it."""

    @property
    def revision(self) -> int: ...

    def header(self, revision: int) -> bytes:
        """Return the header field of a response."""
        ...

    def start(self, watcher: Watcher) -> None:
        """Take in a new watcher, to be served from its start revision."""
        ...

    def forget(self, watcher: Watcher) -> None:
        """Send nothing to the watcher any more."""
        ...

    def resume(self, watchers: Iterable[Watcher]) -> None:
        """Serve watchers again whose stream was full."""
        ...

    def remind(self, stream: "WatchStream") -> None:
        """Have `notify_progress` of the stream called from time to time."""
        ...

    def closed(self, stream: "WatchStream") -> None:
        """Forget the stream."""
        ...


class WatchStream:
    """The watchers of one client stream. Everything it sends goes through `send`, in order.

    `room` is how many bytes may be sent before the sink must be asked again: an event is sent while
    it is not negative, so the sink may hold one response more than the limit.
    """

    def __init__(self, hub: Watchers, sink: Sink, limits: Limits) -> None:
        self._hub = hub
        self.sink = sink
        self._unsent_bytes_max = limits.watch_unsent_bytes_max
        self._watchers_max = limits.watchers_per_stream_max
        self._watchers: dict[WatchId, Watcher] = {}
        self._next_id = 0
        self._is_open = True
        self.room = -1
        self.is_full = False
        self.stalled: dict[Watcher, None] = {}
        """Watchers that are behind and wait for the stream to drain."""

    @property
    def watcher_count(self) -> int:
        """The number of watchers."""
        return len(self._watchers)

    def create(self, spec: WatchSpec, watch_id: WatchId = WatchId(0)) -> None:  # noqa: B008
        """Start a watcher and say so, or say why not; id 0 lets the stream choose one.

        Its first response is the one that says it is created, answered in the order of the calls.
        """
        assert self._is_open
        if spec.start_revision < 0:
            self.refuse(Compacted.message)
        elif spec.keys.is_empty:
            self.refuse(RANGE_EMPTY)
        elif watch_id in self._watchers and watch_id != 0:
            self.refuse(DUPLICATE_ID)
        elif len(self._watchers) >= self._watchers_max:
            self.refuse(TooManyRequests.message)
        else:
            watcher = Watcher(self, watch_id or self._free_id(), spec)
            self._watchers[watcher.watch_id] = watcher
            self.send(self._hub.header(self._hub.revision) + watcher.id_field + CREATED)
            self._hub.start(watcher)
            if watcher.progress_notify:
                self._hub.remind(self)

    def refuse(self, reason: str) -> None:
        """Answer a create with a refusal; the stream goes on."""
        header = self._hub.header(self._hub.revision)
        self.send(header + _NO_WATCHER_FIELD + refusal_fields(reason))

    def cancel(self, watch_id: WatchId) -> None:
        """End a watcher and say so; an unknown id is ignored."""
        watcher = self._watchers.get(watch_id)
        if watcher is not None:
            self._remove(watcher)
            self.send(self._hub.header(self._hub.revision) + watcher.id_field + CANCELED)

    def cancel_compacted(self, watcher: Watcher, compact_revision: int) -> None:
        """End a watcher whose next revision is gone; the header carries revision 0, as etcd's."""
        self._remove(watcher)
        fields = compacted_fields(compact_revision)
        self.send(self._hub.header(0) + watcher.id_field + fields)

    def progress(self) -> None:
        """Say which revision all watchers have reached, if all have; otherwise nothing.

        Nothing either if there is no watcher, or if one starts in the future.
        """
        if not self._watchers or not self.has_room():
            return
        revision = self._hub.revision
        if all(_is_synced_at(watcher, revision) for watcher in self._watchers.values()):
            self.send(self._hub.header(revision) + _NO_WATCHER_FIELD)

    def notify_progress(self) -> bool:
        """Tell each quiet, synced watcher that asked for it the revision it has reached.

        Return whether the stream wants to be reminded again.
        """
        revision = self._hub.revision
        is_wanted = False
        for watcher in self._watchers.values():
            if not watcher.progress_notify:
                continue
            is_wanted = True
            if watcher.is_quiet and _is_synced_at(watcher, revision) and self.has_room():
                self.send(self._hub.header(revision) + watcher.id_field)
            watcher.is_quiet = True
        return is_wanted

    def drained(self) -> None:
        """Go on: the sink has room again."""
        if not self._is_open:
            return
        self.is_full = False
        stalled, self.stalled = self.stalled, {}
        self._hub.resume(stalled)

    def close(self) -> None:
        """End every watcher, without a word. Closing twice is harmless."""
        if not self._is_open:
            return
        self._is_open = False
        for watcher in self._watchers.values():
            self._hub.forget(watcher)
        self._watchers.clear()
        self.stalled.clear()
        self._hub.closed(self)

    def send(self, message: bytes) -> None:
        """Queue one message."""
        self.room -= len(message)
        self.sink.send(message)

    def has_room(self) -> bool:
        """Whether events may be sent; once not, not until the sink has drained."""
        if self.room >= 0:
            return True
        if self.is_full:
            return False
        self.room = self._unsent_bytes_max - self.sink.unsent_bytes
        self.is_full = self.room < 0
        return not self.is_full

    def _remove(self, watcher: Watcher) -> None:
        del self._watchers[watcher.watch_id]
        self.stalled.pop(watcher, None)
        self._hub.forget(watcher)

    def _free_id(self) -> WatchId:
        while self._next_id in self._watchers:
            self._next_id += 1
        self._next_id += 1
        return WatchId(self._next_id - 1)


def _is_synced_at(watcher: Watcher, revision: int) -> bool:
    return watcher.place is Place.SYNCED and watcher.start_revision <= revision
