import pytest

from kvstore.base.ids import WatchId
from kvstore.base.key_range import KeyRange
from kvstore.base.limits import Limits
from kvstore.watch import WatchHub, WatchSpec, WatchStream
from kvstore.wire.pb import kv_pb2, rpc_pb2
from tests.support.watch_world import (
    ListHistory,
    ManualEntropy,
    SlowSink,
    Write,
    catch_up_fully,
    header,
    revisions,
)

ALL = KeyRange.of(b"\x00", b"\x00")
K = KeyRange.single(b"k")


class World:
    """A hub over a listed history, with one stream open."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.history = ListHistory()
        self.hub = WatchHub(self.history, header, limits or Limits(), ManualEntropy(0.5))
        self.sink = SlowSink()
        self.stream = self.hub.open(self.sink)

    def put(self, key: bytes, value: bytes = b"v") -> int:
        revision, events = self.history.put(key, value)
        self.hub.publish([(revision, events)])
        return revision

    def delete(self, key: bytes) -> int:
        revision, events = self.history.delete(key)
        self.hub.publish([(revision, events)])
        return revision

    def watch(self, keys: KeyRange = K, watch_id: int = 0, **wishes: object) -> None:
        self.stream.create(WatchSpec(keys=keys, **wishes), WatchId(watch_id))  # type: ignore[arg-type]

    def other_stream(self) -> tuple[WatchStream, SlowSink]:
        sink = SlowSink()
        return self.hub.open(sink), sink

    def new(self) -> list[rpc_pb2.WatchResponse]:
        catch_up_fully(self.hub)
        return self.sink.take_new()


@pytest.fixture
def world() -> World:
    return World()


# --- create ---------------------------------------------------------------------------------------


def test_a_created_response_comes_first_with_the_current_revision(world: World) -> None:
    world.put(b"k")
    world.watch(start_revision=1)
    created, replay = world.new()
    assert created.created
    assert not created.canceled
    assert created.header.revision == 2
    assert created.header.member_id == 7
    assert revisions([replay]) == [2]


def test_watch_ids_are_counted_from_zero_and_skip_those_in_use(world: World) -> None:
    world.watch(watch_id=1)
    world.watch()
    world.watch()
    world.watch(watch_id=-5)
    assert [response.watch_id for response in world.new()] == [1, 0, 2, -5]


def test_a_watch_id_in_use_is_refused_and_one_given_up_is_not(world: World) -> None:
    world.watch(watch_id=9)
    world.watch(watch_id=9)
    world.stream.cancel(WatchId(9))
    world.watch(watch_id=9)
    _, refused, _, again = world.new()
    assert refused.created
    assert refused.canceled
    assert refused.watch_id == -1
    assert refused.cancel_reason == "mvcc: duplicate watch ID provided on the WatchStream"
    assert refused.header.revision == 1
    assert again.created
    assert again.watch_id == 9


def test_an_empty_range_is_refused_and_the_stream_goes_on(world: World) -> None:
    world.watch(KeyRange.of(b"k", b"a"))
    world.watch(KeyRange.of(b"k", b"k"))
    world.watch()
    refused, also_refused, created = world.new()
    for response in (refused, also_refused):
        assert response.created
        assert response.canceled
        assert response.watch_id == -1
        assert response.cancel_reason == "mvcc: watcher range is empty"
    assert created.created
    assert created.watch_id == 0


def test_a_negative_start_revision_is_refused_at_create(world: World) -> None:
    world.watch(start_revision=-1)
    [refused] = world.new()
    assert refused.created
    assert refused.canceled
    assert refused.watch_id == -1
    assert refused.compact_revision == 0
    assert refused.cancel_reason == "etcdserver: mvcc: required revision has been compacted"


def test_more_watchers_than_the_limit_are_refused() -> None:
    world = World(Limits(watchers_per_stream_max=1))
    world.watch()
    world.watch()
    _, refused = world.new()
    assert refused.canceled
    assert refused.cancel_reason == "etcdserver: too many requests"


# --- events ---------------------------------------------------------------------------------------


def test_start_revision_zero_means_from_now_on(world: World) -> None:
    world.put(b"k")
    world.watch()
    world.put(b"k")
    created, event = world.new()
    assert created.header.revision == 2
    assert revisions([event]) == [3]


def test_an_event_is_the_key_value_and_of_a_delete_key_and_revision_only(world: World) -> None:
    world.watch()
    world.put(b"k", b"one")
    world.delete(b"k")
    _, put, delete = world.new()
    assert put.header.revision == 2
    assert put.events[0].type == kv_pb2.Event.PUT
    assert put.events[0].kv == kv_pb2.KeyValue(
        key=b"k", value=b"one", create_revision=2, mod_revision=2, version=1
    )
    assert not put.events[0].HasField("prev_kv")
    assert delete.events[0].type == kv_pb2.Event.DELETE
    assert delete.events[0].kv == kv_pb2.KeyValue(key=b"k", mod_revision=3)


def test_prev_kv_is_there_for_whoever_asked_unless_it_is_a_create(world: World) -> None:
    world.watch(prev_kv=True)
    world.watch()
    world.put(b"k", b"one")
    world.put(b"k", b"two")
    world.delete(b"k")
    responses = world.new()
    with_previous = [r.events[0] for r in responses if r.events and r.watch_id == 0]
    without = [r.events[0] for r in responses if r.events and r.watch_id == 1]
    assert [event.prev_kv.value for event in with_previous] == [b"", b"one", b"two"]
    assert not with_previous[0].HasField("prev_kv")
    assert not any(event.HasField("prev_kv") for event in without)


def test_filters_drop_events_and_a_response_without_any_is_not_sent(world: World) -> None:
    world.watch(ALL, no_put=True)
    world.watch(ALL, no_delete=True)
    world.put(b"k")
    world.hub.publish([world.history.write(Write(b"k", None), Write(b"m", b"v"))])
    _, _, *events = world.new()
    assert [(r.watch_id, [e.type for e in r.events]) for r in events] == [
        (1, [kv_pb2.Event.PUT]),
        (0, [kv_pb2.Event.DELETE]),
        (1, [kv_pb2.Event.PUT]),
    ]


def test_all_events_of_a_revision_share_a_response_in_their_order(world: World) -> None:
    world.watch(ALL)
    world.hub.publish([world.history.write(Write(b"z", b"1"), Write(b"a", b"2"))])
    _, response = world.new()
    assert [event.kv.key for event in response.events] == [b"z", b"a"]


def test_the_revisions_of_a_turn_share_a_response_that_names_the_last_it_holds(
    world: World,
) -> None:
    world.watch(K)
    world.hub.publish([world.history.put(b"k"), world.history.put(b"k"), world.history.put(b"m")])
    _, response = world.new()
    assert revisions([response]) == [2, 3]
    assert response.header.revision == 3


def test_a_watcher_of_other_keys_hears_nothing(world: World) -> None:
    world.watch(KeyRange.of(b"a", b"k"))
    world.watch(KeyRange.of(b"k\x00", b"\x00"))
    world.put(b"k")
    assert all(response.created for response in world.new())


def test_replay_from_history_carries_the_current_revision_and_then_goes_live(world: World) -> None:
    for _ in range(5):
        world.put(b"k")
    world.watch(start_revision=3, prev_kv=True)
    _, replay = world.new()
    assert revisions([replay]) == [3, 4, 5, 6]
    assert replay.header.revision == 6
    assert all(event.HasField("prev_kv") for event in replay.events)
    world.put(b"k")
    [live] = world.new()
    assert revisions([live]) == [7]


def test_replay_of_the_current_revision_repeats_it(world: World) -> None:
    current = world.put(b"k")
    world.watch(start_revision=current)
    _, replay = world.new()
    assert revisions([replay]) == [current]


def test_a_revision_published_between_two_slices_is_neither_lost_nor_repeated() -> None:
    world = World(Limits(catch_up_revisions_max=2))
    for _ in range(7):
        world.put(b"k")
    world.watch(start_revision=2)
    while world.hub.has_backlog:
        world.hub.catch_up()
        if world.history.revision < 12:
            world.put(b"k")
    assert revisions(world.new()) == list(range(2, 13))


def test_neighbours_in_the_backlog_share_one_read_of_history(world: World) -> None:
    for _ in range(10):
        world.put(b"k")
    for start in (2, 5, 9):
        world.watch(start_revision=start)
    responses = world.new()
    assert len(world.history.reads) == 1
    for watch_id, start in enumerate((2, 5, 9)):
        mine = [response for response in responses if response.watch_id == watch_id]
        assert revisions(mine) == list(range(start, 12))


# --- compaction -----------------------------------------------------------------------------------


def test_a_compacted_start_is_created_and_then_cancelled_with_the_compact_revision(
    world: World,
) -> None:
    for _ in range(5):
        world.put(b"k")
    world.history.compact(4)
    world.watch(start_revision=3, watch_id=8)
    created, canceled = world.new()
    assert created.created
    assert not created.canceled
    assert canceled.canceled
    assert not canceled.created
    assert canceled.watch_id == 8
    assert canceled.compact_revision == 4
    assert canceled.header.revision == 0
    assert canceled.cancel_reason == ""
    assert world.stream.watcher_count == 0


def test_a_start_at_the_compact_revision_is_served(world: World) -> None:
    for _ in range(5):
        world.put(b"k")
    world.history.compact(4)
    world.watch(start_revision=4)
    assert revisions(world.new()) == [4, 5, 6]


def test_a_synced_watcher_does_not_mind_compaction(world: World) -> None:
    world.watch()
    world.put(b"k")
    world.history.compact(2)
    world.put(b"k")
    assert revisions(world.new()) == [2, 3]


def test_compaction_past_a_stalled_watcher_cancels_it_when_it_drains() -> None:
    world = World(Limits(watch_unsent_bytes_max=100))
    world.watch()
    for _ in range(9):
        world.put(b"k", b"x" * 60)
    world.history.compact(9)
    sent = world.sink.take_new()
    world.stream.drained()
    [canceled] = world.new()
    assert canceled.canceled
    assert canceled.compact_revision == 9
    assert revisions(sent) == list(range(2, 2 + len(revisions(sent))))


# --- slow readers ---------------------------------------------------------------------------------


def test_a_slow_reader_is_not_waited_for_and_loses_nothing() -> None:
    world = World(Limits(watch_unsent_bytes_max=1000))
    world.watch()
    fast, fast_sink = world.other_stream()
    fast.create(WatchSpec(keys=K))
    for _ in range(50):
        world.put(b"k", b"x" * 100)
        fast_sink.take()
    assert revisions(fast_sink.messages) == list(range(2, 52))
    assert world.sink.unsent_bytes < 1000 + 200
    assert world.hub.behind_count == 1
    assert not world.hub.has_backlog
    seen = world.sink.take_new()
    while world.hub.behind_count:
        world.stream.drained()
        seen += world.new()
    assert revisions(seen) == list(range(2, 52))
    world.put(b"k")
    assert revisions(world.new()) == [52]


def test_idle_watchers_of_a_full_stream_stay_synced() -> None:
    world = World(Limits(watch_unsent_bytes_max=100))
    world.watch(K)
    world.watch(KeyRange.single(b"other"))
    for _ in range(5):
        world.put(b"k", b"x" * 100)
    assert world.hub.behind_count == 1


def test_a_large_replay_is_cut_between_revisions() -> None:
    world = World(Limits(watch_unsent_bytes_max=4000))
    for _ in range(30):
        world.hub.publish([world.history.write(Write(b"k", b"x" * 200), Write(b"l", b"y" * 200))])
    world.watch(ALL, start_revision=2)
    seen = []
    while world.hub.behind_count:
        seen += world.new()
        world.stream.drained()
    replay = [response for response in seen if response.events]
    assert len(replay) > 5
    assert all(len(response.events) % 2 == 0 for response in replay)
    assert revisions(replay) == [revision for revision in range(2, 32) for _ in "kl"]


def test_a_stream_that_fills_within_a_slice_stalls_the_rest_and_loses_nothing() -> None:
    world = World(Limits(watch_unsent_bytes_max=500))
    world.put(b"k", b"")
    for _ in range(40):
        world.watch(start_revision=2)
    world.sink.take()
    world.stream.drained()
    world.hub.catch_up()
    assert world.stream.is_full
    assert 0 < world.hub.behind_count < 40
    while world.hub.behind_count:
        world.sink.take()
        world.stream.drained()
        catch_up_fully(world.hub)
    events = [response for response in world.sink.messages if response.events]
    assert sorted(response.watch_id for response in events) == list(range(40))


# --- future starts --------------------------------------------------------------------------------


def test_a_future_start_delivers_only_revisions_from_there_on(world: World) -> None:
    world.watch(start_revision=4)
    for _ in range(4):
        world.put(b"k")
    created, *events = world.new()
    assert created.header.revision == 1
    assert revisions(events) == [4, 5]


def test_a_future_start_inside_a_turn_is_served_from_there(world: World) -> None:
    world.watch(start_revision=4)
    world.hub.publish([world.history.put(b"k") for _ in range(5)])
    world.put(b"k")
    assert revisions(world.new()) == [4, 5, 6, 7]


def test_a_watcher_of_the_future_can_be_cancelled(world: World) -> None:
    world.watch(start_revision=4)
    world.watch(start_revision=4)
    world.stream.cancel(WatchId(0))
    for _ in range(4):
        world.put(b"k")
    assert {response.watch_id for response in world.new() if response.events} == {1}


# --- cancel and close -----------------------------------------------------------------------------


def test_a_cancel_is_answered_once_and_nothing_follows(world: World) -> None:
    world.watch()
    world.put(b"k")
    world.stream.cancel(WatchId(0))
    world.put(b"k")
    world.stream.cancel(WatchId(0))
    _, event, canceled = world.new()
    assert revisions([event]) == [2]
    assert canceled.canceled
    assert canceled.header.revision == 2
    assert canceled.compact_revision == 0
    assert canceled.cancel_reason == ""


def test_a_cancel_of_an_unknown_id_is_ignored(world: World) -> None:
    world.stream.cancel(WatchId(3))
    assert world.new() == []


def test_a_closed_stream_frees_its_watchers_wherever_they_stand() -> None:
    world = World(Limits(watch_unsent_bytes_max=100))
    world.put(b"k")
    world.watch()
    world.watch(start_revision=1)
    world.watch(start_revision=99)
    world.put(b"k", b"x" * 200)
    world.put(b"k", b"x" * 200)
    world.stream.close()
    world.stream.close()
    world.stream.drained()
    sent = len(world.sink.messages)
    world.put(b"k")
    world.hub.tick(1e9)
    catch_up_fully(world.hub)
    assert len(world.sink.messages) == sent
    assert (world.hub.watcher_count, world.hub.behind_count, world.hub.stream_count) == (0, 0, 0)


# --- progress -------------------------------------------------------------------------------------


def test_progress_is_answered_with_no_watch_id_once_all_are_synced(world: World) -> None:
    world.watch()
    world.watch(ALL, start_revision=1)
    world.put(b"k")
    world.stream.progress()
    catch_up_fully(world.hub)
    world.stream.progress()
    *_, event, progress = world.new()
    assert event.events
    assert progress.watch_id == -1
    assert progress.header.revision == 2
    assert not progress.events
    assert sum(response.watch_id == -1 for response in world.sink.messages) == 1


def test_progress_without_a_watcher_is_silent(world: World) -> None:
    world.stream.progress()
    world.watch()
    world.stream.cancel(WatchId(0))
    world.sink.take()
    world.stream.progress()
    assert world.new() == []


def test_progress_waits_for_the_start_revision_to_come(world: World) -> None:
    world.watch(start_revision=2)
    world.stream.progress()
    assert [response.created for response in world.new()] == [True]
    world.put(b"other")
    world.stream.progress()
    [progress] = world.new()
    assert progress.header.revision == 2


def test_periodic_progress_is_sent_to_quiet_synced_watchers_that_asked(world: World) -> None:
    world.watch(progress_notify=True)
    world.watch()
    world.watch(progress_notify=True, start_revision=99)
    world.sink.take()
    world.hub.tick(1000.0)
    world.hub.tick(1629.0)
    assert world.new() == []
    world.put(b"other")
    world.hub.tick(1630.0)
    [progress] = world.new()
    assert (progress.watch_id, progress.header.revision) == (0, 2)
    assert not progress.events
    world.put(b"k")
    world.sink.take()
    world.hub.tick(2260.0)
    assert world.new() == []
    world.hub.tick(2890.0)
    assert [response.watch_id for response in world.new()] == [0]


def test_a_stream_whose_progress_watchers_left_is_not_reminded_until_a_new_one(
    world: World,
) -> None:
    world.watch(progress_notify=True)
    world.stream.cancel(WatchId(0))
    world.hub.tick(0.0)
    world.hub.tick(1000.0)
    world.watch(progress_notify=True)
    world.sink.take()
    world.hub.tick(2000.0)
    world.hub.tick(2630.0)
    assert [response.watch_id for response in world.new()] == [1]


# --- fragments ------------------------------------------------------------------------------------


def test_a_large_response_is_fragmented_for_whoever_asked() -> None:
    world = World(Limits(request_bytes_max=200, request_overhead_bytes=50))
    world.watch(ALL, fragment=True)
    world.watch(ALL)
    writes = [Write(b"%d" % number, b"x" * 60) for number in range(8)]
    world.hub.publish([world.history.write(*writes)])
    _, _, *parts, whole = world.new()
    assert len(parts) > 1
    assert [part.fragment for part in parts] == [True] * (len(parts) - 1) + [False]
    assert {part.watch_id for part in parts} == {0}
    assert {part.header.revision for part in parts} == {2}
    assert all(part.ByteSize() < 250 for part in parts)
    assert [event for part in parts for event in part.events] == list(whole.events)
    assert not whole.fragment


def test_fragments_of_two_watchers_never_interleave() -> None:
    world = World(Limits(request_bytes_max=200, request_overhead_bytes=50))
    for _ in range(3):
        world.watch(ALL, fragment=True)
    writes = [Write(b"%d" % number, b"x" * 60) for number in range(8)]
    world.hub.publish([world.history.write(*writes)])
    _, _, _, *parts = world.new()
    seen: list[int] = []
    before = rpc_pb2.WatchResponse()
    for part in parts:
        if part.watch_id not in seen:
            assert not before.fragment
            seen.append(part.watch_id)
        assert part.watch_id == seen[-1], "a part came between those of another"
        before = part
    assert seen == [0, 1, 2]
    assert not before.fragment


# --- another keyspace -----------------------------------------------------------------------------


def test_after_a_snapshot_watchers_go_on_from_their_next_revision(world: World) -> None:
    world.watch()
    world.watch(start_revision=5)
    world.put(b"k")
    for _ in range(4):
        world.history.put(b"k")
    world.hub.rebase(world.history)
    world.put(b"k")
    responses = world.new()
    assert revisions([r for r in responses if r.watch_id == 0]) == [2, 3, 4, 5, 6, 7]
    assert revisions([r for r in responses if r.watch_id == 1]) == [5, 6, 7]


def test_after_a_snapshot_that_compacted_their_next_revision_watchers_are_cancelled(
    world: World,
) -> None:
    world.watch()
    for _ in range(4):
        world.history.put(b"k")
    world.history.compact(4)
    world.hub.rebase(world.history)
    _, canceled = world.new()
    assert canceled.compact_revision == 4


def test_a_revision_skipped_in_publish_is_a_bug_that_stops(world: World) -> None:
    world.history.put(b"k")
    with pytest.raises(AssertionError, match="skipped"):
        world.hub.publish([world.history.put(b"k")])
