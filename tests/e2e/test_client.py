"""The client library, in both its forms, against the real etcd."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from kvstore.client import (
    EVERYTHING,
    AsyncClient,
    AsyncWatch,
    Client,
    Compacted,
    CreateRevision,
    Delete,
    DeleteResult,
    Event,
    FutureRevision,
    Get,
    LeaseNotFound,
    LeaseOf,
    ModRevision,
    Put,
    RangeResult,
    RequestRefused,
    Timing,
    Txn,
    TxnResult,
    Unavailable,
    Value,
    Version,
    between,
    from_key,
    prefix,
)
from tests.support.cluster_process import ClusterProcess
from tests.support.etcd_process import etcd_program, real_etcd

pytestmark = [
    pytest.mark.slow,
    pytest.mark.etcd,
    pytest.mark.skipif(etcd_program() is None, reason="the real etcd is not installed"),
]
PATIENT = Timing(timeout_s=20)


class Driven:
    """An AsyncClient whose calls are run to their end: one test body serves both clients."""

    def __init__(self, client: AsyncClient, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def run(*arguments: Any, **named: Any) -> Any:
            result = method(*arguments, **named)
            assert inspect.isawaitable(result)
            return self._runner.run(_awaited(result))

        return run


async def _awaited(result: Any) -> Any:
    return await result


@pytest.fixture(scope="module")
def etcd() -> Iterator[ClusterProcess]:
    with real_etcd() as cluster:
        yield cluster


@pytest.fixture(params=["Client", "AsyncClient"])
def client(request: pytest.FixtureRequest, etcd: ClusterProcess) -> Iterator[Client]:
    if request.param == "Client":
        with Client(etcd.endpoints, timing=PATIENT) as blocking:
            blocking.delete(EVERYTHING)
            yield blocking
        return
    with asyncio.Runner() as runner:
        driven: Any = Driven(AsyncClient(etcd.endpoints, timing=PATIENT), runner)
        driven.delete(EVERYTHING)
        yield driven
        driven.close()


@pytest.fixture
async def async_client(etcd: ClusterProcess) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(etcd.endpoints, timing=PATIENT) as client:
        await client.delete(EVERYTHING)
        yield client


def test_both_clients_have_the_same_names_and_parameters() -> None:
    def surface(of: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in vars(of).items()
            if inspect.isfunction(member) and not name.startswith("_")
        }

    assert surface(Client) == surface(AsyncClient)


def test_a_key_is_read_back_as_bytes_with_its_history(client: Client) -> None:
    first = client.put("k", "vé")
    second = client.put(b"k", b"\xff\x00", previous=True)
    assert second.previous is not None
    assert second.previous.value == "vé".encode()
    found = client.get("k")
    assert found is not None
    assert (found.key, found.value, found.version, found.lease) == (b"k", b"\xff\x00", 2, 0)
    assert (found.create_revision, found.mod_revision) == (
        first.header.revision,
        second.header.revision,
    )
    before = client.get("k", revision=first.header.revision)
    assert before is not None
    assert before.value == "vé".encode()
    assert client.get("absent") is None


def test_ranges_are_prefixes_halves_and_limits(client: Client) -> None:
    for key in ("a", "a/1", "a/2", "b"):
        client.put(key, key.upper())

    def keys(**asked: Any) -> list[bytes]:
        return [kv.key for kv in client.range(**asked).kvs]

    assert keys(keys=prefix("a/")) == [b"a/1", b"a/2"]
    assert keys(keys=between("a", "a/2")) == [b"a", b"a/1"]
    assert keys(keys=from_key("a/2"), descending=True) == [b"b", b"a/2"]
    assert keys(keys=prefix("")) == keys(keys=EVERYTHING) == [b"a", b"a/1", b"a/2", b"b"]
    assert keys(keys=EVERYTHING, sort_by="value", descending=True)[0] == b"b"
    page = client.range(EVERYTHING, limit=1, keys_only=True, serializable=True)
    assert (page.more, page.count, page.kvs[0].value) == (True, 4, b"")
    assert client.range(EVERYTHING, count_only=True).count == 4
    deleted = client.delete(prefix("a"), previous=True)
    assert deleted.deleted == 3
    assert [kv.value for kv in deleted.previous] == [b"A", b"A/1", b"A/2"]


def test_a_transaction_runs_one_branch_and_returns_its_results(client: Client) -> None:
    create = Txn([Version("k") == 0, CreateRevision("k") < 1], [Put("k", "1")], [Get("k")])
    made = client.txn(create.compare, create.success, create.failure)
    again = client.txn(create.compare, create.success, create.failure)
    assert (made.succeeded, again.succeeded) == (True, False)
    (read,) = again.results
    assert isinstance(read, RangeResult)
    assert read.kvs[0].value == b"1"
    nested = client.txn(
        [Value("k") != "2", Value("k") > "0", LeaseOf("k") == 0, ModRevision(prefix("k")) > 1],
        [Txn(success=[Delete("k", previous=True), Put("j", "")]), Get(EVERYTHING, count_only=True)],
    )
    inner, count = nested.results
    assert isinstance(inner, TxnResult)
    assert isinstance(inner.results[0], DeleteResult)
    assert inner.results[0].previous[0].key == b"k"
    assert isinstance(count, RangeResult)
    assert count.count == 1


def test_refusals_are_classes_found_by_etcds_texts(client: Client) -> None:
    now = client.put("k", "v").header.revision
    with pytest.raises(FutureRevision):
        client.get("k", revision=now + 100)
    with pytest.raises(LeaseNotFound):
        client.put("k", "v", lease=12345)
    with pytest.raises(RequestRefused, match="etcdserver: key is not provided"):
        client.put("", "v")
    with pytest.raises(RequestRefused, match="duplicate key given"):
        client.txn(success=[Put("k", "1"), Put("k", "2")])
    client.compact(now)
    with pytest.raises(Compacted):
        client.get("k", revision=now - 1)


def test_leases_are_granted_renewed_measured_and_revoked(client: Client) -> None:
    granted = client.grant(60)
    client.put("k", "v", lease=granted.lease_id)
    state = client.time_to_live(granted.lease_id, keys=True)
    assert (state.granted_ttl_s, state.keys) == (60, (b"k",))
    assert granted.lease_id in client.leases()
    assert client.keep_alive_once(granted.lease_id) == 60
    client.revoke(granted.lease_id)
    assert client.keep_alive_once(granted.lease_id) == 0
    assert client.time_to_live(granted.lease_id).ttl_s == -1
    assert client.get("k") is None


def test_the_cluster_describes_itself(client: Client, etcd: ClusterProcess) -> None:
    client.put("k", "v")
    (member,) = client.member_list()
    assert member.name == "m0"
    assert member.client_urls == (f"http://{etcd.endpoints[0]}",)
    status = client.status()
    assert status.leader == member.member_id
    assert status.version.startswith("3.")
    assert client.hash_kv().hash == client.hash_kv(status.header.revision).hash
    assert client.alarms() == ()


def test_a_watch_sees_everything_after_it_was_entered(etcd: ClusterProcess) -> None:
    with Client(etcd.endpoints, timing=PATIENT) as client:
        with client.watch(prefix("w/"), previous=True) as watch:
            client.put("w/1", "a")
            client.put("other", "")
            client.txn(success=[Put("w/1", "b"), Put("w/2", "c")])
            client.delete("w/1")
            batches = watch.batches()
            seen = [next(batches) for _ in range(3)]
        assert [len(batch.events) for batch in seen] == [1, 2, 1]
        assert seen[0].events[0].is_create
        (deleted,) = seen[2].events
        assert deleted.is_delete
        assert deleted.previous is not None
        assert deleted.previous.value == b"b"
        assert list(batches) == []


def test_a_watch_that_begins_in_compacted_history_is_told_where_history_begins(
    etcd: ClusterProcess,
) -> None:
    with Client(etcd.endpoints, timing=PATIENT) as client:
        client.put("k", "v")
        now = client.put("k", "v").header.revision
        client.compact(now)
        with client.watch("k", start_revision=1) as watch, pytest.raises(Compacted) as refusal:
            next(iter(watch))
        assert refusal.value.compact_revision == now


def test_a_progress_request_is_answered_with_an_empty_batch(etcd: ClusterProcess) -> None:
    with Client(etcd.endpoints, timing=PATIENT) as client, client.watch("quiet") as watch:
        revision = client.put("loud", "v").header.revision
        watch.request_progress()
        batch = next(watch.batches())
        assert (batch.events, batch.revision) == ((), revision)


async def test_an_async_watch_sees_everything_and_ends_when_closed(
    async_client: AsyncClient,
) -> None:
    seen: list[Event] = []
    seen_two = asyncio.Event()

    async def collect(watch: AsyncWatch) -> None:
        async for event in watch:
            seen.append(event)
            if len(seen) == 2:
                seen_two.set()

    async with async_client.watch(prefix("w/")) as watch, asyncio.TaskGroup() as group:
        collector = group.create_task(collect(watch))
        await async_client.put("w/1", "a")
        await async_client.delete("w/1")
        await seen_two.wait()
        watch.close()
        await collector
    assert [(event.kv.key, event.is_delete) for event in seen] == [(b"w/1", False), (b"w/1", True)]


async def test_an_async_lease_lives_as_long_as_its_block(async_client: AsyncClient) -> None:
    async with async_client.lease(2) as lease:
        await async_client.put("here", "me", lease=lease.lease_id)
        await asyncio.sleep(3.5)
        lease.check()
        assert await async_client.get("here") is not None
    assert await async_client.get("here") is None


def test_a_lease_lives_as_long_as_its_block_and_knows_when_it_is_lost(
    etcd: ClusterProcess,
) -> None:
    with Client(etcd.endpoints, timing=PATIENT) as client:
        with client.lease(2) as lease:
            client.put("here", "me", lease=lease.lease_id)
            assert 1 < lease.remaining_s <= 2
            client.revoke(lease.lease_id)
            lease._thread.join(timeout=5)
            with pytest.raises(LeaseNotFound):
                lease.check()
        assert client.get("here") is None


def test_an_endpoint_that_is_not_there_is_unavailable_not_unknown() -> None:
    with (
        Client("127.0.0.1:1", timing=Timing(timeout_s=0.5)) as client,
        pytest.raises(Unavailable, match="failed to connect"),
    ):
        client.put("k", "v")
