"""What an object of a built-in kind must be like, and what an update of it must not change.

One file a topic, two tables by kind. Objects come here decoded and with their defaults; metadata
has its own rules in `metadata`, and what needs the cluster (is that port free?) is not asked here.
"""

from collections.abc import Callable, Mapping

from cluster.kube_api.crd import definition_errors, definition_update_errors
from cluster.kube_api.field_errors import FieldError
from cluster.kube_api.objects import JsonObject
from cluster.kube_api.resource import Kind
from cluster.kube_api.validation import configuration, network, pods, policy, storage, workloads

Check = Callable[[JsonObject], list[FieldError]]
UpdateCheck = Callable[[JsonObject, JsonObject], list[FieldError]]

_CHECKS: Mapping[tuple[str, str], Check] = {
    ("", "Pod"): pods.pod_errors,
    ("", "PodTemplate"): pods.pod_template_errors,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): definition_errors,
    **workloads.CHECKS,
    **network.CHECKS,
    **storage.CHECKS,
    **policy.CHECKS,
    **configuration.CHECKS,
}
_UPDATE_CHECKS: Mapping[tuple[str, str], UpdateCheck] = {
    ("", "Pod"): pods.pod_update_errors,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): definition_update_errors,
    **workloads.UPDATE_CHECKS,
    **network.UPDATE_CHECKS,
    **storage.UPDATE_CHECKS,
    **policy.UPDATE_CHECKS,
    **configuration.UPDATE_CHECKS,
}


def create_errors(kind: Kind, obj: JsonObject) -> list[FieldError]:
    """Return what is wrong with a new object, beside its metadata."""
    check = _CHECKS.get((kind.group, kind.kind))
    return check(obj) if check is not None else []


def update_errors(kind: Kind, new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Return what is wrong with an update of the object itself, beside its metadata.

    An object that was accepted once is not refused for what it already was: an update that leaves
    the spec alone may touch metadata and status of objects that older rules let in.
    """
    errors = []
    check = _UPDATE_CHECKS.get((kind.group, kind.kind))
    if check is not None:
        errors += check(new, old)
    if not errors and _body(new) != _body(old):
        errors += create_errors(kind, new)
    return errors


def _body(obj: JsonObject) -> JsonObject:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


__all__ = ["create_errors", "update_errors"]
