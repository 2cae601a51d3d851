"""The scale of a workload: one number of it, under a URL of its own."""

from cluster.apiserver.registry.call import Call
from cluster.kube_api import field_errors
from cluster.kube_api.crd import CustomResource
from cluster.kube_api.crd.definition import ScalePaths
from cluster.kube_api.errors import invalid
from cluster.kube_api.objects import JsonObject, integer_at, member, object_at, with_member
from cluster.kube_api.resource import Resource
from cluster.kube_api.selectors import equality_selector, label_selector

_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(resource: Resource, obj: JsonObject) -> JsonObject:
    """Return the Scale of an object."""
    metadata = obj["metadata"]
    paths = paths_of(resource)
    status: JsonObject = {"replicas": integer_at(obj, *paths.status_replicas)}
    if text := _selector(resource, paths, obj):
        status["selector"] = text
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in _KEPT if name in metadata},
        "spec": {"replicas": integer_at(obj, *paths.spec_replicas)},
        "status": status,
    }


def paths_of(resource: Resource) -> ScalePaths:
    """Return where the resource's objects keep what a Scale shows."""
    if isinstance(resource, CustomResource):
        assert resource.scale is not None, "only what has a scale is asked for it"
        return resource.scale
    return _BUILT_IN


_BUILT_IN = ScalePaths(("spec", "replicas"), ("status", "replicas"), ("spec", "selector"))


def _selector(resource: Resource, paths: ScalePaths, obj: JsonObject) -> str:
    found = member(obj, *paths.label_selector) if paths.label_selector else None
    if resource.is_custom:
        return found if isinstance(found, str) else ""
    if (resource.group, resource.plural) == ("", "replicationcontrollers"):
        return str(equality_selector(found))
    return str(label_selector(found))


def scaled(call: Call, live: JsonObject, scale: JsonObject) -> JsonObject:
    """Return the object at the scale that was sent, with the version that was sent.

    Raises:
        ApiError: 422, it is negative.
    """
    replicas = integer_at(scale, "spec", "replicas")
    if replicas < 0:
        why = "must be greater than or equal to 0"
        problem = field_errors.invalid("spec.replicas", replicas, why)
        raise invalid("Scale", "autoscaling", call.name, [problem])
    said = {
        k: v for k, v in object_at(scale, "metadata").items() if k in ("uid", "resourceVersion")
    }
    said = {name: value for name, value in said.items() if value}
    changed = with_member(live, paths_of(call.resource).spec_replicas, replicas)
    return changed | {"metadata": object_at(live, "metadata") | said}
