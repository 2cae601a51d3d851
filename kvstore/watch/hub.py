"""The hub: publishes turns to synced watchers, and feeds the others from history."""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import assert_never

from kvstore.base.entropy import Entropy
from kvstore.base.limits import Limits
from kvstore.watch.catch_up import Backlog, Replay, covering
from kvstore.watch.encoding import EncodedEvent, event_fields, wanted
from kvstore.watch.fragment import fragments
from kvstore.watch.ports import HeaderField, History, Sink, Turn
from kvstore.watch.range_index import RangeIndex
from kvstore.watch.reminders import Reminders
from kvstore.watch.stream import WatchStream
from kvstore.watch.watcher import Audience, Place, Watcher

PROGRESS_INTERVAL_S = 600.0
_PROGRESS_JITTER = 0.1
_WATCH_ID_FIELD_BYTES_MAX = 11


class WatchHub:
    """All watchers of a member.

    `revision` is the last one offered whole to every synced watcher; nothing of a response speaks
    of a later one. `history` must already hold a turn when it is published.
    """

    def __init__(  # noqa: PLR0913 - each is one of its collaborators
        self,
        history: History,
        header: HeaderField,
        limits: Limits,
        entropy: Entropy,
        *,
        progress_interval_s: float = PROGRESS_INTERVAL_S,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """`wake` is called when there is something for `catch_up` to do, and there was not."""
        self._wake = wake
        self._history = history
        self._header = header
        self._limits = limits
        self._entropy = entropy
        self._progress_interval_s = progress_interval_s
        self._fragment_bytes = limits.request_bytes_max + limits.request_overhead_bytes
        self._response_bytes = max(1, limits.watch_unsent_bytes_max // 4)
        self._revision = history.revision
        self._synced: RangeIndex[Audience] = RangeIndex()
        self._backlog = Backlog(limits.catch_up_revisions_max)
        self._future: dict[int, dict[Watcher, None]] = {}
        self._future_starts: list[int] = []
        self._streams: dict[WatchStream, None] = {}
        self._reminders = Reminders()
        self.events_sent = 0
        """Counted once for each watcher that was sent one."""

    @property
    def revision(self) -> int:
        """The last revision published, or taken over from history."""
        return self._revision

    @property
    def stream_count(self) -> int:
        """The number of open streams."""
        return len(self._streams)

    @property
    def watcher_count(self) -> int:
        """The number of watchers, wherever they stand. Counts streams, for metrics."""
        return sum(stream.watcher_count for stream in self._streams)

    @property
    def behind_count(self) -> int:
        """The number of watchers behind, those of full streams included."""
        return len(self._backlog) + sum(len(stream.stalled) for stream in self._streams)

    def header(self, revision: int) -> bytes:
        """Return the header field of a response."""
        return self._header(revision)

    def open(self, sink: Sink) -> WatchStream:
        """Return a new stream without watchers."""
        stream = WatchStream(self, sink, self._limits)
        self._streams[stream] = None
        return stream

    def publish(self, turn: Turn) -> None:
        """Offer every revision of a turn, whole, to the synced watchers, and move `revision`.

        Never waits: a watcher whose stream is full falls behind, at the turn's first revision.
        """
        if not turn:
            return
        first = self._revision + 1
        touched: list[Audience] = []
        matching = self._synced.matching if len(self._synced) else None
        for expected, (revision, changes) in enumerate(turn, first):
            assert revision == expected, "a revision was skipped or published twice"
            if matching is None:
                continue
            for change in changes:
                audiences = matching(change.key)
                if audiences:
                    encoded = EncodedEvent(revision, change)
                    for audience in audiences:
                        if not audience.pending:
                            touched.append(audience)
                        audience.pending.append(encoded)
        self._revision = turn[-1][0]
        headers: dict[int, bytes] = {}
        for audience in touched:
            events, audience.pending = audience.pending, []
            self._offer(audience, events, first, headers)
        if self._future:
            self._start_due()

    def _offer(
        self,
        audience: Audience,
        events: Sequence[EncodedEvent],
        first: int,
        headers: dict[int, bytes],
    ) -> None:
        fallen: list[Watcher] = []
        for style, watchers in audience.by_style.items():
            selected = wanted(events, style)
            if not selected:
                continue
            last = selected[-1].revision
            head = headers.get(last)
            if head is None:
                head = headers[last] = self._header(last)
            fallen += self._deliver(watchers, head, event_fields(selected, style))
        for watcher in fallen:
            self._unsync(watcher)
            self._fall_behind(watcher, max(first, watcher.start_revision))

    def _deliver(
        self, watchers: Collection[Watcher], head: bytes, fields: list[bytes]
    ) -> list[Watcher]:
        """Send one response to each watcher; return those whose stream had no room."""
        self.events_sent += len(fields) * len(watchers)
        body = b"".join(fields) if len(fields) > 1 else fields[0]
        size = len(head) + _WATCH_ID_FIELD_BYTES_MAX + len(body)
        is_large = size >= self._fragment_bytes and len(fields) > 1
        fallen: list[Watcher] = []
        for watcher in watchers:
            stream = watcher.stream
            if stream.room < 0 and not stream.has_room():
                fallen.append(watcher)
                continue
            watcher.is_quiet = False
            if is_large and watcher.fragment:
                for message in fragments(head + watcher.id_field, fields, self._fragment_bytes):
                    stream.send(message)
            else:
                # What `stream.send` does, without the call: a fifth of the cost per watcher.
                stream.room -= size
                stream.sink.send(head + watcher.id_field + body)
        return fallen

    # --- watchers that are behind -----------------------------------------------------------------

    @property
    def has_backlog(self) -> bool:
        """Whether `catch_up` has something to do now."""
        return len(self._backlog) > 0

    def catch_up(self) -> None:
        """Feed one slice of history to some of the watchers that are behind.

        A watcher that has all there is becomes synced in the same step; one whose next revision is
        compacted is cancelled.
        """
        if not len(self._backlog):
            return
        batch = self._servable(self._backlog.batch())
        if not batch:
            return
        since = min(watcher.next_revision for watcher in batch)
        turn, reached = self._history.changes(
            covering(batch), since, self._revision, self._backlog.slice_revisions
        )
        assert since < reached <= self._revision + 1
        replay = Replay(batch, turn, reached, self._response_bytes)
        self._backlog.adapt(replay.read_bytes)
        head = self._header(self._revision)
        sent_bytes = 0
        for watcher in batch:
            response = replay.response(watcher)
            self._backlog.discard(watcher)
            if response.fields and self._deliver((watcher,), head, response.fields):
                self._fall_behind(watcher, watcher.next_revision)
                continue
            self._advance(watcher, response.next_revision)
            sent_bytes += sum(map(len, response.fields))
            if sent_bytes > self._limits.watch_unsent_bytes_max:
                return

    def rebase(self, history: History) -> None:
        """Go on from another keyspace that is ahead: a snapshot was installed.

        What happened in between was not published, so synced watchers now read it from history.
        """
        assert history.revision >= self._revision
        first = self._revision + 1
        self._history = history
        self._revision = history.revision
        for watcher in [watcher for audience in self._synced.items() for watcher in audience]:
            self._unsync(watcher)
            self._fall_behind(watcher, max(first, watcher.start_revision))
        self._start_due()

    def _servable(self, batch: list[Watcher]) -> list[Watcher]:
        """Return those of a batch that need history and can take it; settle the others."""
        compact_revision = self._history.compact_revision
        servable = []
        for watcher in batch:
            if not watcher.stream.has_room():
                self._backlog.discard(watcher)
                watcher.stream.stalled[watcher] = None
            elif watcher.next_revision > self._revision:
                self._backlog.discard(watcher)
                self._sync(watcher)
            elif watcher.next_revision < compact_revision:
                watcher.stream.cancel_compacted(watcher, compact_revision)
            else:
                servable.append(watcher)
        return servable

    def _advance(self, watcher: Watcher, next_revision: int) -> None:
        if next_revision > self._revision:
            self._sync(watcher)
        else:
            self._fall_behind(watcher, next_revision)

    def _fall_behind(self, watcher: Watcher, next_revision: int) -> None:
        """Queue a watcher that is in no other place."""
        watcher.place = Place.BEHIND
        watcher.next_revision = next_revision
        if watcher.stream.is_full:
            watcher.stream.stalled[watcher] = None
        else:
            self._enqueue(watcher)

    def _enqueue(self, watcher: Watcher) -> None:
        is_first = not len(self._backlog)
        self._backlog.add(watcher)
        if is_first:
            self._wake()

    def _sync(self, watcher: Watcher) -> None:
        """Offer the watcher what is published from now on; it is in no other place."""
        watcher.place = Place.SYNCED
        audience = self._synced.get(watcher.keys)
        if audience is None:
            audience = Audience()
            self._synced.add(watcher.keys, audience)
        audience.add(watcher)

    def _unsync(self, watcher: Watcher) -> None:
        audience = self._synced.get(watcher.keys)
        assert audience is not None
        if audience.remove(watcher):
            self._synced.remove(watcher.keys)

    def _start_due(self) -> None:
        """Start the watchers of the future whose first revision is next, or past already."""
        while self._future_starts and self._future_starts[0] <= self._revision + 1:
            for watcher in self._future.pop(self._future_starts.pop(0)):
                self.start(watcher)

    def _unfuture(self, watcher: Watcher) -> None:
        start = watcher.start_revision
        del self._future[start][watcher]
        if not self._future[start]:
            del self._future[start]
            del self._future_starts[bisect_left(self._future_starts, start)]

    # --- for the streams --------------------------------------------------------------------------

    def start(self, watcher: Watcher) -> None:
        """Take in a watcher that is in no place yet."""
        start = watcher.start_revision
        if start == 0 or start == self._revision + 1:
            self._sync(watcher)
        elif start > self._revision:
            watcher.place = Place.FUTURE
            if start not in self._future:
                self._future[start] = {}
                insort(self._future_starts, start)
            self._future[start][watcher] = None
        else:
            self._fall_behind(watcher, start)

    def forget(self, watcher: Watcher) -> None:
        """Take a watcher out of its place; nothing is sent to it any more."""
        match watcher.place:
            case Place.SYNCED:
                self._unsync(watcher)
            case Place.BEHIND:
                self._backlog.discard(watcher)
            case Place.FUTURE:
                self._unfuture(watcher)
            case Place.GONE:
                pass
            case never:
                assert_never(never)
        watcher.place = Place.GONE

    def resume(self, watchers: Iterable[Watcher]) -> None:
        """Queue watchers whose stream has drained."""
        for watcher in watchers:
            self._enqueue(watcher)

    def remind(self, stream: WatchStream) -> None:
        """Call the stream's `notify_progress` at each interval, counted from the next tick."""
        self._reminders.add(stream)

    def closed(self, stream: WatchStream) -> None:
        """Forget a stream without watchers."""
        del self._streams[stream]
        self._reminders.discard(stream)

    def tick(self, now: float) -> None:
        """Send the periodic progress responses that are due; cheap when none is."""
        for stream in self._reminders.due(now):
            if stream.notify_progress():
                self._reminders.add(stream)
        self._reminders.schedule(now, self._next_interval_s)

    def _next_interval_s(self) -> float:
        # Watchers that reconnect together after a restart shall not all be told at once.
        return self._progress_interval_s * (1 + _PROGRESS_JITTER * self._entropy.fraction())
