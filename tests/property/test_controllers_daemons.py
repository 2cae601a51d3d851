"""StatefulSets and DaemonSets under late watches, failing writes, restarts and dying pods."""

import os
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.controllers import daemon_plan
from cluster.controllers.daemon_set import DaemonSetController
from cluster.controllers.pod_facts import is_active, is_deleting, is_finished, is_ready
from cluster.controllers.stateful_plan import ordinal_of, revision_of
from cluster.controllers.stateful_set import StatefulSetController
from cluster.informer.resources import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    STATEFUL_SETS,
)
from cluster.informer.store import key_of
from cluster.kube_api.objects import JsonObject, string_at
from tests.support.kube_objects import node
from tests.support.kube_world import World, set_pod_status

SCENARIOS = settings(max_examples=300 if os.environ.get("KVSTORE_FULL") else 12, deadline=None)


def make_world() -> World:
    return World(
        lambda environment: [StatefulSetController(environment), DaemonSetController(environment)]
    )


def template(version: str) -> JsonObject:
    containers = [{"name": "c", "image": f"db:{version}"}]
    return {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": containers}}


def stateful_set(replicas: int, policy: str, **spec: Any) -> JsonObject:
    return {
        "metadata": {"namespace": "default", "name": "db"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "podManagementPolicy": policy,
            "selector": {"matchLabels": {"app": "db"}},
            "template": template("1"),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            **spec,
        },
    }


def daemon_set(**rolling: Any) -> JsonObject:
    return {
        "metadata": {"namespace": "default", "name": "db"},
        "spec": {
            "selector": {"matchLabels": {"app": "db"}},
            "template": template("1"),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
        },
    }


def alive(world: World) -> list[JsonObject]:
    return [pod for pod in world.api.objects(PODS) if not is_finished(pod)]


def ready(world: World) -> list[JsonObject]:
    return [pod for pod in alive(world) if is_ready(pod) and not is_deleting(pod)]


def kubelet_step(world: World, choice: int) -> bool:
    """Bind, start or end a pod, as a scheduler and kubelets do; return whether one was there."""
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
        name = daemon_plan.node_name_of(pod) or f"n{choice % 3}"
        world.api.put(PODS, {**pod, "spec": {**pod["spec"], "nodeName": name}})
    else:
        set_pod_status(world, pod, "Running", ready=True)
    return True


def chaos(world: World, dice: random.Random, steps: int, *, kills: bool) -> None:
    world.api.fault = lambda _verb, _resource: dice.choice([""] * 8 + ["refuse", "lose"])
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
            case 10 if kills and (pods := [pod for pod in alive(world) if is_active(pod)]):
                set_pod_status(world, pods[choice % len(pods)], "Failed", ready=False)
            case 11 if choice % 4 == 0:
                world.restart()
            case _:
                pass
        world.check()


def settle(world: World) -> None:
    world.settle(between=lambda: kubelet_step(world, 0))


def change(world: World, resource: Any, **spec: Any) -> None:
    live = world.api.objects(resource)[0]
    world.api.put(resource, {**live, "spec": {**live["spec"], **spec}})


def images(world: World) -> list[str]:
    return [pod["spec"]["containers"][0]["image"] for pod in alive(world)]


@SCENARIOS
@given(
    seed=st.integers(0, 1 << 32),
    policy=st.sampled_from(["OrderedReady", "Parallel"]),
    replicas=st.integers(0, 4),
    then=st.integers(0, 4),
)
def test_a_stateful_set_ends_with_its_numbers_and_its_template(
    seed: int, policy: str, replicas: int, then: int
) -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    with make_world() as world:
        dice = random.Random(seed)
        world.api.put(STATEFUL_SETS, stateful_set(replicas, policy, volumeClaimTemplates=[claim]))
        chaos(world, dice, 120, kills=True)
        change(world, STATEFUL_SETS, replicas=then, template=template("2"))
        chaos(world, dice, 120, kills=True)
        settle(world)
        names = [string_at(pod, "metadata", "name") for pod in ready(world)]
        assert names == [f"db-{number}" for number in range(then)]
        assert images(world) == ["db:2"] * then
        status = world.api.objects(STATEFUL_SETS)[0]["status"]
        assert status["readyReplicas"] == status["updatedReplicas"] == then
        assert status["currentRevision"] == status["updateRevision"]
        claims = set(world.api.collection(PERSISTENT_VOLUME_CLAIMS).objects)
        assert {f"default/data-db-{number}" for number in range(then)} <= claims


@SCENARIOS
@given(seed=st.integers(0, 1 << 32), replicas=st.integers(2, 5))
def test_pods_in_order_are_made_when_all_lower_ones_are_well(seed: int, replicas: int) -> None:
    with make_world() as world:
        world.api.put(STATEFUL_SETS, stateful_set(replicas, "OrderedReady"))

        def in_order() -> None:
            owner = world.api.objects(STATEFUL_SETS)[0]
            present = {ordinal_of(owner, pod) or 0: pod for pod in alive(world)}
            highest = max(present, default=0)
            assert all(is_ready(present[number]) for number in range(highest))

        world.check = in_order
        chaos(world, random.Random(seed), 200, kills=False)
        settle(world)
        assert len(ready(world)) == replicas


@SCENARIOS
@given(
    seed=st.integers(0, 1 << 32),
    policy=st.sampled_from(["OrderedReady", "Parallel"]),
    replicas=st.integers(2, 5),
    partition=st.integers(0, 3),
)
def test_a_rollout_takes_one_pod_at_a_time_and_stops_at_the_partition(
    seed: int, policy: str, replicas: int, partition: int
) -> None:
    with make_world() as world:
        world.api.put(STATEFUL_SETS, stateful_set(replicas, policy))
        settle(world)

        def all_but_one() -> None:
            assert len(ready(world)) >= replicas - 1

        world.check = all_but_one
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}
        change(world, STATEFUL_SETS, template=template("2"), updateStrategy=strategy)
        chaos(world, random.Random(seed), 200, kills=False)
        settle(world)
        updated = max(replicas - partition, 0)
        assert images(world) == ["db:1"] * (replicas - updated) + ["db:2"] * updated
        revisions = {revision_of(pod) for pod in alive(world)}
        kept = {
            string_at(one, "metadata", "name") for one in world.api.objects(CONTROLLER_REVISIONS)
        }
        assert revisions <= kept


@SCENARIOS
@given(
    seed=st.integers(0, 1 << 32),
    limits=st.sampled_from([(0, 1), (0, 2), (1, 0), (2, 0), (0, "50%")]),
)
def test_daemons_run_once_on_every_node_they_are_for(seed: int, limits: tuple[Any, Any]) -> None:
    with make_world() as world:
        dice = random.Random(seed)
        world.api.put(DAEMON_SETS, daemon_set(maxSurge=limits[0], maxUnavailable=limits[1]))
        for number in range(4):
            world.api.put(NODES, node(f"n{number}"))
        chaos(world, dice, 120, kills=True)
        taint = {"key": "out", "effect": "NoExecute"}
        world.api.put(NODES, node("n0", taints=[taint]))
        world.api.put(NODES, node("n4"))
        world.api.put(
            NODES,
            node(
                "n1",
                unschedulable=True,
                taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}],
            ),
        )
        change(world, DAEMON_SETS, template=template("2"))
        chaos(world, dice, 150, kills=True)
        settle(world)
        places = sorted(string_at(pod, "spec", "nodeName") for pod in ready(world))
        assert places == ["n1", "n2", "n3", "n4"]
        assert images(world) == ["db:2"] * 4
        status = world.api.objects(DAEMON_SETS)[0]["status"]
        assert (status["desiredNumberScheduled"], status["numberAvailable"]) == (4, 4)
        assert status["updatedNumberScheduled"] == 4


@SCENARIOS
@given(
    seed=st.integers(0, 1 << 32),
    limits=st.sampled_from([(0, 1), (0, 2), (1, 0), (2, 0)]),
)
def test_a_rollout_of_daemons_keeps_within_surge_and_availability(
    seed: int, limits: tuple[int, int]
) -> None:
    with make_world() as world:
        world.api.put(DAEMON_SETS, daemon_set(maxSurge=limits[0], maxUnavailable=limits[1]))
        for number in range(4):
            world.api.put(NODES, node(f"n{number}"))
        settle(world)
        assert len(ready(world)) == 4

        def within_bounds() -> None:
            groups = daemon_plan.by_node(alive(world))
            assert sum(any(map(is_up, group)) for group in groups.values()) >= 4 - limits[1]
            assert sum(len(group) > 1 for group in groups.values()) <= limits[0]

        def is_up(pod: JsonObject) -> bool:
            return is_ready(pod) and not is_deleting(pod)

        world.check = within_bounds
        change(world, DAEMON_SETS, template=template("2"))
        chaos(world, random.Random(seed), 250, kills=False)
        settle(world)
        assert images(world) == ["db:2"] * 4
