"""What an operation costs, mostly at a batch of 64, in things that can be counted: never in time.

A limit is what was counted when it was set, and less than one more: a change that makes each
operation take one call, task, future or system call more fails here. Who finds a way to save some
lowers the limit.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest

from kvstore.wire.http2 import connection, whole_requests
from kvstore.wire.http2.stream import Stream
from kvstore.wire.pb import rpc_pb2
from tests.support.hot_path import HotPath

BATCH = 64
ROUNDS = 6
SYSTEM_MODULES = ("posix", "_socket", "select", "time", "fcntl")
NO_SYSTEM_CALLS = ("monotonic", "fspath")
"""Answered by the process itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one operation: the cheapest of some rounds, divided by the batch."""

    calls: float
    """Python functions entered and C functions called."""
    system_calls: float
    tasks: float
    futures: float
    writes: float
    """To the client's socket."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A request of the hot path, and what one of 64 may cost."""

    path: str
    message: bytes
    calls_max: float
    system_calls_max: float
    batch: int = BATCH
    """How many come together."""


PUT = Shape(
    "/etcdserverpb.KV/Put",
    rpc_pb2.PutRequest(key=b"guard/key", value=b"x" * 128).SerializeToString(),
    calls_max=54.0,
    system_calls_max=1 / BATCH,  # one synced write of the log for all of them
)
ALONE = Shape(
    PUT.path,
    PUT.message,
    calls_max=833.0,
    system_calls_max=1,
    batch=1,
)
"""What a put costs that shares its log entry with no other."""
RANGE = Shape(
    "/etcdserverpb.KV/Range",
    rpc_pb2.RangeRequest(key=b"guard/key").SerializeToString(),
    calls_max=17.0,
    system_calls_max=0.0,
)
TXN = Shape(
    "/etcdserverpb.KV/Txn",
    rpc_pb2.TxnRequest(
        compare=[
            rpc_pb2.Compare(
                key=b"guard/key",
                target=rpc_pb2.Compare.VERSION,
                result=rpc_pb2.Compare.GREATER,
                version=0,
            )
        ],
        success=[
            rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"guard/key", value=b"x" * 128))
        ],
        failure=[rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=b"guard/key"))],
    ).SerializeToString(),
    calls_max=93.0,
    system_calls_max=1 / BATCH,
)


class Counter:
    """Counts what one round does, by the interpreter's profiling hook and the loop's factories."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = self.system_calls = self.tasks = self.futures = 0
        create_future, create_task = loop.create_future, loop.create_task

        def counted_future() -> "asyncio.Future[object]":
            self.futures += 1
            return create_future()

        def counted_task(*arguments: object, **named: object) -> object:
            self.tasks += 1
            return create_task(*arguments, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(loop, "create_future", counted_future)
        monkeypatch.setattr(loop, "create_task", counted_task)

    async def of(self, round_: Awaitable[object]) -> "tuple[int, int, int, int]":
        """Return (calls, system calls, tasks, futures) of one round."""
        self.calls = self.system_calls = self.tasks = self.futures = 0
        sys.setprofile(self._count)
        try:
            await round_
        finally:
            sys.setprofile(None)
        return self.calls, self.system_calls, self.tasks, self.futures

    def _count(self, _frame: FrameType, event: str, what: object) -> None:
        if event == "call":
            self.calls += 1
        elif event == "c_call":
            self.calls += 1
            if (
                getattr(what, "__module__", None) in SYSTEM_MODULES
                and getattr(what, "__name__", "") not in NO_SYSTEM_CALLS
            ):
                self.system_calls += 1


Measure = Callable[[Shape], Cost]


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    async def cost(shape: Shape) -> Cost:
        member = HotPath(Path(tempfile.mkdtemp(dir=tmp_path)))
        await member.start()
        counter = Counter(asyncio.get_running_loop(), monkeypatch)
        await member.calls(PUT.path, [PUT.message])
        rounds, writes = [], member.socket.writes
        for _ in range(ROUNDS):
            requests = member.requests(shape.path, [shape.message] * shape.batch)
            rounds.append(await counter.of(member.round(requests)))
        writes = member.socket.writes - writes
        await member.close()
        # The cheapest round is one without a timer of the listener or a new log segment in it.
        calls, system_calls, tasks, futures = (
            min(column) / shape.batch for column in zip(*rounds, strict=True)
        )
        return Cost(
            calls=calls,
            system_calls=system_calls,
            tasks=tasks,
            futures=futures,
            writes=writes / ROUNDS / shape.batch,
        )

    def measure(shape: Shape) -> Cost:
        return asyncio.run(cost(shape))

    return measure


@pytest.mark.parametrize(
    "shape", [PUT, ALONE, RANGE, TXN], ids=["put", "put-alone", "range", "txn"]
)
def test_an_operation_of_a_batch_costs_no_more_than_when_the_limit_was_set(
    shape: Shape, measure: Measure
) -> None:
    check(measure(shape), shape)


def check(cost: Cost, shape: Shape) -> None:
    assert cost.calls <= shape.calls_max, f"calls: {cost}"
    assert cost.system_calls <= shape.system_calls_max, f"system calls: {cost}"
    assert cost.tasks == 0, f"tasks: {cost}"
    assert cost.futures == 0, f"futures: {cost}"
    assert cost.writes == 1 / shape.batch, f"writes: {cost}"


def one_more_call() -> None:
    """Costs nothing but being called."""


def one_more_system_call() -> None:
    os.getppid()


def one_more_future() -> None:
    _ = asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("planted", [one_more_call, one_more_system_call, one_more_future])
def test_one_more_of_anything_for_each_put_is_noticed(
    planted: Callable[[], None], measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planted_stream(stream_id: int, window: int, *, is_remote_closed: bool = False) -> Stream:
        planted()
        return Stream(stream_id, window, is_remote_closed=is_remote_closed)

    without = measure(PUT)
    for module in (connection, whole_requests):
        monkeypatch.setattr(module, "Stream", planted_stream)
    cost = measure(PUT)

    with pytest.raises(AssertionError):
        check(cost, PUT)
    assert cost.calls - without.calls >= 1
    assert cost.system_calls - without.system_calls == (planted is one_more_system_call)
    assert cost.futures - without.futures == (planted is one_more_future)
