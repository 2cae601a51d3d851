"""Pods and nodes in few words."""

from typing import Any

from cluster.kube_api.objects import JsonObject


def node(
    name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", **more: Any
) -> JsonObject:
    """Return a node; `labels`, `taints` and `unschedulable` may be said, too."""
    labels = {"kubernetes.io/hostname": name, **more.pop("labels", {})}
    spec = {key: more.pop(key) for key in ("taints", "unschedulable") if key in more}
    assert not more, more
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods}},
    }


def pod(name: str, *, namespace: str = "default", **spec: Any) -> JsonObject:
    """Return a pod of one container; `cpu`, `memory`, `labels`, `host_port` are for short."""
    requests = {key: spec.pop(key) for key in ("cpu", "memory") if key in spec}
    labels = spec.pop("labels", {})
    container: JsonObject = {"name": "c", "image": "i"}
    if requests:
        container["resources"] = {"requests": requests}
    if "host_port" in spec:
        port = spec.pop("host_port")
        container["ports"] = [{"containerPort": port, "hostPort": port, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, "uid": f"uid-{name}"},
        "spec": {"containers": [container], **spec},
    }
