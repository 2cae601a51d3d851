"""A lease counts by the looker's own clock, and never has two holders."""

import asyncio

import pytest

from cluster.informer.leader_election import (
    Candidate,
    Election,
    ElectionTimes,
    LeadershipLost,
    lead,
)
from cluster.informer.resources import LEASES
from cluster.kube_api.objects import string_at
from tests.support.kube_api_twin import ApiTwin, SettableClock

TIMES = ElectionTimes(lease_s=15, renew_within_s=10, retry_s=2)


def test_a_lease_that_nobody_holds_is_taken() -> None:
    spec = Election("me", TIMES).next_spec(now=0, unix=0)
    assert spec is not None
    assert spec["holderIdentity"] == "me"
    assert spec["leaseTransitions"] == 0


def test_a_lease_of_another_is_left_alone_until_it_was_not_renewed_for_its_duration() -> None:
    me, other = Election("me", TIMES), Election("other", TIMES)
    held = other.next_spec(now=0, unix=0)
    assert held is not None
    me.observe(held, now=100)
    assert me.next_spec(now=114.9, unix=1e9) is None
    taken = me.next_spec(now=115, unix=1e9)
    assert taken is not None
    assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("me", 1)


def test_a_renewal_restarts_the_wait_whatever_instants_it_names() -> None:
    me, other = Election("me", TIMES), Election("other", TIMES)
    held = other.next_spec(now=0, unix=0)
    assert held is not None
    me.observe(held, now=100)
    other.observe(held, now=0)
    renewed = other.next_spec(now=5, unix=5)
    assert renewed is not None
    me.observe(renewed, now=110)
    assert me.next_spec(now=124, unix=1e9) is None


async def test_a_leader_works_and_gives_the_lease_back() -> None:
    clock = SettableClock()
    candidate = Candidate(ApiTwin(clock), clock, "me", "controller", times=TIMES)
    holders = []

    async def work() -> None:
        lease = await candidate.api.get(candidate.ref)
        holders.append(string_at(lease, "spec", "holderIdentity"))

    await lead(candidate, work)
    assert holders == ["me"]
    lease = await candidate.api.get(candidate.ref)
    assert string_at(lease, "spec", "holderIdentity") == ""


async def test_a_leader_that_cannot_renew_stops_working() -> None:
    clock = SettableClock()
    api = ApiTwin(clock)
    times = ElectionTimes(lease_s=0.3, renew_within_s=0.02, retry_s=0.01)
    candidate = Candidate(api, clock, "me", "controller", times=times)
    cancelled = asyncio.Event()

    async def work() -> None:
        api.fault = lambda _verb, _resource: "refuse"
        try:
            while True:
                clock.now += 0.01
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(LeadershipLost):
        await lead(candidate, work)
    assert cancelled.is_set()
    assert api.objects(LEASES)
