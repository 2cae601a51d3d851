"""ResourceQuota: what a namespace uses, counted anew. The API server charges what is created."""

from collections.abc import Awaitable, Callable, Iterator, Sequence

from cluster.controllers.pod_facts import is_deleting, is_finished
from cluster.informer.api import Api
from cluster.informer.controller import Controller
from cluster.informer.discovery import IncompleteDiscovery
from cluster.informer.environment import Environment
from cluster.informer.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
)
from cluster.informer.store import Change, key_of
from cluster.kube_api import quotas
from cluster.kube_api.objects import JsonObject, object_at, string_at
from cluster.kube_api.resource import Resource

_FOLLOWED = (
    PODS,
    SERVICES,
    PERSISTENT_VOLUME_CLAIMS,
    CONFIG_MAPS,
    SECRETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
)
_AGAIN_S = 300.0
"""What is not followed is counted anew so often."""
Discover = Callable[[], Awaitable[Sequence[Resource]]]
Counted = list[tuple[Resource, JsonObject]]


class ResourceQuotaController(Controller):
    """Keeps `status.used` of every quota: what went is free again."""

    name = "resourcequota"

    def __init__(self, environment: Environment, discover: Discover) -> None:
        super().__init__(environment.clock)
        self._api: Api = environment.api
        self._discover = discover
        self._stores = {
            resource.plural: environment.informers.store(resource) for resource in _FOLLOWED
        }
        self._quotas = self._stores[RESOURCE_QUOTAS.plural]
        self.follow(environment.informers, RESOURCE_QUOTAS)
        for resource in _FOLLOWED:
            environment.informers.subscribe(resource, self._changed)

    async def reconcile(self, key: str) -> None:
        """Count what one quota limits."""
        quota = self._quotas.get(key)
        if quota is None or is_deleting(quota):
            return
        namespace = string_at(quota, "metadata", "namespace")
        others = await self._others(quota, namespace)
        used = quotas.total(quota, [*self._followed(namespace), *others])
        wanted = quotas.with_usage(quota, used, {})
        if object_at(wanted, "status") != object_at(quota, "status"):
            await self._api.update(RESOURCE_QUOTAS, wanted, subresource="status")
        if self._names_of_others(quota):
            self.enqueue_after(key, _AGAIN_S)

    def _followed(self, namespace: str) -> Iterator[tuple[Resource, JsonObject]]:
        for resource in _FOLLOWED:
            for one in self._stores[resource.plural].in_namespace(namespace):
                yield resource, one

    def _names_of_others(self, quota: JsonObject) -> set[str]:
        """Return what is limited by number and not followed: `deployments.apps`."""
        hard = quotas.hard_of(quota)
        counted = {name.removeprefix("count/") for name in hard if name.startswith("count/")}
        return counted - set(self._stores)

    async def _others(self, quota: JsonObject, namespace: str) -> Counted:
        names = self._names_of_others(quota)
        if not names:
            return []
        try:
            resources = await self._discover()
        except IncompleteDiscovery as error:
            resources = error.found
        found: Counted = []
        for resource in resources:
            name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
            if name in names and resource.is_namespaced:
                listed = await self._api.list(resource, namespace=namespace)
                found += [(resource, one) for one in listed.items]
        return found

    def _changed(self, change: Change) -> None:
        """Something was freed; what comes has been charged by the API server already."""
        old, new = change.old, change.new
        is_freed = new is None or (is_finished(new) and not is_finished(old or {}))
        if not is_freed and old is not None:
            is_freed = object_at(old, "spec") != object_at(new or {}, "spec")
        if is_freed:
            namespace = string_at(change.object, "metadata", "namespace")
            for quota in self._quotas.in_namespace(namespace):
                self.enqueue(key_of(quota))
