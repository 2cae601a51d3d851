from collections.abc import Callable

import pytest

from kvstore.base.errors import NoLeader, RpcError
from kvstore.base.key_range import KeyRange
from kvstore.base.limits import Limits
from kvstore.rpc.access import Caller
from kvstore.rpc.call import StreamCall, StreamHandler
from kvstore.rpc.pipeline import Pipeline
from kvstore.rpc.stream_guard import EndStream
from kvstore.rpc.watch import WatchService
from kvstore.watch import WatchHub
from kvstore.wire.pb import rpc_pb2
from tests.support.fake_calls import FakeStreamCall
from tests.support.watch_world import ListHistory, ManualEntropy, catch_up_fully, header


class Guard:
    """The member's hand on the streams; `refusal` ends those that open."""

    def __init__(self) -> None:
        self.refusal: RpcError | None = None
        self.open: list[EndStream] = []

    def __call__(self, call: StreamCall, end: EndStream) -> Callable[[], None]:
        self.open.append(end)
        if self.refusal is not None:
            end(self.refusal)
        return lambda: self.open.remove(end)


class Voter:
    is_learner = False

    def seconds_without_leader(self) -> float:
        return 0.0


class Access:
    """Who may read: everybody, unless `refusal` is set."""

    def __init__(self) -> None:
        self.refusal: RpcError | None = None

    @property
    def is_on(self) -> bool:
        return self.refusal is not None

    def check_range(self, caller: Caller, keys: KeyRange) -> None:
        assert self.refusal is not None
        raise self.refusal


class World:
    def __init__(self) -> None:
        self.history = ListHistory()
        self.hub = WatchHub(self.history, header, Limits(), ManualEntropy())
        self.guard = Guard()
        self.access = Access()
        self.service = WatchService(self.hub, self.guard, Pipeline(Voter()), self.access)

    def open(self) -> tuple[FakeStreamCall, StreamHandler]:
        call = FakeStreamCall()
        return call, self.service.open(call)

    def put(self, key: bytes) -> None:
        self.hub.publish([self.history.put(key)])


@pytest.fixture
def world() -> World:
    return World()


def create(**fields: object) -> bytes:
    request = rpc_pb2.WatchCreateRequest(**fields)  # type: ignore[arg-type]
    return rpc_pb2.WatchRequest(create_request=request).SerializeToString()


def received(call: FakeStreamCall) -> list[rpc_pb2.WatchResponse]:
    return [rpc_pb2.WatchResponse.FromString(message) for message in call.messages]


def test_the_service_has_etcds_path(world: World) -> None:
    assert list(world.service.methods()) == ["/etcdserverpb.Watch/Watch"]


def test_every_field_of_a_create_counts(world: World) -> None:
    call, handler = world.open()
    world.put(b"b1")
    handler.message_received(
        create(
            key=b"b",
            range_end=b"c",
            start_revision=2,
            prev_kv=True,
            watch_id=5,
            filters=[rpc_pb2.WatchCreateRequest.NODELETE],
            progress_notify=True,
            fragment=True,
        )
    )
    catch_up_fully(world.hub)
    world.put(b"b1")
    world.hub.publish([world.history.delete(b"b1")])
    world.hub.tick(0.0)
    world.hub.tick(700.0)
    world.hub.tick(1400.0)
    created, replay, live, progress = received(call)
    assert created.watch_id == 5
    assert replay.events[0].kv.key == b"b1"
    assert live.events[0].prev_kv.mod_revision == 2
    assert not progress.events
    assert progress.header.revision == 4


def test_an_empty_key_means_the_first_one(world: World) -> None:
    call, handler = world.open()
    handler.message_received(create(key=b"", range_end=b"\x00"))
    handler.message_received(create(key=b""))
    world.put(b"anything")
    _, _, event = received(call)
    assert event.watch_id == 0


def test_cancel_and_progress_reach_the_stream(world: World) -> None:
    call, handler = world.open()
    handler.message_received(create(key=b"k", watch_id=3))
    progress = rpc_pb2.WatchRequest(progress_request=rpc_pb2.WatchProgressRequest())
    handler.message_received(progress.SerializeToString())
    cancel = rpc_pb2.WatchRequest(cancel_request=rpc_pb2.WatchCancelRequest(watch_id=3))
    handler.message_received(cancel.SerializeToString())
    handler.message_received(cancel.SerializeToString())
    created, progressed, canceled = received(call)
    assert created.created
    assert progressed.watch_id == -1
    assert canceled.canceled


def test_a_request_of_no_known_kind_is_ignored(world: World) -> None:
    call, handler = world.open()
    handler.message_received(b"")
    assert call.messages == []
    assert call.status is None


def test_a_malformed_request_ends_the_stream(world: World) -> None:
    call, handler = world.open()
    handler.message_received(create(key=b"k"))
    handler.message_received(b"\xff")
    assert call.status is not None
    assert call.status[0] == 13
    assert world.hub.watcher_count == 0
    world.put(b"k")
    handler.message_received(create(key=b"k"))
    assert len(call.messages) == 1


def test_half_closing_keeps_the_watchers_and_closing_frees_them(world: World) -> None:
    call, handler = world.open()
    handler.message_received(create(key=b"k"))
    handler.half_closed()
    world.put(b"k")
    assert len(call.messages) == 2
    handler.closed()
    handler.closed()
    world.put(b"k")
    assert len(call.messages) == 2
    assert call.status is None
    assert world.hub.watcher_count == world.hub.stream_count == 0
    assert world.guard.open == []


def test_draining_resumes_a_stalled_stream(world: World) -> None:
    call, handler = world.open()
    handler.message_received(create(key=b"k"))
    call.unsent_bytes = 100 * 1024 * 1024
    world.hub.publish([world.history.put(b"k", b"x" * 5_000_000)])
    world.put(b"k")
    stalled = len(call.messages)
    call.unsent_bytes = 0
    handler.drained()
    catch_up_fully(world.hub)
    assert len(call.messages) > stalled
    assert received(call)[-1].events[-1].kv.mod_revision == 3


def test_a_stream_opened_without_a_leader_ends_at_once(world: World) -> None:
    world.guard.refusal = NoLeader()
    call, handler = world.open()
    assert call.status == (14, "etcdserver: no leader")
    assert world.guard.open == []
    handler.message_received(create(key=b"k"))
    handler.closed()
    assert call.messages == []
    assert world.hub.stream_count == 0


def test_a_stream_ends_when_its_guard_says_so(world: World) -> None:
    call, handler = world.open()
    handler.message_received(create(key=b"k"))
    [end] = world.guard.open
    end(NoLeader())
    end(NoLeader())
    assert call.status == (14, "etcdserver: no leader")
    assert world.hub.watcher_count == 0
    assert world.guard.open == []
