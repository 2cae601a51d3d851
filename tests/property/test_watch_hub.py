"""The hub beside a dictionary of histories, under everything a client and a server may do."""

from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from kvstore.base.ids import WatchId
from kvstore.base.key_range import KeyRange
from kvstore.base.limits import Limits
from kvstore.watch import WatchHub, WatchSpec, WatchStream
from tests.support.watch_validators import StreamClient, check_all, wanted
from tests.support.watch_world import ListHistory, ManualEntropy, SlowSink, Write, header

KEYS = [b"a", b"ab", b"b", b"ba", b"c"]
writes = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from([1, 0, 5, 60, 60, None])),
    min_size=1,
    max_size=4,
    unique_by=lambda write: write[0],
)
Request = list[tuple[bytes, int | None]]
"""Keys and the sizes of their new values; None deletes."""
Turn = list[Request]

turns = st.lists(writes, min_size=1, max_size=4)
ranges = st.sampled_from(
    [
        KeyRange(b"\x00", None),
        KeyRange(b"\x00", None),
        KeyRange(b"a", b"c"),
        KeyRange(b"a", b"b"),
        KeyRange(b"ab", b"bb"),
        KeyRange(b"b", None),
        KeyRange.single(b"a"),
        KeyRange.single(b"b"),
        KeyRange(b"c", b"a"),
    ]
)
numbers = st.integers(0, 2)


class Wish(NamedTuple):
    """A create: `start` counts from the current revision unless it is absolute."""

    keys: KeyRange
    start: int
    is_absolute: bool
    prev_kv: bool
    progress_notify: bool
    fragment: bool
    no_put: bool
    no_delete: bool
    watch_id: int


wishes = st.builds(
    Wish,
    keys=ranges,
    start=st.sampled_from([0, 0, 1, 1, -1, -1, -2, -3, -5, 2, 4]),
    is_absolute=st.sampled_from([False, False, False, True]),
    prev_kv=st.booleans(),
    progress_notify=st.booleans(),
    fragment=st.booleans(),
    no_put=st.sampled_from([False] * 4 + [True]),
    no_delete=st.sampled_from([False] * 4 + [True]),
    watch_id=st.sampled_from([0] * 8 + [1, -3]),
)


class Client:
    """A stream, its slow reader, and what it has understood so far."""

    def __init__(self, hub: WatchHub, limits: Limits) -> None:
        self.sink = SlowSink()
        self.stream: WatchStream = hub.open(self.sink)
        self.view = StreamClient()
        self.read = 0
        self._unsent_bytes_max = limits.watch_unsent_bytes_max

    def look(self, compact_revision: int) -> None:
        """Understand what was sent since; the bytes stay unsent until `drain`."""
        for response in self.sink.messages[self.read :]:
            self.view.read(response, compact_revision)
        self.read = len(self.sink.messages)

    def drain(self, count: int | None) -> None:
        waiting = len(self.sink.messages) - self.sink.taken
        self.sink.take(None if count is None else min(count, waiting))
        if self.sink.unsent_bytes <= self._unsent_bytes_max // 4:
            self.stream.drained()


class HubMachine(RuleBasedStateMachine):
    @initialize(
        unsent=st.sampled_from([1, 200, 1000, 100_000]),
        revisions_max=st.sampled_from([1, 2, 7]),
        message=st.sampled_from([60, 150, 10_000]),
        past=st.lists(turns, max_size=3),
        first=st.lists(wishes, min_size=1, max_size=4),
    )
    def begin(
        self,
        unsent: int,
        revisions_max: int,
        message: int,
        past: list[Turn],
        first: list[Wish],
    ) -> None:
        self.limits = Limits(
            watch_unsent_bytes_max=unsent,
            catch_up_revisions_max=revisions_max,
            request_bytes_max=message,
            request_overhead_bytes=0,
            watchers_per_stream_max=15,
        )
        self.history = ListHistory()
        self.hub = WatchHub(self.history, header, self.limits, ManualEntropy())
        self.open_clients: list[Client] = []
        self.all_clients: list[Client] = []
        self.now = 0.0
        for turn in past:
            self.publish(turn)
        self.open()
        for wish in first:
            self.create(0, wish)

    def client(self, number: int) -> Client:
        return self.open_clients[number % len(self.open_clients)]

    def write(self, changes: Request) -> list[tuple[int, list]]:  # type: ignore[type-arg]
        done = [
            Write(key, None if size is None else b"v" * size)
            for key, size in changes
            if size is not None or key in self.history.live
        ]
        return [self.history.write(*done)] if done else []

    @rule(turn=turns)
    def publish(self, turn: Turn) -> None:
        self.hub.publish([revision for changes in turn for revision in self.write(changes)])

    @rule(several=st.lists(turns, min_size=2, max_size=5))
    def publish_several(self, several: list[Turn]) -> None:
        for turn in several:
            self.publish(turn)

    @rule(turn=turns, compact=st.booleans())
    def install_snapshot(self, turn: Turn, compact: bool) -> None:
        for changes in turn:
            self.write(changes)
        if compact and self.history.revision > self.history.compact_revision:
            self.history.compact(self.history.revision)
        self.hub.rebase(self.history)

    @precondition(lambda self: len(self.open_clients) < 3)
    @rule()
    def open(self) -> None:
        client = Client(self.hub, self.limits)
        self.open_clients.append(client)
        self.all_clients.append(client)

    @precondition(lambda self: len(self.open_clients) > 1)
    @rule(number=numbers)
    def close(self, number: int) -> None:
        client = self.client(number)
        client.stream.close()
        self.open_clients.remove(client)

    @rule(number=numbers, several=st.lists(wishes, min_size=2, max_size=4))
    def create_several(self, number: int, several: list[Wish]) -> None:
        for wish in several:
            self.create(number, wish)

    @rule(number=numbers, wish=wishes)
    def create(self, number: int, wish: Wish) -> None:
        client = self.client(number)
        start = wish.start if wish.is_absolute else max(0, self.history.revision + wish.start)
        spec = WatchSpec(
            keys=wish.keys,
            start_revision=start,
            prev_kv=wish.prev_kv,
            progress_notify=wish.progress_notify,
            fragment=wish.fragment,
            no_put=wish.no_put,
            no_delete=wish.no_delete,
        )
        client.view.requested.append(spec)
        client.stream.create(spec, WatchId(wish.watch_id))
        client.look(self.history.compact_revision)
        assert not client.view.requested, "a create is answered at once"

    @rule(number=numbers, watch_id=st.sampled_from([0, 1, 2, -3]))
    def cancel(self, number: int, watch_id: int) -> None:
        client = self.client(number)
        known = watch_id in client.view.watches
        client.stream.cancel(WatchId(watch_id))
        client.look(self.history.compact_revision)
        assert watch_id not in client.view.watches
        assert client.sink.messages[-1:] == [] or not known or client.sink.messages[-1].canceled

    @rule()
    def progress(self) -> None:
        for client in self.open_clients:
            client.stream.progress()

    @rule(elapsed_s=st.sampled_from([1.0, 300.0, 1000.0]))
    def tick(self, elapsed_s: float) -> None:
        self.now += elapsed_s
        self.hub.tick(self.now)

    @rule(number=numbers, count=st.integers(1, 5) | st.none())
    def drain(self, number: int, count: int | None) -> None:
        self.client(number).drain(count)

    @rule()
    def catch_up(self) -> None:
        self.hub.catch_up()

    @precondition(lambda self: self.history.revision > max(1, self.history.compact_revision))
    @rule(back=st.integers(0, 3))
    def compact(self, back: int) -> None:
        revision = max(self.history.compact_revision + 1, self.history.revision - back)
        self.history.compact(revision)

    @invariant()
    def what_was_sent_is_understood(self) -> None:
        if not hasattr(self, "hub"):
            return
        for client in self.open_clients:
            client.look(self.history.compact_revision)
        assert self.hub.stream_count == len(self.open_clients)
        assert self.hub.watcher_count == sum(len(c.view.watches) for c in self.open_clients)

    def teardown(self) -> None:
        """When all read and nothing changes, everyone has been told everything, or cancelled."""
        if not hasattr(self, "hub"):
            return
        for _ in range(100_000):
            if not self.hub.behind_count:
                break
            for client in self.open_clients:
                client.drain(None)
            self.hub.catch_up()
        assert not self.hub.behind_count
        for client in self.open_clients:
            client.look(self.history.compact_revision)
            for record in client.view.watches.values():
                assert len(record.events) == len(list(wanted(record, self.history)))
            client.drain(None)
            before = len(client.sink.messages)
            client.stream.progress()
            all_begun = all(
                record.spec.start_revision <= self.hub.revision
                for record in client.view.watches.values()
            )
            expected = bool(client.view.watches) and all_begun
            assert len(client.sink.messages) - before == expected
        for client in self.all_clients:
            for record in client.view.all_watches:
                check_all(record, self.history)


TestHub = HubMachine.TestCase
TestHub.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
