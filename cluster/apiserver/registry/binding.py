"""Binding: a pod gets its node, once."""

from cluster.apiserver.registry import writing
from cluster.apiserver.registry.call import Call
from cluster.kube_api import field_errors
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.errors import conflict, invalid
from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at

PODS = BY_PLURAL["", "v1", "pods"]


async def bind(call: Call, name: str, wanted: JsonObject) -> None:
    """Assign the pod to the node that `wanted`, a Binding, names.

    Raises:
        ApiError: 404, 409, 422.
    """
    call.resource, call.name, call.subresource = PODS, name, "binding"
    node = string_at(wanted, "target", "name")
    kind = string_at(wanted, "target", "kind")
    problems = []
    if kind not in ("", "Node"):
        problems.append(field_errors.not_supported("target.kind", kind, ["Node", ""]))
    if not node:
        problems.append(field_errors.required("target.name"))
    if problems:
        raise invalid("Binding", "", name, problems)
    uid = string_at(wanted, "metadata", "uid")
    annotations = object_at(wanted, "metadata", "annotations")

    async def change(live: JsonObject) -> JsonObject:
        _check(call, live, uid)
        metadata = live["metadata"]
        if annotations:
            metadata["annotations"] = object_at(metadata, "annotations") | annotations
        live["spec"]["nodeName"] = node
        _set_scheduled(live, call.services.now())
        return live

    await writing.modify(call, change)


def _check(call: Call, live: JsonObject, uid: str) -> None:
    stored_uid = string_at(live, "metadata", "uid")
    if uid and uid != stored_uid:
        raise call.conflict(
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {stored_uid}"
        )
    if member(live, "metadata", "deletionTimestamp") is not None:
        raise _refused(call, f"pod {call.name} is being deleted, cannot be assigned to a host")
    if node := string_at(live, "spec", "nodeName"):
        raise _refused(call, f'pod {call.name} is already assigned to node "{node}"')
    if list_at(live, "spec", "schedulingGates"):
        raise _refused(call, f"pod {call.name} has non-empty .spec.schedulingGates")


def _refused(call: Call, why: str) -> Exception:
    return conflict("pods/binding", "", call.name, why)


def _set_scheduled(pod: JsonObject, now: str) -> None:
    status = pod.setdefault("status", {})
    others = [c for c in list_at(status, "conditions") if c.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    status["conditions"] = [*others, scheduled | {"lastTransitionTime": now}]
