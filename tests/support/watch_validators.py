"""The guarantees of a watch, as checks of what one client saw against the persisted history.

Their names are those of etcd's robustness suite.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from kvstore.mvcc.event import Event
from kvstore.watch import WatchSpec
from kvstore.wire.pb import kv_pb2, rpc_pb2
from tests.support.watch_world import ListHistory


@dataclass
class Seen:
    """One response with events or progress, its fragments joined."""

    header_revision: int
    events: list[kv_pb2.Event]
    compact_revision: int
    """The history's, when the response was sent."""


@dataclass
class WatchRecord:
    """All that a client was told of one watch."""

    spec: WatchSpec
    created_revision: int
    seen: list[Seen] = field(default_factory=list)
    is_over: bool = False

    @property
    def first_revision(self) -> int:
        """The first revision that it may be told of."""
        return self.spec.start_revision or self.created_revision + 1

    @property
    def events(self) -> list[kv_pb2.Event]:
        return [event for response in self.seen for event in response.events]

    @property
    def last_revision(self) -> int:
        """The revision up to which it was told everything, as far as it can know."""
        events = self.events
        return events[-1].kv.mod_revision if events else self.first_revision - 1


def wanted(record: WatchRecord, history: ListHistory) -> Iterator[tuple[int, Event]]:
    """Yield the events of the history that the watch is about, whatever it has seen."""
    spec = record.spec
    for revision, events in history.since(record.first_revision):
        for event in events:
            is_filtered = spec.no_delete if event.is_delete else spec.no_put
            if not is_filtered and event.key in spec.keys:
                yield revision, event


def check_filter(record: WatchRecord, history: ListHistory) -> None:
    """Only events of its keys, not filtered out, from its start revision on (#20221)."""
    allowed = {(revision, event.key) for revision, event in wanted(record, history)}
    for event in record.events:
        assert (event.kv.mod_revision, event.kv.key) in allowed


def check_ordered(record: WatchRecord, history: ListHistory) -> None:
    """Revisions never go back, and inside one the order is that of execution (#15271)."""
    order = {change: place for place, change in enumerate(_told(record, history))}
    places = [order[event.kv.mod_revision, event.kv.key] for event in record.events]
    assert places == sorted(places)


def check_unique(record: WatchRecord, _: ListHistory) -> None:
    """No event twice, not in two responses either (#17247)."""
    seen = [(event.kv.mod_revision, event.kv.key) for event in record.events]
    assert len(seen) == len(set(seen))


def check_atomic(record: WatchRecord, _: ListHistory) -> None:
    """All events of a revision in one response."""
    owner: dict[int, int] = {}
    for number, response in enumerate(record.seen):
        for event in response.events:
            assert owner.setdefault(event.kv.mod_revision, number) == number


def check_reliable(record: WatchRecord, history: ListHistory) -> None:
    """No hole between the first and the last event seen (#17529)."""
    events = record.events
    if not events:
        return
    first, last = events[0].kv.mod_revision, events[-1].kv.mod_revision
    expected = [
        (revision, event.key)
        for revision, event in wanted(record, history)
        if first <= revision <= last
    ]
    assert [(event.kv.mod_revision, event.kv.key) for event in events] == expected


def check_resumable(record: WatchRecord, history: ListHistory) -> None:
    """The first event is the first that the history has from the start revision on."""
    if record.events:
        revision, event = next(wanted(record, history))
        first = record.events[0].kv
        assert (first.mod_revision, first.key) == (revision, event.key)


def check_bookmarkable(record: WatchRecord, _: ListHistory) -> None:
    """After progress at R no event at or below R, and progress never goes back (#15220)."""
    progress = 0
    for response in record.seen:
        if response.events:
            assert response.events[0].kv.mod_revision > progress
            assert response.header_revision >= response.events[-1].kv.mod_revision
        else:
            assert response.header_revision >= progress
            assert response.header_revision >= record.spec.start_revision
            progress = response.header_revision


def check_progress_covers(record: WatchRecord, history: ListHistory) -> None:
    """What progress at R covers has been delivered: every wanted event up to R."""
    delivered = 0
    due = [revision for revision, _ in wanted(record, history)]
    for response in record.seen:
        delivered += len(response.events)
        if not response.events:
            assert delivered >= bisect_right(due, response.header_revision)


def check_prev_kv(record: WatchRecord, history: ListHistory) -> None:
    """prev_kv is the state one revision before, asked for and not compacted; none for creates."""
    known = _told(record, history)
    for response in record.seen:
        for event in response.events:
            revision = event.kv.mod_revision
            original = known[revision, event.kv.key]
            assert event.kv.SerializeToString() == original.key_value
            assert (event.type == kv_pb2.Event.DELETE) == original.is_delete
            if event.HasField("prev_kv"):
                assert record.spec.prev_kv
                assert event.prev_kv.SerializeToString() == original.previous
            elif record.spec.prev_kv and original.previous is not None:
                assert revision <= response.compact_revision


VALIDATORS = {
    "Filter": check_filter,
    "Ordered": check_ordered,
    "Unique": check_unique,
    "Atomic": check_atomic,
    "Reliable": check_reliable,
    "Resumable": check_resumable,
    "Bookmarkable": check_bookmarkable,
    "ProgressCovers": check_progress_covers,
    "PrevKV": check_prev_kv,
}


class StreamClient:
    """Reads a stream's responses as a client does, and checks what concerns the whole stream.

    `requested` are the creates sent and not answered yet; answers come in their order.
    """

    def __init__(self) -> None:
        self.requested: list[WatchSpec] = []
        self.watches: dict[int, WatchRecord] = {}
        self.all_watches: list[WatchRecord] = []
        self.refusals: list[str] = []
        self._part: tuple[int, Seen] | None = None

    def read(self, response: rpc_pb2.WatchResponse, compact_revision: int) -> None:
        seen = Seen(response.header.revision, list(response.events), compact_revision)
        if self._part is not None:
            watch_id, begun = self._part
            assert response.watch_id == watch_id, "another message between two fragments"
            assert response.header.revision == begun.header_revision
            begun.events += seen.events
            if not response.fragment:
                self.watches[watch_id].seen.append(begun)
                self._part = None
        elif response.created:
            self._created(response)
        elif response.canceled:
            record = self.watches.pop(response.watch_id)
            record.is_over = True
            if response.compact_revision:
                assert response.header.revision == 0
                assert response.compact_revision == compact_revision
                assert record.last_revision + 1 < compact_revision
        elif response.fragment:
            assert self.watches[response.watch_id].spec.fragment
            self._part = (response.watch_id, seen)
        elif response.watch_id == -1:
            assert not response.events
            assert self.watches, "progress without a watcher"
            for record in self.watches.values():
                record.seen.append(seen)
        else:
            record = self.watches[response.watch_id]
            assert response.events or record.spec.progress_notify
            record.seen.append(seen)

    def _created(self, response: rpc_pb2.WatchResponse) -> None:
        spec = self.requested.pop(0)
        if response.canceled:
            assert response.watch_id == -1
            self.refusals.append(response.cancel_reason)
            return
        assert response.watch_id not in self.watches
        record = WatchRecord(spec, response.header.revision)
        self.watches[response.watch_id] = record
        self.all_watches.append(record)


def check_all(record: WatchRecord, history: ListHistory) -> None:
    """Run every validator."""
    for check in VALIDATORS.values():
        check(record, history)


def _told(record: WatchRecord, history: ListHistory) -> dict[tuple[int, bytes], Event]:
    """Return all changes of the revisions that the client was told of, in their order."""
    revisions = sorted({event.kv.mod_revision for event in record.events})
    return {
        (revision, event.key): event
        for revision in revisions
        for event in history.events_of(revision)
    }
