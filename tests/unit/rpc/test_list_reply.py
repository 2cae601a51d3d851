"""A list of any size is the same answer, whether it was held whole or sent as it was read."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvstore.apply.reply import range_kvs
from kvstore.rpc import list_reply
from kvstore.rpc.list_reply import kvs_bytes
from kvstore.wire.http2.frames import rst_stream_frame, window_update_frame
from kvstore.wire.pb import rpc_pb2
from tests.support.hot_path import HotPath

PUT, RANGE = "/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range"
KEYS, VALUE = 1500, b"v" * 900
EVERYTHING = rpc_pb2.RangeRequest(key=b"\0", range_end=b"\0")
Run = Callable[[Callable[[HotPath], Awaitable[None]]], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(test: Callable[[HotPath], Awaitable[None]]) -> None:
        async def main() -> None:
            member = HotPath(tmp_path)
            await member.start()
            try:
                puts = [rpc_pb2.PutRequest(key=b"%06d" % n, value=VALUE) for n in range(KEYS)]
                await member.calls(PUT, [one.SerializeToString() for one in puts])
                await test(member)
            finally:
                await member.close()

        asyncio.run(main())

    return run


@pytest.fixture
def keeps_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_reply, "KEPT_BYTES_MAX", 10_000)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came")


def queries() -> list[rpc_pb2.RangeRequest]:
    shapes: list[dict[str, int]] = [
        {},
        {"keys_only": 1},
        {"limit": 1200},
        {"revision": 1000},
        {"sort_order": rpc_pb2.RangeRequest.DESCEND},
        {"min_mod_revision": 900},
    ]
    found = []
    for fields in shapes:
        request = rpc_pb2.RangeRequest(key=b"\0", range_end=b"\0", **fields)  # type: ignore[arg-type]
        found.append(request)
    return found


def test_a_list_that_is_sent_as_it_is_read_is_the_one_that_is_held_whole(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(member: HotPath) -> None:
        for query in queries():
            raw = query.SerializeToString()
            (whole,) = await member.calls(RANGE, [raw])
            with monkeypatch.context() as patch:
                patch.setattr(list_reply, "KEPT_BYTES_MAX", 10_000)
                (sent,) = await member.calls(RANGE, [raw])
            assert sent.message == whole.message
            assert rpc_pb2.RangeResponse.FromString(sent.message).count

    run(test)


def test_a_client_that_does_not_read_stops_the_list_not_the_member(
    run: Run, keeps_little: None
) -> None:
    async def test(member: HotPath) -> None:
        http2 = member.connection._http2
        assert http2 is not None
        sender = http2.sender
        sender.drain_mark = limit = member.member.config.limits.watch_unsent_bytes_max // 4
        sender.window = 0  # as if all of it were used up
        member.connection.data_received(member.requests(RANGE, [EVERYTHING.SerializeToString()]))
        await until(lambda: sender.queued_bytes > limit)
        for _ in range(100):
            await asyncio.sleep(0)
        assert limit < sender.queued_bytes < limit + 300_000
        assert member.member.long_reads == 1

        answer = await member.round(window_update_frame(0, 2**30))
        assert len(answer) > KEYS * len(VALUE)
        assert member.member.long_reads == 0

    run(test)


def test_a_client_that_leaves_lets_go_of_the_view(run: Run, keeps_little: None) -> None:
    async def test(member: HotPath) -> None:
        http2 = member.connection._http2
        assert http2 is not None
        http2.sender.window = 0
        stream = member._next_stream
        member.connection.data_received(member.requests(RANGE, [EVERYTHING.SerializeToString()]))
        await until(lambda: member.member.long_reads == 1)
        member.connection.data_received(rst_stream_frame(stream, 8))
        await until(lambda: member.member.long_reads == 0)

    run(test)


@given(st.lists(st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 70_000]).map(bytes), max_size=6))
def test_the_size_of_keys_is_told_before_they_are_put_together(kvs: list[bytes]) -> None:
    assert kvs_bytes(kvs) == len(range_kvs(kvs))
