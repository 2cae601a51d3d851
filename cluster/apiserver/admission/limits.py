"""LimitRanger and ResourceQuota: what a namespace allows."""

from collections.abc import Iterator

from cluster.apiserver.admission.plugin import Attributes, Operation, Plugin
from cluster.apiserver.services import Services
from cluster.apiserver.storage import Modified
from cluster.apiserver.wire_form import decode, stored_bytes
from cluster.kube_api import limits, quotas
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.errors import ApiError, conflict, forbidden
from cluster.kube_api.objects import JsonObject, string_at
from cluster.kube_api.resource import Resource

_LIMIT_RANGES = BY_PLURAL["", "v1", "limitranges"]
_QUOTAS = BY_PLURAL["", "v1", "resourcequotas"]
_PODS = BY_PLURAL["", "v1", "pods"]
_CLAIMS = BY_PLURAL["", "v1", "persistentvolumeclaims"]
ATTEMPTS = 16
"""How often a quota is charged again because another request was faster."""


def _in_namespace(services: Services, resource: Resource, namespace: str) -> Iterator[JsonObject]:
    for entry in services.cache.range(services.prefix(resource, namespace)):
        yield entry.decoded()


def _is(attributes: Attributes, resource: Resource) -> bool:
    return (attributes.resource.group, attributes.resource.plural) == (
        resource.group,
        resource.plural,
    )


class LimitRanger(Plugin):
    """Gives the containers of a new pod their amounts, and refuses too small and too large ones."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def mutate(self, attributes: Attributes) -> None:
        """Set what the containers of a pod do not state."""
        if attributes.obj is None or attributes.subresource or not _is(attributes, _PODS):
            return
        if attributes.operation is Operation.CREATE:
            limits.give_defaults(attributes.obj, self._limit_ranges(attributes))

    async def validate(self, attributes: Attributes) -> None:
        """Refuse what is outside of the limits."""
        if attributes.obj is None or attributes.subresource:
            return
        violations: list[str] = []
        if _is(attributes, _PODS) and attributes.operation is Operation.CREATE:
            violations = limits.pod_violations(attributes.obj, self._limit_ranges(attributes))
        elif _is(attributes, _CLAIMS):
            violations = limits.claim_violations(attributes.obj, self._limit_ranges(attributes))
        if violations:
            why = violations[0] if len(violations) == 1 else f"[{', '.join(violations)}]"
            raise forbidden(attributes.resource.plural, "", attributes.name, why)

    def _limit_ranges(self, attributes: Attributes) -> list[JsonObject]:
        return list(_in_namespace(self._services, _LIMIT_RANGES, attributes.namespace))


class ResourceQuota(Plugin):
    """Charges new objects to the quotas of their namespace; refuses what there is no room for."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def validate(self, attributes: Attributes) -> None:
        """Charge the object; with a dry run only see whether that could be."""
        obj = attributes.obj
        is_counted = attributes.operation in (Operation.CREATE, Operation.UPDATE)
        if obj is None or attributes.subresource or not is_counted or not attributes.namespace:
            return
        asked = quotas.usage(attributes.resource, obj)
        if attributes.old is not None:
            asked = quotas.difference(asked, quotas.usage(attributes.resource, attributes.old))
        prefix = self._services.prefix(_QUOTAS, attributes.namespace)
        for entry in list(self._services.cache.range(prefix)) if asked else ():
            if quotas.is_in_scope(entry.decoded(), attributes.resource, obj):
                await self._charge(entry.key, attributes, asked)

    async def _charge(self, key: str, attributes: Attributes, asked: quotas.Usage) -> None:
        """Note in the status of one quota what is used; exactly once, by compare and swap."""
        resource = attributes.resource
        assert attributes.obj is not None
        for _ in range(ATTEMPTS):
            stored = await self._services.store.get(key)
            if stored is None:
                return
            quota = decode(stored.value)
            counted = {name: one for name, one in asked.items() if name in quotas.hard_of(quota)}
            if not counted:
                return
            name = string_at(quota, "metadata", "name")
            missing = quotas.unspecified(quota, attributes.obj) if _is(attributes, _PODS) else ""
            if missing:
                raise self._refusal(attributes, f"failed quota: {name}: must specify {missing}")
            used = quotas.used_of(quota)
            if used is None:  # no controller has counted it yet
                used = quotas.total(quota, self._objects(attributes.namespace))
            why = quotas.exceeded(quota, used, counted)
            if why:
                raise self._refusal(attributes, why)
            if attributes.is_dry_run:
                return
            changed = quotas.with_usage(quota, used, counted)
            try:
                await self._services.store.update(key, stored_bytes(changed), seen=stored.revision)
            except Modified:
                continue
            return
        raise conflict(resource.plural, resource.group, attributes.name)

    def _refusal(self, attributes: Attributes, why: str) -> ApiError:
        resource = attributes.resource
        return forbidden(resource.plural, resource.group, attributes.name, why)

    def _objects(self, namespace: str) -> Iterator[tuple[Resource, JsonObject]]:
        seen: set[str] = set()
        for resource in self._services.resources:
            if resource.is_namespaced and resource.key_prefix not in seen:
                seen.add(resource.key_prefix)
                for obj in _in_namespace(self._services, resource, namespace):
                    yield resource, obj
