"""What a pod says of itself. Pure."""

from collections.abc import Mapping
from typing import Any

from cluster.informer.times import unix_of
from cluster.kube_api.objects import JsonObject, integer_at, list_at, member, object_at, string_at

_FINISHED = ("Succeeded", "Failed")


def is_deleting(value: JsonObject) -> bool:
    """Whether somebody asked for this object's end."""
    return bool(string_at(value, "metadata", "deletionTimestamp"))


def phase(pod: JsonObject) -> str:
    """Return its phase; a new pod has none yet, which counts as Pending."""
    return string_at(pod, "status", "phase") or "Pending"


def is_finished(pod: JsonObject) -> bool:
    """Whether its containers have ended for good."""
    return phase(pod) in _FINISHED


def is_active(pod: JsonObject) -> bool:
    """Whether it counts as a replica: neither finished nor on its way out."""
    return not is_finished(pod) and not is_deleting(pod)


def condition(value: Mapping[str, Any], kind: str) -> JsonObject:
    """Return a condition of an object's status, or an empty one."""
    for found in list_at(value, "status", "conditions"):
        if string_at(found, "type") == kind:
            return dict(found)
    return {}


def is_ready(pod: JsonObject) -> bool:
    """Whether it may be sent requests."""
    return string_at(condition(pod, "Ready"), "status") == "True"


def ready_since(pod: JsonObject) -> float:
    """Return since when it is ready, in seconds since 1970; 0 if it is not."""
    return unix_of(string_at(condition(pod, "Ready"), "lastTransitionTime")) * is_ready(pod)


def is_available(pod: JsonObject, *, ready_for_s: int, now: float) -> bool:
    """Whether it has been ready for long enough."""
    return is_ready(pod) and (not ready_for_s or ready_since(pod) + ready_for_s <= now)


def restarts(pod: JsonObject) -> int:
    """Return how often its most restless container was started again."""
    statuses = list_at(pod, "status", "containerStatuses")
    return max((integer_at(status, "restartCount") for status in statuses), default=0)


def from_template(owner: JsonObject, template: JsonObject) -> JsonObject:
    """Return a pod to create: a template's labels, annotations, finalizers and spec, and a name."""
    metadata: JsonObject = {
        name: value
        for name in ("labels", "annotations", "finalizers")
        if (value := member(template, "metadata", name))
    }
    metadata["namespace"] = string_at(owner, "metadata", "namespace")
    metadata["generateName"] = string_at(owner, "metadata", "name") + "-"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": object_at(template, "spec"),
    }
