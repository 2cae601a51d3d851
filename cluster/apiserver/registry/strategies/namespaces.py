"""Namespaces: they end when the namespace controller has emptied them."""

from cluster.apiserver.registry.call import Call
from cluster.apiserver.registry.strategy import Strategy
from cluster.kube_api.objects import JsonObject, list_at

FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"


class NamespaceStrategy(Strategy):
    """`spec.finalizers` belongs to the server; only /finalize changes it."""

    returns_deleted_object = True

    async def prepare_create(self, call: Call, obj: JsonObject) -> None:
        """Make it active, and known by its name."""
        finalizers = list_at(obj, "spec", "finalizers")
        obj["spec"] = {"finalizers": list(dict.fromkeys([*finalizers, FINALIZER]))}
        obj["status"] = {"phase": "Active"}
        obj["metadata"]["labels"] = (obj["metadata"].get("labels") or {}) | {NAME_LABEL: call.name}

    async def prepare_update(self, call: Call, new: JsonObject, old: JsonObject) -> None:
        """Keep what other URLs are for."""
        if call.subresource != "finalize":
            new["spec"] = old.get("spec", {})
        if not call.subresource:
            labels = new["metadata"].get("labels") or {}
            new["metadata"]["labels"] = labels | {NAME_LABEL: call.name}

    def is_removable(self, obj: JsonObject) -> bool:
        """Whether neither kind of finalizer is left."""
        return super().is_removable(obj) and not list_at(obj, "spec", "finalizers")

    def begin_deletion(self, call: Call, obj: JsonObject) -> None:
        """Say that nothing new is welcome."""
        obj["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}
