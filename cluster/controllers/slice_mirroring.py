"""Endpoints that somebody wrote for a Service without a selector, published as slices, too."""

from collections.abc import Sequence

from cluster.controllers.endpoint_slices import MANAGED_BY, SERVICE_NAME, family_of
from cluster.controllers.ownership import controller_ref, uid_of
from cluster.controllers.pod_facts import is_deleting
from cluster.controllers.pod_owner import is_namespace_terminating
from cluster.controllers.rollout import template_hash
from cluster.controllers.service_endpoints import has_selector
from cluster.informer.api import (
    ApiError,
    DeleteOptions,
    delete_if_there,
    is_already_exists,
    ref_to,
)
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from cluster.informer.store import Change
from cluster.kube_api.objects import JsonObject, list_at, object_at, same, string_at

CONTROLLER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_ADDRESSES_MAX = 1000


def is_mirrored(endpoints: JsonObject) -> bool:
    """Whether its author lets it be mirrored; old leader elections live in Endpoints, too."""
    metadata = object_at(endpoints, "metadata")
    is_skipped = object_at(metadata, "labels").get(SKIP) == "true"
    return not is_skipped and _LEADER not in object_at(metadata, "annotations")


def slices_of(endpoints: JsonObject) -> list[JsonObject]:
    """Return the slices to be: one for each address family of each subset, named by its ports."""
    found = []
    for subset in list_at(endpoints, "subsets"):
        by_family: dict[str, list[JsonObject]] = {}
        for kind, is_ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in list_at(subset, kind):
                family = family_of(string_at(address, "ip"))
                by_family.setdefault(family, []).append(_endpoint(address, is_ready=is_ready))
        ports = [_port(port) for port in list_at(subset, "ports")]
        found += [_slice(endpoints, family, ports, ones) for family, ones in by_family.items()]
    return found


def _slice(
    endpoints: JsonObject, family: str, ports: list[JsonObject], content: list[JsonObject]
) -> JsonObject:
    name = string_at(endpoints, "metadata", "name")
    digest = template_hash({"family": family, "ports": ports}, 0)
    labels = {
        **object_at(endpoints, "metadata", "labels"),
        SERVICE_NAME: name,
        MANAGED_BY: CONTROLLER,
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-{digest}",
            "namespace": string_at(endpoints, "metadata", "namespace"),
            "labels": labels,
            "ownerReferences": [controller_ref(endpoints)],
        },
        "addressType": family,
        "endpoints": content[:_ADDRESSES_MAX],
        "ports": ports,
    }


def _endpoint(address: JsonObject, *, is_ready: bool) -> JsonObject:
    found: JsonObject = {"addresses": [address["ip"]], "conditions": {"ready": is_ready}}
    for name in ("hostname", "nodeName", "targetRef"):
        if name in address:
            found[name] = address[name]
    return found


def _port(port: JsonObject) -> JsonObject:
    return {"name": "", "protocol": "TCP", **port}


class SliceMirroringController(Controller):
    """Keeps slices equal to Endpoints that no controller of ours wrote."""

    name = "endpointslicemirroring"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        self._services = environment.informers.store(SERVICES)
        self._endpoints = environment.informers.store(ENDPOINTS)
        self._slices = environment.informers.store(ENDPOINT_SLICES)
        self._slices.add_index("mirrored", _mirrored_key)
        self.follow(environment.informers, SERVICES)
        self.follow(environment.informers, ENDPOINTS)
        environment.informers.subscribe(ENDPOINT_SLICES, self._slice_changed)

    async def reconcile(self, key: str) -> None:
        """Write the slices of one Endpoints object, and remove what it does not say any more."""
        service, endpoints = self._services.get(key), self._endpoints.get(key)
        wanted: Sequence[JsonObject] = ()
        if service is not None and endpoints is not None and not has_selector(service):
            is_going = is_deleting(service) or is_deleting(endpoints)
            wanted = slices_of(endpoints) if is_mirrored(endpoints) and not is_going else ()
        present = {one["metadata"]["name"]: one for one in self._slices.by_index("mirrored", key)}
        for one in wanted:
            await self._write(one, present.pop(one["metadata"]["name"], None))
        for one in present.values():
            ref = ref_to(ENDPOINT_SLICES, one)
            await delete_if_there(self._api, ref, DeleteOptions(uid=uid_of(one)))

    async def _write(self, wanted: JsonObject, present: JsonObject | None) -> None:
        if present is None:
            try:
                await self._api.create(ENDPOINT_SLICES, wanted)
            except ApiError as error:
                if not (is_already_exists(error) or is_namespace_terminating(error)):
                    raise
            return
        metadata = {
            **object_at(present, "metadata"),
            "labels": wanted["metadata"]["labels"],
            "ownerReferences": wanted["metadata"]["ownerReferences"],
        }
        changed = {**present, **wanted, "metadata": metadata}
        if not same(changed, present):
            await self._api.update(ENDPOINT_SLICES, changed)

    def _slice_changed(self, change: Change) -> None:
        for key in _mirrored_key(change.object):
            self.enqueue(key)


def _mirrored_key(one: JsonObject) -> list[str]:
    """Index function: the key of the Service whose Endpoints a slice mirrors."""
    labels = object_at(one, "metadata", "labels")
    if labels.get(MANAGED_BY) != CONTROLLER or not labels.get(SERVICE_NAME):
        return []
    return [f"{string_at(one, 'metadata', 'namespace')}/{labels[SERVICE_NAME]}"]
