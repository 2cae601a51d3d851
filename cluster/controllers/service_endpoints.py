"""Which pods stand behind a Service, and at which ports. Pure.

Both forms in which this is published, Endpoints and EndpointSlice, are made from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cluster.controllers.ownership import uid_of
from cluster.controllers.pod_facts import is_deleting, is_finished, is_ready
from cluster.informer.store import Change, Store, key_of
from cluster.kube_api.objects import JsonObject, JsonValue, list_at, member, string_at
from cluster.kube_api.selectors import equality_selector


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port of a Service, as one pod serves it."""

    name: str
    number: int
    protocol: str
    app_protocol: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One pod behind a Service."""

    pod: JsonObject
    address: str
    ports: tuple[Port, ...]
    is_serving: bool
    """Whether it would answer: ready, or to be published in any case."""

    @property
    def is_terminating(self) -> bool:
        """Whether it is on its way out."""
        return is_deleting(self.pod)

    @property
    def is_ready(self) -> bool:
        """Whether new requests should go there."""
        return self.is_serving and not self.is_terminating

    @property
    def hostname(self) -> str:
        """Return its DNS name below a headless service, if it has one."""
        return string_at(self.pod, "spec", "hostname")

    def target(self) -> JsonObject:
        """Return an ObjectReference to the pod."""
        return {
            "kind": "Pod",
            "namespace": string_at(self.pod, "metadata", "namespace"),
            "name": string_at(self.pod, "metadata", "name"),
            "uid": uid_of(self.pod),
        }


def has_selector(service: JsonObject) -> bool:
    """Whether the endpoints of a service are found, rather than written by somebody."""
    is_alias = string_at(service, "spec", "type") == "ExternalName"
    return bool(member(service, "spec", "selector")) and not is_alias


def is_headless(service: JsonObject) -> bool:
    """Whether clients find the pods themselves, by DNS."""
    return string_at(service, "spec", "clusterIP") == "None"


def selects(service: JsonObject, pod: JsonObject) -> bool:
    """Whether a pod's labels are those that the service asks for."""
    selector = equality_selector(member(service, "spec", "selector"))
    return selector.matches(member(pod, "metadata", "labels") or {})


def services_of(change: Change, services: Store) -> set[str]:
    """Return the keys of the services that a pod stands behind, or stood behind before a change."""
    return {
        key_of(service)
        for pod in (change.old, change.new)
        if pod is not None
        for service in services.in_namespace(string_at(pod, "metadata", "namespace"))
        if has_selector(service) and selects(service, pod)
    }


def endpoints(service: JsonObject, pods: Iterable[JsonObject]) -> list[Endpoint]:
    """Return what stands behind `service`, in the order of addresses; `pods` of its namespace."""
    publishes_all = member(service, "spec", "publishNotReadyAddresses") is True
    found = [
        Endpoint(pod, address, ports_of(service, pod), publishes_all or is_ready(pod))
        for pod in pods
        if selects(service, pod)
        and not is_finished(pod)
        and (address := string_at(pod, "status", "podIP"))
    ]
    return sorted(found, key=lambda one: (one.address, uid_of(one.pod)))


def ports_of(service: JsonObject, pod: JsonObject) -> tuple[Port, ...]:
    """Return the ports of `service` that `pod` serves, targets by name looked up in the pod."""
    found = []
    for port in list_at(service, "spec", "ports"):
        protocol = string_at(port, "protocol") or "TCP"
        number = _number(port.get("targetPort") or port.get("port"), protocol, pod)
        if number is not None:
            app_protocol = string_at(port, "appProtocol")
            found.append(Port(string_at(port, "name"), number, protocol, app_protocol))
    return tuple(found)


def _number(target: JsonValue, protocol: str, pod: JsonObject) -> int | None:
    if isinstance(target, int):
        return target
    containers = [
        one
        for one in list_at(pod, "spec", "initContainers")
        if string_at(one, "restartPolicy") == "Always"
    ] + list_at(pod, "spec", "containers")
    for container in containers:
        for port in list_at(container, "ports"):
            is_protocol = (string_at(port, "protocol") or "TCP") == protocol
            if string_at(port, "name") == target and is_protocol:
                return int(port["containerPort"])
    return None
