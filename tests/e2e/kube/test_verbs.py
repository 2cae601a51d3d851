"""The verbs on objects, over our store and over a real etcd."""

import itertools
from typing import Any

import pytest

from tests.support.kube_process import KubeClient

pytestmark = pytest.mark.slow


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"made": "here"}}, "data": data}


def maps(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def test_what_is_created_is_read_listed_and_gone_after_its_deletion(
    kube_on_both: KubeClient, namespace_on_both: str
) -> None:
    kube, path = kube_on_both, maps(namespace_on_both)
    made = kube.create(path, config_map("a", x="1"))
    assert made["kind"] == "ConfigMap"
    assert made["metadata"]["uid"]
    assert kube.get(f"{path}/a") == made
    listed = kube.get(path)
    assert listed["kind"] == "ConfigMapList"
    assert listed["items"] == [{k: v for k, v in made.items() if k not in ("kind", "apiVersion")}]
    deleted = kube.request("DELETE", f"{path}/a").json
    assert deleted["status"] == "Success"
    assert deleted["details"] == {
        "name": "a",
        "kind": "configmaps",
        "uid": made["metadata"]["uid"],
    }
    missing = kube.request("GET", f"{path}/a")
    assert missing.code == 404
    assert missing.json["message"] == 'configmaps "a" not found'


def test_an_update_of_an_older_version_is_a_conflict(
    kube_on_both: KubeClient, namespace_on_both: str
) -> None:
    kube, path = kube_on_both, maps(namespace_on_both)
    first = kube.create(path, config_map("a", x="1"))
    second = kube.request("PUT", f"{path}/a", first | {"data": {"x": "2"}}).json
    assert second["data"] == {"x": "2"}
    refused = kube.request("PUT", f"{path}/a", first | {"data": {"x": "3"}})
    assert refused.code == 409
    assert refused.json["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please'
        " apply your changes to the latest version and try again"
    )


def test_a_write_that_changes_nothing_makes_no_new_version(
    kube_on_both: KubeClient, namespace_on_both: str
) -> None:
    kube, path = kube_on_both, maps(namespace_on_both)
    made = kube.create(path, config_map("a", x="1"))
    same = kube.patch(f"{path}/a", {"data": {"x": "1"}})
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_watch_from_a_list_sees_every_later_change_once_and_in_order(
    kube_on_both: KubeClient, namespace_on_both: str
) -> None:
    kube, path = kube_on_both, maps(namespace_on_both)
    kube.create(path, config_map("a", x="0"))
    start = kube.get(path)["metadata"]["resourceVersion"]
    for number in range(1, 4):
        kube.patch(f"{path}/a", {"data": {"x": str(number)}})
    with kube.watch(path, resourceVersion=start) as events:
        past = list(itertools.islice(events, 3))
        kube.request("DELETE", f"{path}/a")
        last = next(events)
    assert [event["object"]["data"]["x"] for event in past] == ["1", "2", "3"]
    assert {event["type"] for event in past} == {"MODIFIED"}
    assert last["type"] == "DELETED"
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in [*past, last]]
    assert versions == sorted(set(versions))


def test_a_watch_sees_an_object_come_and_go_as_its_labels_change(
    kube: KubeClient, namespace: str
) -> None:
    path = maps(namespace)
    kube.create(path, config_map("a"))
    start = kube.get(path)["metadata"]["resourceVersion"]
    with kube.watch(path, resourceVersion=start, labelSelector="wanted=yes") as events:
        kube.patch(f"{path}/a", {"metadata": {"labels": {"wanted": "yes"}}})
        kube.patch(f"{path}/a", {"data": {"x": "1"}})
        kube.patch(f"{path}/a", {"metadata": {"labels": {"wanted": "no"}}})
        seen = [(e["type"], e["object"].get("data")) for e in itertools.islice(events, 3)]
    assert seen == [("ADDED", None), ("MODIFIED", {"x": "1"}), ("DELETED", {"x": "1"})]


def test_pages_of_a_list_are_of_one_moment(
    kube_on_both: KubeClient, namespace_on_both: str
) -> None:
    kube, path = kube_on_both, maps(namespace_on_both)
    for name in "abcde":
        kube.create(path, config_map(name))
    page = kube.get(path, limit="2")
    assert page["metadata"]["remainingItemCount"] == 3
    kube.request("DELETE", f"{path}/d")
    names = [item["metadata"]["name"] for item in page["items"]]
    while token := page["metadata"].get("continue"):
        page = kube.get(path, **{"limit": "2", "continue": token})
        names += [item["metadata"]["name"] for item in page["items"]]
    assert names == list("abcde")


def test_a_streaming_list_ends_with_a_bookmark_and_goes_on(
    kube: KubeClient, namespace: str
) -> None:
    path = maps(namespace)
    kube.create(path, config_map("a"))
    with kube.watch(
        path,
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        allowWatchBookmarks="true",
    ) as events:
        added, mark = next(events), next(events)
        kube.create(path, config_map("b"))
        later = next(events)
    assert (added["type"], added["object"]["metadata"]["name"]) == ("ADDED", "a")
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert later["object"]["metadata"]["name"] == "b"


def test_a_table_names_its_columns_and_holds_metadata(kube: KubeClient, namespace: str) -> None:
    path = maps(namespace)
    kube.create(path, config_map("a", x="1"))
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    shown = kube.request("GET", path, headers=accept).json
    assert [column["name"] for column in shown["columnDefinitions"]] == ["Name", "Data", "Age"]
    (row,) = shown["rows"]
    assert row["cells"][:2] == ["a", 1]
    assert row["object"]["metadata"]["name"] == "a"


def test_nothing_is_created_where_there_is_no_namespace(kube: KubeClient) -> None:
    refused = kube.request("POST", maps("nowhere"), config_map("a"))
    assert refused.code == 404
    assert refused.json["message"] == 'namespaces "nowhere" not found'


def test_an_object_with_a_finalizer_is_marked_and_goes_with_the_finalizer(
    kube: KubeClient, namespace: str
) -> None:
    path = maps(namespace)
    made = config_map("a")
    made["metadata"]["finalizers"] = ["example.com/hold"]
    kube.create(path, made)
    marked = kube.request("DELETE", f"{path}/a").json
    assert marked["metadata"]["deletionTimestamp"]
    assert kube.get(f"{path}/a")["metadata"]["deletionGracePeriodSeconds"] == 0
    kube.patch(f"{path}/a", {"metadata": {"finalizers": None}})
    assert kube.request("GET", f"{path}/a").code == 404
