"""Small plugins: taints of new nodes, and finalizers of volumes."""

from cluster.apiserver.admission.plugin import Attributes, Operation, Plugin
from cluster.kube_api.objects import list_at

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
_PROTECTION = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}


class TaintNodesByCondition(Plugin):
    """A new node takes no pods before it is known to be ready."""

    async def mutate(self, attributes: Attributes) -> None:
        """Taint it."""
        resource, node = attributes.resource, attributes.obj
        if (resource.group, resource.plural) != ("", "nodes") or node is None:
            return
        if attributes.operation is Operation.CREATE:
            spec = node.setdefault("spec", {})
            taints = list_at(spec, "taints")
            if not any(taint.get("key") == NOT_READY["key"] for taint in taints):
                spec["taints"] = [*taints, dict(NOT_READY)]


class StorageObjectInUseProtection(Plugin):
    """A volume or claim stays until nobody uses it."""

    async def mutate(self, attributes: Attributes) -> None:
        """Add the finalizer that a controller removes."""
        finalizer = _PROTECTION.get(attributes.resource.plural)
        obj = attributes.obj
        if finalizer is None or attributes.resource.group or obj is None:
            return
        if attributes.operation is Operation.CREATE:
            finalizers = list_at(obj, "metadata", "finalizers")
            obj["metadata"]["finalizers"] = list(dict.fromkeys([*finalizers, finalizer]))
