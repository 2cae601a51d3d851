"""Situations in which etcd's watches were wrong once; each test names the issue."""

import pytest

from kvstore.base.ids import WatchId
from kvstore.base.key_range import KeyRange
from kvstore.base.limits import Limits
from kvstore.watch import WatchHub, WatchSpec
from tests.support.watch_world import (
    ListHistory,
    ManualEntropy,
    SlowSink,
    Write,
    catch_up_fully,
    header,
    revisions,
)

K = KeyRange.single(b"k")
ALL = KeyRange(b"\x00", None)


def hub_over(history: ListHistory, limits: Limits | None = None) -> WatchHub:
    return WatchHub(history, header, limits or Limits(), ManualEntropy())


def test_progress_does_not_overtake_queued_events_15220() -> None:
    history = ListHistory()
    hub = hub_over(history, Limits(watch_unsent_bytes_max=200))
    sink = SlowSink()
    stream = hub.open(sink)
    stream.create(WatchSpec(keys=K))
    for _ in range(20):
        hub.publish([history.put(b"k", b"x" * 50)])
        stream.progress()
    while hub.behind_count:
        sink.take()
        stream.drained()
        stream.progress()
        hub.catch_up()
    stream.progress()
    delivered = 1
    for response in sink.messages[1:]:
        if response.watch_id == -1:
            assert delivered >= response.header.revision
        else:
            delivered = response.events[-1].kv.mod_revision
    assert sink.messages[-1].header.revision == 21
    assert sink.messages[-1].watch_id == -1


def test_a_watcher_that_moves_to_a_member_behind_waits_for_its_revision_15271() -> None:
    behind = ListHistory()
    hub = hub_over(behind)
    hub.publish([behind.put(b"k")])
    sink = SlowSink()
    stream = hub.open(sink)
    stream.create(WatchSpec(keys=K, start_revision=6))
    for _ in range(3):
        hub.publish([behind.put(b"k"), behind.put(b"k")])
        stream.progress()
    catch_up_fully(hub)
    assert revisions(sink.messages) == [6, 7, 8]
    assert all(r.header.revision >= 6 for r in sink.messages if r.watch_id == -1)


def test_an_event_read_from_history_is_not_published_again_17247() -> None:
    history = ListHistory()
    hub = hub_over(history, Limits(catch_up_revisions_max=1))
    sink = SlowSink()
    hub.publish([history.put(b"k"), history.put(b"k")])
    hub.open(sink).create(WatchSpec(keys=K, start_revision=2))
    while hub.has_backlog:
        hub.catch_up()
        if history.revision < 8:
            hub.publish([history.write(Write(b"k", b"v"), Write(b"m", b"v"))])
    hub.publish([history.put(b"k")])
    assert revisions(sink.messages) == list(range(2, 10))


def test_a_starving_stream_among_many_skips_nothing_17529() -> None:
    history = ListHistory()
    hub = hub_over(history, Limits(watch_unsent_bytes_max=300, catch_up_revisions_max=3))
    sinks = [SlowSink() for _ in range(30)]
    streams = [hub.open(sink) for sink in sinks]
    for stream in streams:
        for _ in range(3):
            stream.create(WatchSpec(keys=ALL))
    for turn in range(60):
        hub.publish([history.put(b"k", b"x" * 40)])
        for number, (stream, sink) in enumerate(zip(streams, sinks, strict=True)):
            if number and turn % number == 0:
                sink.take()
                stream.drained()
        hub.catch_up()
    while hub.behind_count:
        for stream, sink in zip(streams, sinks, strict=True):
            sink.take()
            stream.drained()
        hub.catch_up()
    for sink in sinks:
        for watch_id in range(3):
            mine = [response for response in sink.messages if response.watch_id == watch_id]
            assert revisions(mine) == list(range(2, 62))


@pytest.mark.parametrize("issue", [18089, 19179])
def test_a_delete_at_the_compact_revision_is_still_delivered(issue: int) -> None:
    """18089: to a watcher that was on its way there. 19179: to one that starts there."""
    history = ListHistory()
    hub = hub_over(history, Limits(watch_unsent_bytes_max=150))
    sink = SlowSink()
    stream = hub.open(sink)
    if issue == 18089:
        stream.create(WatchSpec(keys=K, start_revision=4))
    hub.publish([history.put(b"k")])
    hub.publish([history.put(b"m")])
    deletion = history.delete(b"k")
    hub.publish([deletion, history.put(b"m")])
    history.compact(deletion[0])
    if issue == 19179:
        stream.create(WatchSpec(keys=K, start_revision=deletion[0]))
    catch_up_fully(hub)
    [event] = [event for response in sink.messages for event in response.events]
    assert (event.kv.key, event.kv.mod_revision) == (b"k", deletion[0])
    assert not any(response.canceled for response in sink.messages)


def test_nothing_below_a_future_start_revision_is_told_20221() -> None:
    history = ListHistory()
    hub = hub_over(history)
    sink = SlowSink()
    stream = hub.open(sink)
    stream.create(WatchSpec(keys=K, start_revision=5, progress_notify=True), WatchId(1))
    sink.take()
    for turn in range(3):
        hub.publish([history.put(b"k")])
        stream.progress()
        hub.tick(turn * 1000.0)
    assert history.revision == 4
    assert sink.take_new() == []
    hub.rebase(history)
    catch_up_fully(hub)
    stream.progress()
    assert sink.take_new() == []
    hub.publish([history.put(b"k")])
    assert revisions(sink.take_new()) == [5]
