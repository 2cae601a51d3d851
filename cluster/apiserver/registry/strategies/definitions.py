"""CustomResourceDefinitions: names, and the objects that have to go before them."""

from cluster.apiserver.registry.call import Call
from cluster.apiserver.registry.strategy import Strategy
from cluster.kube_api.crd.definition import CLEANUP_FINALIZER
from cluster.kube_api.objects import JsonObject, list_at, string_at


class DefinitionStrategy(Strategy):
    """What depends on a definition is found by `custom.CustomResources`."""

    async def prepare_create(self, call: Call, obj: JsonObject) -> None:
        """Fill in the names that follow from others."""
        names = obj.get("spec", {}).get("names")
        if isinstance(names, dict) and string_at(names, "kind"):
            names["singular"] = names.get("singular") or names["kind"].lower()
            names["listKind"] = names.get("listKind") or f"{names['kind']}List"

    async def prepare_update(self, call: Call, new: JsonObject, old: JsonObject) -> None:
        """Fill in the names that follow from others."""
        await self.prepare_create(call, new)

    def begin_deletion(self, call: Call, obj: JsonObject) -> None:
        """Stay until the objects are gone."""
        finalizers = list_at(obj, "metadata", "finalizers")
        obj["metadata"]["finalizers"] = list(dict.fromkeys([*finalizers, CLEANUP_FINALIZER]))
