"""Services and their slices in, rules out. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cluster.informer.store import key_of
from cluster.kube_api.objects import JsonObject, integer_at, list_at, member, object_at, string_at

SERVICE_NAME = "kubernetes.io/service-name"
_AFFINITY_S = 10800


class Backend(NamedTuple):
    """Where a connection may go."""

    address: str
    port: int


class Frontend(NamedTuple):
    """What is listened on."""

    address: str
    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Where connections to a frontend go. No backends: they are refused."""

    service: str
    backends: tuple[Backend, ...]
    affinity_s: int = 0
    """For how long a client comes back to the same backend; 0: it need not."""


@dataclass(frozen=True, slots=True)
class _Found:
    backend: Backend
    is_ready: bool
    is_serving: bool
    node: str


def rules(
    services: Iterable[JsonObject],
    slices: Iterable[JsonObject],
    *,
    node_name: str,
    node_addresses: Sequence[str],
) -> dict[Frontend, Rule]:
    """Return all rules of a node. Of two services that want the same frontend the first has it."""
    by_service: dict[str, list[JsonObject]] = {}
    for one in slices:
        name = string_at(object_at(one, "metadata", "labels"), SERVICE_NAME)
        namespace = string_at(one, "metadata", "namespace")
        by_service.setdefault(f"{namespace}/{name}", []).append(one)
    found: dict[Frontend, Rule] = {}
    for service in services:
        key = key_of(service)
        if string_at(service, "spec", "type") == "ExternalName":
            continue
        for port in list_at(service, "spec", "ports"):
            ready = _endpoints(by_service.get(key, ()), string_at(port, "name"))
            for frontend, policy in _frontends(service, port, node_addresses):
                rule = Rule(
                    f"{key}:{string_at(port, 'name')}",
                    _backends(ready, is_local=policy == "Local", node_name=node_name),
                    _affinity_s(service),
                )
                found.setdefault(frontend, rule)
    return found


def _frontends(
    service: JsonObject, port: JsonObject, node_addresses: Sequence[str]
) -> Iterable[tuple[Frontend, str]]:
    """Yield what a service port is reached by, and which endpoints may be used."""
    protocol = string_at(port, "protocol") or "TCP"
    number = integer_at(port, "port")
    inner = string_at(service, "spec", "internalTrafficPolicy")
    outer = string_at(service, "spec", "externalTrafficPolicy")
    addresses = list_at(service, "spec", "clusterIPs") or [string_at(service, "spec", "clusterIP")]
    for address in addresses:
        if address not in ("", "None"):
            yield Frontend(str(address), number, protocol), inner
    for address in list_at(service, "spec", "externalIPs"):
        yield Frontend(str(address), number, protocol), outer
    node_port = integer_at(port, "nodePort")
    if node_port:
        for address in node_addresses:
            yield Frontend(address, node_port, protocol), outer


def _endpoints(slices: Iterable[JsonObject], port_name: str) -> list[_Found]:
    found: dict[Backend, _Found] = {}
    for one in slices:
        for port in list_at(one, "ports"):
            if string_at(port, "name") != port_name:
                continue
            for endpoint in list_at(one, "endpoints"):
                for address in list_at(endpoint, "addresses"):
                    backend = Backend(str(address), integer_at(port, "port"))
                    conditions = object_at(endpoint, "conditions")
                    found[backend] = _Found(
                        backend,
                        member(conditions, "ready") is not False,
                        member(conditions, "serving") is not False,
                        string_at(endpoint, "nodeName"),
                    )
    return [found[backend] for backend in sorted(found)]


def _backends(found: Sequence[_Found], *, is_local: bool, node_name: str) -> tuple[Backend, ...]:
    near = [one for one in found if not is_local or one.node == node_name]
    ready = tuple(one.backend for one in near if one.is_ready)
    return ready or tuple(one.backend for one in near if one.is_serving)


def _affinity_s(service: JsonObject) -> int:
    if string_at(service, "spec", "sessionAffinity") != "ClientIP":
        return 0
    config: Mapping[str, object] = object_at(service, "spec", "sessionAffinityConfig", "clientIP")
    return integer_at(config, "timeoutSeconds", default=_AFFINITY_S)
