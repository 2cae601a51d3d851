"""Definitions of custom resources become resources: served as soon as their names are accepted."""

from collections.abc import Iterable

from cluster.apiserver.options import DeleteOptions
from cluster.apiserver.registry import deleting, writing
from cluster.apiserver.registry.call import Call
from cluster.apiserver.services import Services
from cluster.apiserver.users import ITSELF
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.crd import custom_resources, established
from cluster.kube_api.crd.definition import CLEANUP_FINALIZER, is_established
from cluster.kube_api.errors import ApiError
from cluster.kube_api.objects import JsonObject, list_at, member, string_at

DEFINITIONS = BY_PLURAL["apiextensions.k8s.io", "v1", "customresourcedefinitions"]
IDLE_S = 3600.0
RECHECK_S = 0.5
"""How often the last objects of a definition that is going are looked for."""


class CustomResources:
    """Follows the definitions in the cache. Several servers may do so at once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._is_cleaning = False

    async def run(self) -> None:
        """Follow for ever."""
        cache = self._services.cache
        while True:
            watcher = cache.watch(self._services.prefix(DEFINITIONS), after=None)
            assert watcher is not None
            await self.refresh()
            while not watcher.has_ended:
                pause_s = RECHECK_S if self._is_cleaning else IDLE_S
                if await watcher.take(pause_s) or self._is_cleaning:
                    await self.refresh()

    async def refresh(self) -> None:
        """Serve what is established; establish what is new; empty what is going."""
        self._is_cleaning = False
        definitions = list(self._definitions())
        for definition in definitions:
            try:
                if member(definition, "metadata", "deletionTimestamp") is not None:
                    await self._clean_up(definition)
                else:
                    await self._establish(definition, definitions)
            except ApiError as error:
                if error.reason not in {"NotFound", "Conflict"}:
                    raise  # somebody else changed or removed it: the next look is at that
        self._serve()

    def _serve(self) -> None:
        self._services.resources.set_custom(
            [
                resource
                for definition in self._definitions()
                if is_established(definition)
                for resource in custom_resources(definition)
            ]
        )

    def _definitions(self) -> Iterable[JsonObject]:
        for entry in self._services.cache.range(self._services.prefix(DEFINITIONS)):
            yield entry.decoded()

    async def _establish(self, definition: JsonObject, others: list[JsonObject]) -> None:
        now = self._services.now()
        wanted = established(definition, others, now)
        if wanted.get("status") == definition.get("status"):
            return

        async def change(live: JsonObject) -> JsonObject:
            return live | {"status": established(live, others, now)["status"]}

        await writing.modify(self._call(definition), change)

    async def _clean_up(self, definition: JsonObject) -> None:
        """Delete the objects of a definition that is going, then let it go."""
        if CLEANUP_FINALIZER not in list_at(definition, "metadata", "finalizers"):
            return
        stored = custom_resources(definition)
        left = False
        for resource in stored[:1]:  # all versions share what is stored
            for entry in list(self._services.cache.range(self._services.prefix(resource))):
                obj = entry.decoded()
                call = Call(
                    services=self._services,
                    resource=resource,
                    user=ITSELF,
                    namespace=string_at(obj, "metadata", "namespace"),
                    name=string_at(obj, "metadata", "name"),
                )
                _, is_gone = await deleting.delete(call, DeleteOptions())
                left = left or not is_gone
        if left:
            self._is_cleaning = True
            return  # their finalizers come first: `run` looks again until they are gone

        async def change(live: JsonObject) -> JsonObject:
            kept = [
                one for one in list_at(live, "metadata", "finalizers") if one != CLEANUP_FINALIZER
            ]
            live["metadata"]["finalizers"] = kept
            return live

        await writing.modify(self._call(definition), change)

    def _call(self, definition: JsonObject) -> Call:
        return Call(
            services=self._services,
            resource=DEFINITIONS,
            user=ITSELF,
            name=string_at(definition, "metadata", "name"),
            subresource="status",
        )
