"""Endpoints: one object a Service, with all addresses. The older of the two forms."""

from collections.abc import Iterable, Sequence

from cluster.controllers.ownership import uid_of
from cluster.controllers.service_endpoints import (
    Endpoint,
    Port,
    endpoints,
    has_selector,
    is_headless,
    services_of,
)
from cluster.informer.api import ApiError, DeleteOptions, Ref, delete_if_there, is_already_exists
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import ENDPOINTS, PODS, SERVICES
from cluster.informer.store import Change, split_key
from cluster.informer.times import timestamp
from cluster.kube_api.objects import JsonObject, list_at, object_at, string_at

ADDRESSES_MAX = 1000
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
CHANGED_AT = "endpoints.kubernetes.io/last-change-trigger-time"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
HEADLESS = "service.kubernetes.io/headless"


def subsets(service: JsonObject, found: Iterable[Endpoint]) -> list[JsonObject]:
    """Return the subsets: addresses that serve the same ports stand together."""
    groups: dict[tuple[Port, ...], list[Endpoint]] = {}
    for one in found:
        if not one.is_terminating and (one.ports or is_headless(service)):
            groups.setdefault(tuple(sorted(one.ports)), []).append(one)
    result: list[JsonObject] = []
    for ports in sorted(groups):
        subset: JsonObject = {}
        ready = [_address(one) for one in groups[ports] if one.is_serving]
        others = [_address(one) for one in groups[ports] if not one.is_serving]
        if ready:
            subset["addresses"] = ready
        if others:
            subset["notReadyAddresses"] = others
        if ports:
            subset["ports"] = [_port(port) for port in ports]
        result.append(subset)
    return result


def capped(found: Sequence[JsonObject]) -> tuple[list[JsonObject], bool]:
    """Return subsets with so few addresses that the object can be stored, and whether any went."""
    room, is_cut, result = ADDRESSES_MAX, False, []
    for subset in found:
        kept = dict(subset)
        for name in ("addresses", "notReadyAddresses"):
            addresses = list_at(subset, name)
            is_cut |= len(addresses) > room
            kept[name] = addresses[:room]
            room -= len(kept[name])
            if not kept[name]:
                del kept[name]
        if "addresses" in kept or "notReadyAddresses" in kept:
            result.append(kept)
    return result, is_cut


def _address(one: Endpoint) -> JsonObject:
    address: JsonObject = {"ip": one.address, "targetRef": one.target()}
    if node := string_at(one.pod, "spec", "nodeName"):
        address["nodeName"] = node
    if one.hostname:
        address["hostname"] = one.hostname
    return address


def _port(port: Port) -> JsonObject:
    found: JsonObject = {"port": port.number, "protocol": port.protocol}
    if port.name:
        found["name"] = port.name
    if port.app_protocol:
        found["appProtocol"] = port.app_protocol
    return found


class EndpointsController(Controller):
    """Keeps an Endpoints object equal to what stands behind each Service."""

    name = "endpoint"
    workers = 5

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        self._services = environment.informers.store(SERVICES)
        self._pods = environment.informers.store(PODS)
        self._endpoints = environment.informers.store(ENDPOINTS)
        self.follow(environment.informers, SERVICES)
        self.follow(environment.informers, ENDPOINTS)
        environment.informers.subscribe(PODS, self._pod_changed)

    async def reconcile(self, key: str) -> None:
        """Write the Endpoints of one Service, if they differ."""
        service = self._services.get(key)
        present = self._endpoints.get(key)
        if service is None:
            await self._remove(key, present)
            return
        if not has_selector(service):
            return
        namespace, _ = split_key(key)
        found = endpoints(service, self._pods.in_namespace(namespace))
        wanted, is_cut = capped(subsets(service, found))
        labels = {**object_at(service, "metadata", "labels"), MANAGED_BY: f"{self.name}-controller"}
        if is_headless(service):
            labels[HEADLESS] = ""
        if present is not None and _says(present, wanted, labels):
            return
        await self._write(service, present, wanted, labels, is_cut=is_cut)

    async def _remove(self, key: str, present: JsonObject | None) -> None:
        """The Service is gone: so is what was written for it, but nothing that others wrote."""
        if present is None or MANAGED_BY not in object_at(present, "metadata", "labels"):
            return
        namespace, name = split_key(key)
        ref = Ref(ENDPOINTS, namespace, name)
        await delete_if_there(self._api, ref, DeleteOptions(uid=uid_of(present)))

    async def _write(
        self,
        service: JsonObject,
        present: JsonObject | None,
        wanted: list[JsonObject],
        labels: JsonObject,
        *,
        is_cut: bool,
    ) -> None:
        annotations = dict(object_at(present or {}, "metadata", "annotations"))
        annotations[CHANGED_AT] = timestamp(self.clock.unix())
        annotations.pop(OVER_CAPACITY, None)
        if is_cut:
            annotations[OVER_CAPACITY] = "truncated"
        metadata = {
            **object_at(present or {}, "metadata"),
            "name": string_at(service, "metadata", "name"),
            "namespace": string_at(service, "metadata", "namespace"),
            "labels": labels,
            "annotations": annotations,
        }
        body = {**(present or {}), "metadata": metadata, "subsets": wanted}
        if present is not None:
            await self._api.update(ENDPOINTS, body)
            return
        try:
            await self._api.create(ENDPOINTS, {"apiVersion": "v1", "kind": "Endpoints", **body})
        except ApiError as error:
            if not is_already_exists(error):  # else the watch is late, and will tell
                raise

    def _pod_changed(self, change: Change) -> None:
        for key in services_of(change, self._services):
            self.enqueue(key)


def _says(present: JsonObject, wanted: list[JsonObject], labels: JsonObject) -> bool:
    return (
        list_at(present, "subsets") == wanted and object_at(present, "metadata", "labels") == labels
    )
