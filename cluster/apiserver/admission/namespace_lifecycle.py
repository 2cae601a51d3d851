"""NamespaceLifecycle: nothing is made where there is no namespace, or where it is going."""

from cluster.apiserver.admission.plugin import Attributes, Operation, Plugin
from cluster.apiserver.services import Services
from cluster.apiserver.wire_form import decode
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.errors import forbidden, namespace_terminating, not_found
from cluster.kube_api.objects import JsonObject, member

PROTECTED = frozenset({"default", "kube-system", "kube-public"})
NAMESPACES = BY_PLURAL["", "v1", "namespaces"]


class NamespaceLifecycle(Plugin):
    """Ask the cache first; the store, if the cache does not know the namespace."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def mutate(self, attributes: Attributes) -> None:
        """Refuse before anything is done in vain."""
        resource = attributes.resource
        if resource.plural == "namespaces" and not resource.group:
            if attributes.operation is Operation.DELETE and attributes.name in PROTECTED:
                why = "this namespace may not be deleted"
                raise forbidden(resource.plural, resource.group, attributes.name, why)
            return
        if attributes.operation is not Operation.CREATE or not resource.is_namespaced:
            return
        namespace = await self._namespace(attributes.namespace)
        if namespace is None:
            raise not_found("namespaces", "", attributes.namespace)
        if member(namespace, "metadata", "deletionTimestamp") is not None:
            raise namespace_terminating(
                resource.plural, resource.group, attributes.name, attributes.namespace
            )

    async def _namespace(self, name: str) -> JsonObject | None:
        key = self._services.key(NAMESPACES, "", name)
        entry = self._services.cache.get(key)
        if entry is not None:
            return entry.decoded()
        stored = await self._services.store.get(key)
        return None if stored is None else decode(stored.value)
