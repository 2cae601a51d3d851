"""How many pods a budget lets go: numbers, percentages, owners that want more than there are."""

from typing import Any

import pytest

from cluster.controllers.disruption import DisruptionController, Need, need
from cluster.informer.resources import POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS
from cluster.kube_api.objects import JsonObject
from tests.support.kube_world import World, set_pod_status


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 2}, Need(3, 2)),
        ({"minAvailable": "50%"}, Need(5, 3)),
        ({"maxUnavailable": 1}, Need(5, 4)),
        ({"maxUnavailable": "30%"}, Need(5, 3)),
        ({"maxUnavailable": 9}, Need(5, 0)),
    ],
)
def test_a_percentage_is_of_what_owners_want_and_rounds_up(
    spec: dict[str, Any], expected: Need
) -> None:
    assert need({"spec": spec}, pods=3, scale=5) == expected


def budget(**spec: Any) -> JsonObject:
    return {
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }


def test_the_status_follows_pods_owners_and_evictions() -> None:
    with World(lambda environment: [DisruptionController(environment)]) as world:
        owner = world.api.put(
            REPLICA_SETS,
            {"metadata": {"namespace": "default", "name": "web"}, "spec": {"replicas": 3}},
        )
        reference = {
            "kind": "ReplicaSet",
            "name": "web",
            "uid": owner["metadata"]["uid"],
            "controller": True,
        }
        for number in range(3):
            metadata = {
                "namespace": "default",
                "name": f"p{number}",
                "labels": {"app": "web"},
                "ownerReferences": [reference],
            }
            world.api.put(PODS, {"metadata": metadata, "spec": {"nodeName": "n1"}})
        world.api.put(POD_DISRUPTION_BUDGETS, budget(maxUnavailable=1))

        def status() -> JsonObject:
            world.settle()
            return dict(world.api.objects(POD_DISRUPTION_BUDGETS)[0]["status"])

        assert (status()["disruptionsAllowed"], status()["desiredHealthy"]) == (0, 2)
        for pod in world.api.objects(PODS):
            set_pod_status(world, pod, "Running", ready=True)
        found = status()
        assert (found["disruptionsAllowed"], found["currentHealthy"]) == (1, 3)
        assert found["conditions"][0]["reason"] == "SufficientPods"
        assert found["conditions"][0]["status"] == "True"

        live = world.api.objects(POD_DISRUPTION_BUDGETS)[0]
        counted = {"p0": "2023-11-14T22:13:20Z"}
        world.api.put(
            POD_DISRUPTION_BUDGETS, {**live, "status": {**found, "disruptedPods": counted}}
        )
        while world.deliver(0) or world.work(0):
            pass
        found = world.api.objects(POD_DISRUPTION_BUDGETS)[0]["status"]
        assert (found["disruptionsAllowed"], found["currentHealthy"]) == (0, 2)
        world.elapse(121)  # the eviction did not happen after all
        found = status()
        assert (found["disruptionsAllowed"], "disruptedPods" in found) == (1, False)
