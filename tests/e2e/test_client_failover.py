"""The client library while members of a real etcd cluster come and go."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from kvstore.client import AsyncClient, Client, Event, OutcomeUnknown, Timing, Unavailable, prefix
from tests.support.cluster_process import ClusterProcess
from tests.support.etcd_process import etcd_program, real_etcd

pytestmark = [
    pytest.mark.slow,
    pytest.mark.etcd,
    pytest.mark.skipif(etcd_program() is None, reason="the real etcd is not installed"),
]
TIMING = Timing(timeout_s=20, connect_timeout_s=1)


@pytest.fixture
def etcd() -> Iterator[ClusterProcess]:
    with real_etcd(3) as cluster:
        yield cluster


def put_somehow(client: Client, key: str, value: str) -> None:
    """Put, again if the outcome was unknown: the same put twice leaves the same value."""
    while True:
        try:
            client.put(key, value)
        except (OutcomeUnknown, Unavailable):
            continue
        return


def test_calls_and_a_watch_move_on_when_their_member_is_killed(etcd: ClusterProcess) -> None:
    with (
        Client(etcd.endpoints, timing=TIMING) as client,
        client.watch(prefix("k/"), start_revision=1) as watch,
    ):
        events = iter(watch)
        client.put("k/1", "before")
        assert next(events).kv.value == b"before"
        etcd.members[0].kill()
        found = client.get("k/1")
        assert found is not None
        put_somehow(client, "k/2", "after")
        event = next(events)
        assert (event.kv.key, event.kv.value) == (b"k/2", b"after")


async def test_an_async_watch_loses_nothing_over_two_failovers(etcd: ClusterProcess) -> None:
    seen: list[Event] = []
    async with (
        AsyncClient(etcd.endpoints, timing=TIMING) as client,
        client.watch(prefix("k/")) as watch,
    ):
        events = aiter(watch)
        for round_ in range(2):
            member = etcd.members[round_]
            await client.put(f"k/{round_}/a", "")
            seen += await events_until(f"k/{round_}/a", events)
            await asyncio.to_thread(member.kill)
            await put_until_known(client, f"k/{round_}/b")
            seen += await events_until(f"k/{round_}/b", events)
            member.start()
            await asyncio.to_thread(etcd.wait_until_healthy)
    revisions = [event.kv.mod_revision for event in seen]
    assert revisions == sorted(set(revisions))
    assert {event.kv.key for event in seen} == {b"k/0/a", b"k/0/b", b"k/1/a", b"k/1/b"}


async def events_until(key: str, events: AsyncIterator[Event]) -> list[Event]:
    seen = [await anext(events)]
    while seen[-1].kv.key != key.encode():
        seen.append(await anext(events))
    return seen


async def put_until_known(client: AsyncClient, key: str) -> None:
    while True:
        try:
            await client.put(key, "")
        except (OutcomeUnknown, Unavailable):
            continue
        return


def test_a_frozen_member_makes_a_write_unknown_and_a_read_move_on(etcd: ClusterProcess) -> None:
    timing = Timing(timeout_s=2, connect_timeout_s=1)
    with Client(etcd.endpoints[:1], timing=timing) as client:
        client.put("k", "v")
        etcd.members[0].pause()
        try:
            with pytest.raises(OutcomeUnknown):
                client.put("k", "w")
        finally:
            etcd.members[0].resume()
