"""Rows of services and what leads to them."""

from datetime import datetime

from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at
from cluster.kube_api.tables.cells import (
    NONE,
    UNSET,
    Cells,
    Printer,
    age,
    columns,
    first_few,
    joined,
    labels_text,
    name_of,
    or_none,
    selector_text,
)


def _service(obj: JsonObject, now: datetime) -> Cells:
    addresses = list_at(obj, "spec", "clusterIPs")
    return [
        name_of(obj),
        string_at(obj, "spec", "type"),
        or_none(str(addresses[0]) if addresses else string_at(obj, "spec", "clusterIP")),
        _external(obj),
        or_none(",".join(map(_service_port, list_at(obj, "spec", "ports")))),
        age(obj, now),
        labels_text(object_at(obj, "spec", "selector")),
    ]


def _external(obj: JsonObject) -> str:
    kind = string_at(obj, "spec", "type")
    if kind == "ExternalName":
        return string_at(obj, "spec", "externalName")
    given = [str(one) for one in list_at(obj, "spec", "externalIPs")]
    if kind != "LoadBalancer":
        return or_none(",".join(given))
    return joined([*_balancer(obj), *given]) or "<pending>"


def _balancer(obj: JsonObject) -> list[str]:
    """Return the addresses of a load balancer, each once."""
    points = list_at(obj, "status", "loadBalancer", "ingress")
    texts = [string_at(one, "ip") or string_at(one, "hostname") for one in points]
    return sorted(set(filter(None, texts)))


def _service_port(port: JsonObject) -> str:
    node_port = port.get("nodePort")
    number = f"{port.get('port')}:{node_port}" if node_port else f"{port.get('port')}"
    return f"{number}/{string_at(port, 'protocol') or 'TCP'}"


def _endpoints(obj: JsonObject, now: datetime) -> Cells:
    texts: list[str] = []
    for subset in list_at(obj, "subsets"):
        ports = list_at(subset, "ports")
        for address in list_at(subset, "addresses"):
            host = string_at(address, "ip")
            shown = f"[{host}]" if ":" in host else host
            texts += [f"{shown}:{port.get('port')}" for port in ports] if ports else [host]
    return [name_of(obj), first_few(texts), age(obj, now)]


def _endpoint_slice(obj: JsonObject, now: datetime) -> Cells:
    ports = [str(one.get("port", "*")) for one in list_at(obj, "ports")]
    addresses = [
        str(address) for one in list_at(obj, "endpoints") for address in list_at(one, "addresses")
    ]
    return [
        name_of(obj),
        string_at(obj, "addressType"),
        first_few(ports, UNSET),
        first_few(addresses, UNSET),
        age(obj, now),
    ]


def _ingress(obj: JsonObject, now: datetime) -> Cells:
    hosts = [string_at(one, "host") for one in list_at(obj, "spec", "rules")]
    return [
        name_of(obj),
        or_none(string_at(obj, "spec", "ingressClassName")),
        first_few(list(filter(None, hosts)), "*"),
        ",".join(_balancer(obj)),
        "80, 443" if list_at(obj, "spec", "tls") else "80",
        age(obj, now),
    ]


def _ingress_class(obj: JsonObject, now: datetime) -> Cells:
    reference = object_at(obj, "spec", "parameters")
    group = string_at(reference, "apiGroup")
    kind = string_at(reference, "kind") + (f".{group}" if group else "")
    shown = f"{kind}/{string_at(reference, 'name')}" if reference else NONE
    return [name_of(obj), string_at(obj, "spec", "controller"), shown, age(obj, now)]


def _network_policy(obj: JsonObject, now: datetime) -> Cells:
    return [name_of(obj), selector_text(member(obj, "spec", "podSelector")), age(obj, now)]


def _ip_address(obj: JsonObject, _: datetime) -> Cells:
    reference = object_at(obj, "spec", "parentRef")
    parts = [string_at(reference, part) for part in ("group", "resource", "namespace", "name")]
    return [name_of(obj), joined(parts[:1], ".") + "/".join(filter(None, parts[1:]))]


def _service_cidr(obj: JsonObject, now: datetime) -> Cells:
    return [name_of(obj), ",".join(map(str, list_at(obj, "spec", "cidrs"))), age(obj, now)]


_NETWORKING = "networking.k8s.io"
PRINTERS = {
    ("", "Service"): Printer(
        columns("Name, Type, Cluster-IP, External-IP, Port(s), Age, Selector w"), _service
    ),
    ("", "Endpoints"): Printer(columns("Name, Endpoints, Age"), _endpoints),
    ("discovery.k8s.io", "EndpointSlice"): Printer(
        columns("Name, AddressType, Ports, Endpoints, Age"), _endpoint_slice
    ),
    (_NETWORKING, "Ingress"): Printer(columns("Name, Class, Hosts, Address, Ports, Age"), _ingress),
    (_NETWORKING, "IngressClass"): Printer(
        columns("Name, Controller, Parameters, Age"), _ingress_class
    ),
    (_NETWORKING, "NetworkPolicy"): Printer(columns("Name, Pod-Selector, Age"), _network_policy),
    (_NETWORKING, "IPAddress"): Printer(columns("Name, ParentRef"), _ip_address),
    (_NETWORKING, "ServiceCIDR"): Printer(columns("Name, CIDRs, Age"), _service_cidr),
}
