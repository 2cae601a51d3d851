"""docs/architecture-of-a-cluster.md beside what happens: its trace, and its controller."""

import subprocess
import sys
from typing import Any

from kubernetes import watch
from kubernetes.client.exceptions import ApiException

from tests.support.kube_nodes import NAMESPACE, NodesCluster, until
from tests.support.readme import ROOT, blocks

PAGE = ROOT / "docs" / "architecture-of-a-cluster.md"
TRACE = next(one.text for one in blocks(PAGE) if one.language == "text")
CONTROLLER = next(one.text for one in blocks(PAGE) if one.language == "python")
NAME = "traced"
DEPLOYMENT: dict[str, Any] = {
    "metadata": {"name": NAME, "labels": {"app": NAME}},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": NAME}},
        "template": {
            "metadata": {"labels": {"app": NAME}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "pause", "image": "pause"}],
            },
        },
    },
}


def the_page_tells_what_happens(cluster: NodesCluster) -> None:
    """Create a Deployment, and compare the page's trace with the store's history."""
    cluster.apps.create_namespaced_deployment(NAMESPACE, DEPLOYMENT, field_manager="user")
    until("it is available", lambda: _available(cluster) == 1)
    assert _trace(cluster) == TRACE.splitlines()
    cluster.apps.delete_namespaced_deployment(NAME, NAMESPACE)
    cluster.until_ready(NAME, 0)


def _available(cluster: NodesCluster) -> int:
    status = cluster.apps.read_namespaced_deployment(NAME, NAMESPACE).status
    return int((status.available_replicas if status else 0) or 0)


def _history(listing: Any) -> list[Any]:
    """Return every version of objects that the store remembers, oldest first."""
    events = watch.Watch().stream(
        listing, NAMESPACE, resource_version="1", timeout_seconds=5, label_selector=f"app={NAME}"
    )
    return [(event["type"], event["object"]) for event in events]


def _trace(cluster: NodesCluster) -> list[str]:
    """Return the page's lines, made from the history of the three kinds, in the store's order."""
    steps: dict[int, str] = {}
    for what, listing in (
        ("Deployment", cluster.apps.list_namespaced_deployment),
        ("ReplicaSet", cluster.apps.list_namespaced_replica_set),
        ("Pod", cluster.core.list_namespaced_pod),
    ):
        said: set[str] = set()
        for kind, value in _history(listing):
            line = _line(what, kind, value)
            if line and line not in said:
                said.add(line)
                steps[int(value.metadata.resource_version)] = line
    return [steps[revision] for revision in sorted(steps)]


def _line(what: str, kind: str, value: Any) -> str:
    """Say what a version adds to the way; empty, if nothing."""
    name = {"Deployment": "web", "ReplicaSet": "web-HASH", "Pod": "web-HASH-ID"}[what]
    if kind == "ADDED":
        who = value.metadata.managed_fields[0].manager.removeprefix("kube-")
        return f"{who:<25}create  {what} {name}"
    status, news = value.status, ""
    if status is None:
        return ""
    if what == "Pod" and status.phase == "Running":
        news = "Running"
    elif what == "Pod" and value.spec.node_name and not status.start_time:
        return f"{'scheduler':<25}bind    {what} {name}"
    elif what == "ReplicaSet" and status.ready_replicas:
        news = f"{status.ready_replicas} ready"
    elif what == "Deployment" and status.available_replicas:
        news = f"{status.available_replicas} available"
    return f"{_writer(value):<25}status  {what} {name}: {news}" if news else ""


def _writer(value: Any) -> str:
    """Return who wrote the status."""
    fields = value.metadata.managed_fields
    managers = [one.manager for one in fields if one.subresource == "status"]
    return str(managers[-1]).removeprefix("kube-")


def the_pages_controller_counts(cluster: NodesCluster) -> None:
    """Run it, and see it count pods of a namespace that has none yet."""
    process = subprocess.Popen([sys.executable, "-c", CONTROLLER, str(cluster.kubeconfig)])
    try:
        until("it has counted", lambda: _count(cluster) == "0")
        pod = {
            "metadata": {"name": "one"},
            "spec": {"containers": [{"name": "c", "image": "pause"}]},
        }
        cluster.core.create_namespaced_pod(NAMESPACE, pod)
        until("it has counted again", lambda: _count(cluster) == "1")
        cluster.core.delete_namespaced_pod("one", NAMESPACE, grace_period_seconds=1)
        until("it has counted once more", lambda: _count(cluster) == "0")
    finally:
        process.terminate()
        process.wait()


def _count(cluster: NodesCluster) -> str:
    try:
        return str(cluster.core.read_namespaced_config_map("pods", NAMESPACE).data["count"])
    except ApiException:
        return ""
