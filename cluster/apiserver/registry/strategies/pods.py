"""Pods: they begin as pending, and end when their kubelet has ended their containers."""

from cluster.apiserver.options import DeleteOptions
from cluster.apiserver.registry.call import Call
from cluster.apiserver.registry.strategy import Strategy
from cluster.kube_api.objects import JsonObject, integer_at, list_at, object_at, string_at

GRACE_S_DEFAULT = 30
_FINISHED = frozenset({"Succeeded", "Failed"})
_COUNTED = ("cpu", "memory")


class PodStrategy(Strategy):
    """Graceful deletion, and the status a new pod has."""

    returns_deleted_object = True

    async def prepare_create(self, call: Call, obj: JsonObject) -> None:
        """Begin as pending."""
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(object_at(obj, "spec"))}
        if list_at(obj, "spec", "schedulingGates"):
            obj["status"]["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                }
            ]

    async def prepare_update(self, call: Call, new: JsonObject, old: JsonObject) -> None:
        """Keep the class of service; on the status URL, the pod."""
        if "qosClass" in object_at(old, "status") and isinstance(new.get("status"), dict):
            new["status"].setdefault("qosClass", old["status"]["qosClass"])

    def grace_s(self, obj: JsonObject, options: DeleteOptions) -> int:
        """Return the time that the kubelet has: none, if no kubelet has anything to end."""
        if options.grace_s is None:
            spec = object_at(obj, "spec")
            grace = integer_at(spec, "terminationGracePeriodSeconds", default=GRACE_S_DEFAULT)
        else:
            grace = options.grace_s
        if not string_at(obj, "spec", "nodeName") or string_at(obj, "status", "phase") in _FINISHED:
            return 0
        return 1 if grace < 0 else grace


def qos_class(spec: JsonObject) -> str:
    """Return the class of service that the resources of a pod's containers make."""
    containers = [*list_at(spec, "containers"), *list_at(spec, "initContainers")]
    resources = [object_at(container, "resources") for container in containers]
    requests = [_counted(object_at(one, "requests")) for one in resources]
    limits = [_counted(object_at(one, "limits")) for one in resources]
    if not any(requests) and not any(limits):
        return "BestEffort"
    guaranteed = all(
        len(limit) == len(_COUNTED)
        and all(request.get(name, limit[name]) == limit[name] for name in limit)
        for request, limit in zip(requests, limits, strict=True)
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _counted(amounts: JsonObject) -> JsonObject:
    return {name: str(amounts[name]) for name in _COUNTED if str(amounts.get(name, "0")) != "0"}
