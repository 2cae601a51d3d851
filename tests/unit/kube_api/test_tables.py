"""The rows of `kubectl get`."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.kube_api.catalogue import BUILT_IN, BY_PLURAL
from cluster.kube_api.tables import custom_printer, printer_of, table
from cluster.kube_api.tables.cells import duration_text
from cluster.kube_api.tables.json_path import PathSyntaxError, found_at, parse_path

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
HOUR_AGO = "2026-11-25T11:00:00Z"


def cells(plural: str, obj: dict[str, Any], group: str = "", version: str = "v1") -> list[Any]:
    printer = printer_of(BY_PLURAL[group, version, plural])
    named = {"metadata": {"name": "x", "creationTimestamp": HOUR_AGO} | obj.pop("metadata", {})}
    found: list[Any] = table(printer, [named | obj], NOW)["rows"][0]["cells"]
    return found


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600, "8h"),
        (48 * 3600, "2d"),
        (50 * 3600, "2d2h"),
        (8 * 86400, "8d"),
        (2 * 365 * 86400 + 86400, "2y1d"),
        (8 * 365 * 86400, "8y"),
    ],
)
def test_a_duration_is_told_in_the_units_that_matter(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text


def container(**state: Any) -> dict[str, Any]:
    return {"name": "c", "restartCount": 0, "state": state}


RUNNING = container(running={}) | {"ready": True}
COMPLETED = container(terminated={"exitCode": 0, "reason": "Completed"})


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"phase": "Pending"}, ["0/1", "Pending", "0"]),
        (
            {"phase": "Running", "containerStatuses": [RUNNING]},
            ["1/1", "Running", "0"],
        ),
        (
            {"containerStatuses": [container(waiting={"reason": "CrashLoopBackOff"})]},
            ["0/1", "CrashLoopBackOff", "0"],
        ),
        (
            {"containerStatuses": [container(terminated={"exitCode": 3})]},
            ["0/1", "ExitCode:3", "0"],
        ),
        ({"containerStatuses": [container(terminated={"signal": 9})]}, ["0/1", "Signal:9", "0"]),
        ({"containerStatuses": [RUNNING, COMPLETED]}, ["1/1", "NotReady", "0"]),
        ({"reason": "Evicted", "phase": "Failed"}, ["0/1", "Evicted", "0"]),
        (
            {"conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
            ["0/1", "SchedulingGated", "0"],
        ),
        (
            {"initContainerStatuses": [container(running={})]},
            ["0/1", "Init:0/2", "0"],
        ),
        (
            {"initContainerStatuses": [container(terminated={"exitCode": 1, "reason": "Error"})]},
            ["0/1", "Init:Error", "0"],
        ),
        (
            {
                "containerStatuses": [
                    RUNNING
                    | {"restartCount": 2, "lastState": {"terminated": {"finishedAt": HOUR_AGO}}}
                ],
                "phase": "Running",
            },
            ["1/1", "Running", "2 (60m ago)"],
        ),
    ],
)
def test_the_status_of_a_pod_is_told_by_its_containers(
    status: dict[str, Any], shown: list[str]
) -> None:
    is_starting = "initContainerStatuses" in status
    spec = {"containers": [{}], "initContainers": [{"name": "c"}, {}] if is_starting else []}
    assert cells("pods", {"spec": spec, "status": status}) == [
        "x", *shown, "60m", "<none>", "<none>", "<none>", "<none>",
    ]  # fmt: skip


def test_a_deleted_pod_is_terminating_until_it_has_finished() -> None:
    deleted = {"deletionTimestamp": HOUR_AGO}
    assert cells("pods", {"metadata": deleted, "status": {"phase": "Running"}})[2] == "Terminating"
    assert cells("pods", {"metadata": deleted, "status": {"phase": "Failed"}})[2] == "Failed"


def test_the_row_of_a_finished_pod_is_marked() -> None:
    printer = printer_of(BY_PLURAL["", "v1", "pods"])
    row = table(printer, [{"metadata": {}, "status": {"phase": "Succeeded"}}], NOW)["rows"][0]
    assert row["conditions"][0]["reason"] == "Succeeded"


def test_nodes_services_and_deployments() -> None:
    node = {
        "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "db"}},
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert cells("nodes", node)[:4] == ["x", "Ready,SchedulingDisabled", "db,worker", "60m"]
    service = {
        "spec": {
            "type": "NodePort",
            "clusterIPs": ["10.0.0.1"],
            "ports": [{"port": 80, "nodePort": 31234, "protocol": "TCP"}],
            "selector": {"app": "web"},
        }
    }
    assert cells("services", service) == [
        "x", "NodePort", "10.0.0.1", "<none>", "80:31234/TCP", "60m", "app=web",
    ]  # fmt: skip
    deployment = {
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
        "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2},
    }
    assert cells("deployments", deployment, "apps") == [
        "x", "2/3", 3, 2, "60m", "c", "i", "app=web",
    ]  # fmt: skip


def test_every_kind_prints_an_empty_object_with_a_cell_for_every_column() -> None:
    for resource in BUILT_IN:
        found = table(printer_of(resource), [{"metadata": {"name": "x"}}], NOW)
        assert len(found["rows"][0]["cells"]) == len(found["columnDefinitions"]), resource.kind


def test_only_the_first_table_of_a_watch_has_columns_and_objects_are_as_asked() -> None:
    printer = printer_of(BY_PLURAL["", "v1", "configmaps"])
    obj = {"metadata": {"name": "x"}, "data": {"a": "b"}}
    later = table(printer, [obj], NOW, include="None", with_columns=False)
    assert later["columnDefinitions"] is None
    assert "object" not in later["rows"][0]
    assert table(printer, [obj], NOW)["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert table(printer, [obj], NOW, include="Object")["rows"][0]["object"] == obj


def test_the_columns_of_a_custom_kind_are_found_by_paths() -> None:
    printer = custom_printer(
        [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {
                "name": "Ready",
                "type": "string",
                "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
                "priority": 1,
            },
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ]
    )
    obj = {
        "metadata": {"name": "w", "creationTimestamp": HOUR_AGO},
        "spec": {"size": 3},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    found = table(printer, [obj, {"metadata": {"name": "v"}}], NOW)
    assert [row["cells"] for row in found["rows"]] == [
        ["w", 3, "True", HOUR_AGO],
        ["v", None, None, None],
    ]
    assert [one["priority"] for one in found["columnDefinitions"]] == [0, 0, 1, 0]


def test_paths_know_indexes_all_quotes_and_escapes() -> None:
    value = {"a": [{"b.c": 1}, {"b.c": 2}], "d": {"e": 3}}
    assert found_at(value, parse_path(".a[*].b\\.c")) == [1, 2]
    assert found_at(value, parse_path("{.a[-1]['b.c']}")) == [2]
    assert found_at(value, parse_path("d.*")) == [3]
    with pytest.raises(PathSyntaxError):
        parse_path(".a[?(@.b)")
