"""Several API servers over one store, and what the store has forgotten."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvstore.client import Client
from tests.support.cluster_process import KVSTORED, ClusterProcess
from tests.support.kube_process import KubeClient, api_server

pytestmark = pytest.mark.slow

WIDGETS = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }
        ],
    },
}
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def endpoints() -> Iterator[str]:
    with ClusterProcess(KVSTORED, 1) as store:
        yield store.members[0].endpoint


@pytest.fixture(scope="module")
def servers(
    endpoints: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[KubeClient, KubeClient]]:
    logs: Path = tmp_path_factory.mktemp("side-by-side")
    with api_server(endpoints, logs / "1.log") as one, api_server(endpoints, logs / "2.log") as two:
        yield KubeClient(one), KubeClient(two)


def test_a_list_on_one_server_has_what_was_just_written_on_the_other(
    servers: tuple[KubeClient, KubeClient],
) -> None:
    one, two = servers
    for number in range(20):
        made = one.create(MAPS, {"metadata": {"name": f"m{number}"}})
        listed = two.get(MAPS)
        assert made["metadata"]["name"] in {item["metadata"]["name"] for item in listed["items"]}


def test_writers_on_two_servers_never_overwrite_each_other(
    servers: tuple[KubeClient, KubeClient],
) -> None:
    made = servers[0].create(MAPS, {"metadata": {"name": "shared"}, "data": {}})
    answers = [
        server.request("PUT", f"{MAPS}/shared", made | {"data": {"by": str(number)}}).code
        for number, server in enumerate(servers)
    ]
    assert answers == [200, 409]


def test_a_custom_resource_is_served_by_both_within_a_second_or_so(
    servers: tuple[KubeClient, KubeClient],
) -> None:
    one, two = servers
    one.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGETS)
    path = "/apis/example.com/v1/namespaces/default/widgets"
    for server in (one, two):
        deadline = time.monotonic() + 30
        while server.request("GET", path).code != 200:
            assert time.monotonic() < deadline, "the definition was never served"
    one.create(path, {"metadata": {"name": "w"}})
    assert two.get(f"{path}/w")["kind"] == "Widget"


def test_a_custom_object_is_stored_in_one_version_and_served_in_each(
    servers: tuple[KubeClient, KubeClient], endpoints: str
) -> None:
    one, _ = servers
    definition = json.loads(
        json.dumps(WIDGETS).replace("widget", "gauge").replace("Widget", "Gauge")
    )
    newer = definition["spec"]["versions"][0]
    definition["spec"]["versions"].append(newer | {"name": "v1beta1", "storage": False})
    one.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    paths = [f"/apis/example.com/{v}/namespaces/default/gauges" for v in ("v1", "v1beta1")]
    deadline = time.monotonic() + 30
    while one.request("GET", paths[1]).code != 200:
        assert time.monotonic() < deadline, "the definition was never served"
    made = one.create(paths[1], {"metadata": {"name": "g"}})
    assert made["apiVersion"] == "example.com/v1beta1"
    assert one.get(f"{paths[0]}/g")["apiVersion"] == "example.com/v1"
    with Client(endpoints) as client:
        stored = client.get("/registry/example.com/gauges/default/g")
    assert stored is not None
    assert json.loads(stored.value)["apiVersion"] == "example.com/v1"


def test_what_was_compacted_away_is_said_to_have_expired(
    servers: tuple[KubeClient, KubeClient], endpoints: str, tmp_path: Path
) -> None:
    one, _ = servers
    one.create(MAPS, {"metadata": {"name": "old"}})
    page = one.get(MAPS, limit="2")
    for number in range(3):
        one.patch(f"{MAPS}/old", {"data": {"x": str(number)}})
    old = page["metadata"]["resourceVersion"]
    with Client(endpoints) as client:
        client.compact(int(one.get(f"{MAPS}/old")["metadata"]["resourceVersion"]))
    expired = one.request("GET", MAPS, **{"limit": "2", "continue": page["metadata"]["continue"]})
    assert expired.code == 410
    assert expired.json["reason"] == "Expired"
    rest = one.get(MAPS, **{"continue": expired.json["metadata"]["continue"]})
    assert {item["metadata"]["name"] for item in page["items"] + rest["items"]} >= {"old", "m0"}
    exact = one.request("GET", MAPS, resourceVersion=old, resourceVersionMatch="Exact")
    assert exact.json["message"] == "The resourceVersion for the provided list is too old."
    # A server that has just started has only what came since in its window.
    with (
        api_server(endpoints, tmp_path / "new.log") as url,
        KubeClient(url).watch(MAPS, resourceVersion=old) as events,
    ):
        error = next(events)
        assert next(events, None) is None
    assert error["type"] == "ERROR"
    assert (error["object"]["code"], error["object"]["reason"]) == (410, "Expired")
    assert error["object"]["message"].startswith(f"too old resource version: {old} (")


def test_a_new_server_feeds_a_watch_from_the_stores_history(
    servers: tuple[KubeClient, KubeClient], endpoints: str, tmp_path: Path
) -> None:
    one, _ = servers
    start = one.create(MAPS, {"metadata": {"name": "past"}})["metadata"]["resourceVersion"]
    for number in range(3):
        one.patch(f"{MAPS}/past", {"data": {"x": str(number)}})
    with (
        api_server(endpoints, tmp_path / "new.log") as url,
        KubeClient(url).watch(
            MAPS, resourceVersion=start, fieldSelector="metadata.name=past"
        ) as events,
    ):
        seen = [next(events)["object"]["data"]["x"] for _ in range(3)]
        one.patch(f"{MAPS}/past", {"data": {"x": "live"}})
        seen.append(next(events)["object"]["data"]["x"])
    assert seen == ["0", "1", "2", "live"]
