"""A watch over several streams: nothing lost, nothing twice."""

import pytest

from kvstore.base.errors import Compacted
from kvstore.client.errors import WatchCanceled
from kvstore.client.watching import WatchOptions, WatchProgress
from kvstore.wire.pb import kv_pb2, rpc_pb2


def created(revision: int) -> rpc_pb2.WatchResponse:
    return rpc_pb2.WatchResponse(created=True, header=rpc_pb2.ResponseHeader(revision=revision))


def changed(revision: int, *keys: bytes, fragment: bool = False) -> rpc_pb2.WatchResponse:
    return rpc_pb2.WatchResponse(
        header=rpc_pb2.ResponseHeader(revision=revision),
        fragment=fragment,
        events=[kv_pb2.Event(kv=kv_pb2.KeyValue(key=key, mod_revision=revision)) for key in keys],
    )


def start_revision(progress: WatchProgress) -> int:
    return progress.create_request().create_request.start_revision


def test_a_watch_from_now_on_that_saw_nothing_resumes_where_now_was() -> None:
    progress = WatchProgress("k", WatchOptions())
    assert start_revision(progress) == 0
    assert progress.receive(created(7)) is None
    assert start_revision(progress) == 8
    progress.receive(created(20))
    assert start_revision(progress) == 8


def test_a_watch_resumes_after_the_last_whole_revision() -> None:
    progress = WatchProgress("k", WatchOptions(start_revision=3))
    progress.receive(created(7))
    batch = progress.receive(changed(5, b"k"))
    assert batch is not None
    assert batch.revision == 5
    assert progress.receive(changed(6, b"a", fragment=True)) is None
    assert start_revision(progress) == 6
    whole = [progress.receive(changed(6, b"a", fragment=True)), progress.receive(changed(6, b"b"))]
    assert whole[1] is not None
    assert [event.kv.key for event in whole[1].events] == [b"a", b"b"]


def test_a_progress_notification_moves_the_resume_point() -> None:
    progress = WatchProgress("k", WatchOptions(start_revision=3))
    batch = progress.receive(changed(9))
    assert batch is not None
    assert (batch.revision, batch.events) == (9, ())
    assert start_revision(progress) == 10


def test_a_canceled_watch_says_why() -> None:
    progress = WatchProgress("k", WatchOptions())
    with pytest.raises(Compacted) as refusal:
        progress.receive(rpc_pb2.WatchResponse(canceled=True, compact_revision=5))
    assert refusal.value.compact_revision == 5
    with pytest.raises(WatchCanceled, match="permission"):
        progress.receive(rpc_pb2.WatchResponse(canceled=True, cancel_reason="permission"))
