"""The rules of services and what leads to them; which addresses are free is asked elsewhere."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from cluster.kube_api import names
from cluster.kube_api.field_errors import FieldError, duplicate, forbidden, invalid, required
from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at
from cluster.kube_api.validation.checks import (
    choice_errors,
    immutable_errors,
    port_errors,
    selector_errors,
)
from cluster.kube_api.validation.pods import PROTOCOLS

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")


def _service(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    kind = string_at(spec, "type")
    errors = choice_errors(spec, "spec", "type", _TYPES)
    errors += choice_errors(spec, "spec", "sessionAffinity", ("ClientIP", "None"))
    errors += choice_errors(spec, "spec", "internalTrafficPolicy", _POLICIES, is_required=False)
    errors += choice_errors(spec, "spec", "externalTrafficPolicy", _POLICIES, is_required=False)
    ports = list_at(spec, "ports")
    is_headless = string_at(spec, "clusterIP") == "None"
    if kind == "ExternalName":
        name = string_at(spec, "externalName").removesuffix(".")
        if not name:
            errors.append(required("spec.externalName"))
        problems = names.dns_subdomain(name) if name else []
        errors += [invalid("spec.externalName", name, problem) for problem in problems]
    elif not ports and not is_headless:
        errors.append(required("spec.ports"))
    if kind in ("NodePort", "LoadBalancer") and is_headless:
        why = f"may not be set to 'None' for {kind} services"
        errors.append(invalid("spec.clusterIPs[0]", "None", why))
    return errors + _ports(ports, kind)


def _ports(ports: list[Any], kind: str) -> list[FieldError]:
    errors, seen_names, seen = [], set(), set()
    for index, port in enumerate(ports):
        path, name = f"spec.ports[{index}]", string_at(port, "name")
        if not name and len(ports) > 1:
            errors.append(required(f"{path}.name"))
        elif name:
            errors += [invalid(f"{path}.name", name, one) for one in names.dns_label(name)]
            if name in seen_names:
                errors.append(duplicate(f"{path}.name", name))
            seen_names.add(name)
        errors += port_errors(member(port, "port"), f"{path}.port")
        errors += choice_errors(port, path, "protocol", PROTOCOLS)
        errors += port_errors(member(port, "targetPort"), f"{path}.targetPort")
        if member(port, "nodePort") and kind in ("ClusterIP", "ExternalName"):
            why = "may not be used when `type` is 'ClusterIP'"
            errors.append(forbidden(f"{path}.nodePort", why))
        identity = (member(port, "port"), string_at(port, "protocol"))
        if identity in seen:
            shown = {"port": identity[0], "protocol": identity[1]}
            errors.append(duplicate(path, shown))
        seen.add(identity)
    return errors


def _service_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    after, before = object_at(new, "spec"), object_at(old, "spec")
    if "ExternalName" in (string_at(after, "type"), string_at(before, "type")):
        return []
    given, wanted = string_at(before, "clusterIP"), string_at(after, "clusterIP")
    if given and wanted and given != wanted:
        return [invalid("spec.clusterIPs[0]", [wanted], "may not change once set")]
    return []


def _address_errors(text: str, path: str) -> list[FieldError]:
    try:
        ip_address(text)
    except ValueError:
        return [
            invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
        ]
    return []


def _endpoints(obj: JsonObject) -> list[FieldError]:
    errors = []
    for index, subset in enumerate(list_at(obj, "subsets")):
        path = f"subsets[{index}]"
        addresses = list_at(subset, "addresses")
        if not addresses and not list_at(subset, "notReadyAddresses"):
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for at, address in enumerate(addresses):
            errors += _address_errors(string_at(address, "ip"), f"{path}.addresses[{at}].ip")
        for at, port in enumerate(list_at(subset, "ports")):
            errors += port_errors(member(port, "port"), f"{path}.ports[{at}].port")
    return errors


def _endpoint_slice(obj: JsonObject) -> list[FieldError]:
    errors = choice_errors(obj, "", "addressType", ("FQDN", "IPv4", "IPv6"))
    errors = [FieldError(one.problem, one.path[1:], one.value, one.detail) for one in errors]
    is_address = string_at(obj, "addressType") in ("IPv4", "IPv6")
    for index, endpoint in enumerate(list_at(obj, "endpoints")):
        addresses = list_at(endpoint, "addresses")
        path = f"endpoints[{index}].addresses"
        if not addresses:
            errors.append(required(path, "must contain at least 1 address"))
        for at, address in enumerate(addresses if is_address else ()):
            errors += _address_errors(str(address), f"{path}[{at}]")
    return errors


def _slice_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    return immutable_errors(new, old, "", "addressType")


def _ingress(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = []
    if not list_at(spec, "rules") and member(spec, "defaultBackend") is None:
        errors.append(invalid("spec", "", "either `defaultBackend` or `rules` must be specified"))
    for index, rule in enumerate(list_at(spec, "rules")):
        for at, path in enumerate(list_at(rule, "http", "paths")):
            where = f"spec.rules[{index}].http.paths[{at}]"
            kinds = ("Exact", "ImplementationSpecific", "Prefix")
            kind = string_at(path, "pathType")
            if not kind:
                errors.append(required(f"{where}.pathType", "pathType must be specified"))
            errors += choice_errors(path, where, "pathType", kinds, is_required=False)
            text = string_at(path, "path")
            if kind in ("Exact", "Prefix") and not text.startswith("/"):
                errors.append(invalid(f"{where}.path", text, "must be an absolute path"))
            service = member(path, "backend", "service")
            if service is not None and not string_at(service, "name"):
                errors.append(required(f"{where}.backend.service.name"))
    return errors


def _network_policy(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = selector_errors(member(spec, "podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(list_at(spec, direction)):
            for at, peer in enumerate(list_at(rule, peers)):
                where = f"spec.{direction}[{index}].{peers}[{at}]"
                block = member(peer, "ipBlock")
                if not peer:
                    errors.append(required(where, "must specify a peer"))
                elif block is not None:
                    errors += _block_errors(string_at(block, "cidr"), f"{where}.ipBlock.cidr")
    return errors


def _block_errors(text: str, path: str) -> list[FieldError]:
    if not text:
        return [required(path)]
    try:
        ip_network(text, strict=False)
    except ValueError:
        why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        return [invalid(path, text, why)]
    return []


CHECKS: Mapping[tuple[str, str], Callable[[JsonObject], list[FieldError]]] = {
    ("", "Service"): _service,
    ("", "Endpoints"): _endpoints,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
}
UPDATE_CHECKS: Mapping[tuple[str, str], Callable[[JsonObject, JsonObject], list[FieldError]]] = {
    ("", "Service"): _service_update,
    ("discovery.k8s.io", "EndpointSlice"): _slice_update,
}
