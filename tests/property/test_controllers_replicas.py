"""ReplicaSets and Deployments under late watches, failing writes, restarts and dying pods."""

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.controllers.deployment import DeploymentController
from cluster.controllers.ownership import controller_of, uid_of
from cluster.controllers.pod_facts import is_active, is_deleting, is_ready
from cluster.controllers.replica_set import ReplicaSetController
from cluster.controllers.rollout import REVISION, bounds
from cluster.informer.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from cluster.informer.store import key_of
from cluster.kube_api.objects import JsonObject, integer_at, member, object_at, string_at
from tests.support.kube_world import World, set_pod_status

SCENARIOS = settings(max_examples=500 if os.environ.get("KVSTORE_FULL") else 15, deadline=None)


def make_world() -> World:
    return World(
        lambda environment: [
            ReplicaSetController(environment, REPLICA_SETS),
            DeploymentController(environment),
        ]
    )


@pytest.fixture
def world() -> Iterator[World]:
    with make_world() as made:
        yield made


def replica_set(replicas: int) -> JsonObject:
    return {
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template("1"),
        },
    }


def template(version: str) -> JsonObject:
    containers = [{"name": "c", "image": f"web:{version}"}]
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}


def deployment(replicas: int, version: str, surge: Any, unavailable: Any) -> JsonObject:
    return {
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(version),
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
            },
        },
    }


def active_pods(world: World) -> list[JsonObject]:
    return [pod for pod in world.api.objects(PODS) if is_active(pod)]


def kubelet_step(world: World, choice: int) -> bool:
    """Place a pod, start it, or let one that is asked to end end; return whether one was there."""
    pods = [
        pod
        for pod in world.api.objects(PODS)
        if is_deleting(pod) or (is_active(pod) and not is_ready(pod))
    ]
    if not pods:
        return False
    pod = pods[choice % len(pods)]
    if is_deleting(pod):
        world.api.remove(PODS, key_of(pod))
    elif not string_at(pod, "spec", "nodeName"):
        spec = {**pod["spec"], "nodeName": f"n{choice % 3}"}
        world.api.put(PODS, {**pod, "spec": spec})
    else:
        set_pod_status(world, pod, "Running", ready=True)
    return True


def chaos(world: World, dice: random.Random, steps: int, *, kills: bool) -> None:
    """Let things happen in a drawn order, with faults."""

    def fault(_verb: str, _resource: object) -> str:
        return dice.choice([""] * 8 + ["refuse", "lose"])

    world.api.fault = fault
    for _ in range(steps):
        choice = dice.randrange(1 << 16)
        match dice.randrange(12):
            case 0 | 1 | 2 | 3:
                world.deliver(choice)
            case 4 | 5 | 6:
                world.work(choice)
            case 7 | 8:
                kubelet_step(world, choice)
            case 9:
                world.elapse(choice % 7)
            case 10 if kills and (pods := active_pods(world)):
                set_pod_status(world, pods[choice % len(pods)], "Failed", ready=False)
            case 11 if choice % 4 == 0:
                world.restart()
            case _:
                pass
        world.check()


def settle(world: World) -> None:
    world.settle(between=lambda: kubelet_step(world, 0))


def assert_rests_at(world: World, replicas: int) -> None:
    pods = active_pods(world)
    assert len(pods) == replicas
    assert all(map(is_ready, pods))


@SCENARIOS
@given(seed=st.integers(0, 1 << 32), replicas=st.integers(0, 6), then=st.integers(0, 6))
def test_a_replica_set_ends_with_the_wanted_pods_and_never_had_more(
    seed: int, replicas: int, then: int
) -> None:
    with make_world() as world:
        dice = random.Random(seed)
        world.api.put(REPLICA_SETS, replica_set(replicas))

        def never_more() -> None:
            # What was lost in an answer is waited for: it is not asked for a second time.
            assert len(active_pods(world)) <= max(replicas, then)

        world.check = never_more
        chaos(world, dice, 120, kills=True)
        owner = world.api.objects(REPLICA_SETS)[0]
        world.api.put(REPLICA_SETS, {**owner, "spec": {**owner["spec"], "replicas": then}})
        chaos(world, dice, 60, kills=True)
        settle(world)
        assert_rests_at(world, then)
        status = world.api.objects(REPLICA_SETS)[0]["status"]
        assert status["replicas"] == then
        assert status.get("readyReplicas", 0) == then
        assert status["observedGeneration"] == integer_at(
            world.api.objects(REPLICA_SETS)[0], "metadata", "generation"
        )


@SCENARIOS
@given(
    seed=st.integers(0, 1 << 32),
    replicas=st.integers(1, 6),
    limits=st.sampled_from([(1, 0), (0, 1), (2, 1), ("25%", "25%"), ("100%", 0), (0, 0)]),
)
def test_a_rollout_keeps_within_surge_and_availability(
    seed: int, replicas: int, limits: tuple[Any, Any]
) -> None:
    with make_world() as world:
        dice = random.Random(seed)
        world.api.put(DEPLOYMENTS, deployment(replicas, "1", *limits))
        settle(world)
        assert_rests_at(world, replicas)
        allowed = bounds(world.api.objects(DEPLOYMENTS)[0])

        def within_bounds() -> None:
            pods = active_pods(world)
            assert len(pods) <= replicas + allowed.surge
            assert sum(map(is_ready, pods)) >= replicas - allowed.unavailable

        world.check = within_bounds
        for version in ("2", "3"):
            live = world.api.objects(DEPLOYMENTS)[0]
            world.api.put(
                DEPLOYMENTS, {**live, "spec": {**live["spec"], "template": template(version)}}
            )
            chaos(world, dice, 150, kills=False)
        settle(world)
        assert_rests_at(world, replicas)
        images = {member(pod, "spec", "containers")[0]["image"] for pod in active_pods(world)}
        assert images == {"web:3"}
        live = world.api.objects(DEPLOYMENTS)[0]
        assert live["status"]["updatedReplicas"] == live["status"]["availableReplicas"] == replicas
        assert string_at(object_at(live, "metadata", "annotations"), REVISION)


def test_pods_of_others_are_left_alone(world: World) -> None:
    foreign = {"uid": "other", "kind": "ReplicaSet", "name": "x", "controller": True}
    labels = {"app": "web"}
    pod = {"metadata": {"namespace": "default", "name": "theirs", "labels": labels}, "spec": {}}
    pod["metadata"]["ownerReferences"] = [foreign]  # type: ignore[index]
    world.api.put(PODS, pod)
    world.api.put(REPLICA_SETS, replica_set(2))
    settle(world)
    names = [string_at(pod, "metadata", "name") for pod in world.api.objects(PODS)]
    assert "theirs" in names
    assert len(names) == 3


def test_an_orphan_that_fits_is_adopted_and_one_that_stops_fitting_is_released(
    world: World,
) -> None:
    orphan = {"metadata": {"namespace": "default", "name": "orphan", "labels": {"app": "web"}}}
    world.api.put(PODS, {**orphan, "spec": {"containers": []}})
    owner = world.api.put(REPLICA_SETS, replica_set(2))
    settle(world)
    adopted = world.api.collection(PODS).objects["default/orphan"]
    assert (controller_of(adopted) or {})["uid"] == uid_of(owner)
    assert_rests_at(world, 2)
    metadata = {**adopted["metadata"], "labels": {"app": "debug"}}
    world.api.put(
        PODS, {**world.api.collection(PODS).objects["default/orphan"], "metadata": metadata}
    )
    settle(world)
    assert controller_of(world.api.collection(PODS).objects["default/orphan"]) is None
    assert len(active_pods(world)) == 3
