"""Endpoints and EndpointSlices say what stands behind a Service, whatever happened on the way."""

import os
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.controllers.endpoint_slices import EndpointSliceController
from cluster.controllers.endpoints import EndpointsController
from cluster.controllers.pod_facts import is_ready
from cluster.informer.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from cluster.kube_api.objects import JsonObject, list_at, string_at
from tests.support.kube_world import World, set_pod_status

SCENARIOS = settings(max_examples=300 if os.environ.get("KVSTORE_FULL") else 15, deadline=None)
SERVICE: JsonObject = {
    "metadata": {"namespace": "default", "name": "web", "labels": {"team": "a"}},
    "spec": {
        "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}],
    },
}


def make_world() -> World:
    return World(
        lambda environment: [EndpointsController(environment), EndpointSliceController(environment)]
    )


def pod(number: int, port: int, app: str) -> JsonObject:
    ports = [{"name": "web", "containerPort": port}]
    return {
        "metadata": {"namespace": "default", "name": f"p{number}", "labels": {"app": app}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": ports}]},
        "status": {"podIP": f"10.0.{number // 250}.{number % 250}"},
    }


def happen(world: World, dice: random.Random, count: int) -> None:
    def fault(_verb: str, _resource: object) -> str:
        return dice.choice([""] * 8 + ["refuse", "lose"])

    world.api.fault = fault
    for _ in range(count):
        choice = dice.randrange(1 << 16)
        match dice.randrange(10):
            case 0:
                app = dice.choice(["web", "web", "other"])
                world.api.put(PODS, pod(choice % 8, dice.choice([8080, 9090]), app))
            case 1 if pods := world.api.objects(PODS):
                set_pod_status(world, pods[choice % len(pods)], "Running", ready=bool(choice & 256))
            case 2 if pods := world.api.objects(PODS):
                name = string_at(pods[choice % len(pods)], "metadata", "name")
                world.api.remove(PODS, f"default/{name}")
            case 3 if choice % 8 == 0:
                world.restart()
            case 4 | 5 | 6:
                world.deliver(choice)
            case _:
                world.work(choice)


def published(slices: list[JsonObject]) -> list[tuple[str, int, bool]]:
    return sorted(
        (endpoint["addresses"][0], port["port"], endpoint["conditions"]["ready"])
        for one in slices
        for endpoint in list_at(one, "endpoints")
        for port in list_at(one, "ports")
    )


def in_subsets(value: JsonObject) -> list[tuple[str, int, bool]]:
    return sorted(
        (address["ip"], port["port"], is_serving)
        for subset in list_at(value, "subsets")
        for name, is_serving in (("addresses", True), ("notReadyAddresses", False))
        for address in list_at(subset, name)
        for port in list_at(subset, "ports")
    )


@SCENARIOS
@given(seed=st.integers(0, 1 << 32))
def test_both_forms_end_equal_to_the_pods_that_a_service_selects(seed: int) -> None:
    with make_world() as world:
        dice = random.Random(seed)
        world.api.put(SERVICES, SERVICE)
        happen(world, dice, 150)
        world.settle()
        expected = sorted(
            (
                string_at(one, "status", "podIP"),
                one["spec"]["containers"][0]["ports"][0]["containerPort"],
                is_ready(one),
            )
            for one in world.api.objects(PODS)
            if one["metadata"]["labels"]["app"] == "web"
        )
        assert published(world.api.objects(ENDPOINT_SLICES)) == expected
        assert in_subsets(world.api.objects(ENDPOINTS)[0]) == expected
        world.api.remove(SERVICES, "default/web")
        world.settle()
        assert not world.api.objects(ENDPOINT_SLICES)
        assert not world.api.objects(ENDPOINTS)


def test_a_slice_holds_a_hundred_and_a_change_touches_one_slice() -> None:
    with make_world() as world:
        for number in range(230):
            world.api.put(PODS, pod(number, 80, "web"))
        world.api.put(SERVICES, SERVICE)
        world.settle()
        sizes = sorted(len(list_at(one, "endpoints")) for one in world.api.objects(ENDPOINT_SLICES))
        assert sizes == [30, 100, 100]
        world.api.writes.clear()
        world.api.remove(PODS, "default/p3")
        world.settle()
        touched = [write for write in world.api.writes if write[1] == "endpointslices"]
        assert len(touched) == 1


def test_a_service_without_pods_says_so_in_one_empty_slice() -> None:
    with make_world() as world:
        world.api.put(SERVICES, SERVICE)
        world.settle()
        slices: list[Any] = world.api.objects(ENDPOINT_SLICES)
        assert [list_at(one, "endpoints") for one in slices] == [[]]
        assert slices[0]["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
