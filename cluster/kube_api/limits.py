"""Limit ranges: what containers get where they say nothing, and what nobody may exceed.

Kubernetes' admission plugin LimitRanger, with its texts.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from cluster.kube_api.objects import JsonObject, list_at, object_at, string_at
from cluster.kube_api.quantity import Quantity, parse_quantity

ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = Mapping[str, Any]


def _limits(limit_range: JsonObject, kind: str) -> list[JsonObject]:
    return [one for one in list_at(limit_range, "spec", "limits") if string_at(one, "type") == kind]


def give_defaults(pod: JsonObject, limit_ranges: Iterable[JsonObject]) -> None:
    """Give the containers of a pod, which is changed, the amounts that they do not state."""
    said: list[str] = []
    for limit in [one for found in limit_ranges for one in _limits(found, "Container")]:
        for field, word in (("containers", "container"), ("initContainers", "init container")):
            for container in list_at(pod, "spec", field):
                said += _given(container, limit, word)
    if said:
        metadata = pod.setdefault("metadata", {})
        annotations = object_at(metadata, "annotations")
        text = f"LimitRanger plugin set: {'; '.join(said)}"
        metadata["annotations"] = annotations | {ANNOTATION: text}


def _given(container: JsonObject, limit: JsonObject, word: str) -> list[str]:
    resources = container.setdefault("resources", {})
    said = []
    for field, source, shown in (
        ("requests", "defaultRequest", "request"),
        ("limits", "default", "limit"),
    ):
        stated = object_at(resources, field)
        missing = {k: v for k, v in object_at(limit, source).items() if k not in stated}
        if missing:
            resources[field] = {**stated, **missing}
            names = ", ".join(sorted(missing))
            said.append(f"{names} {shown} for {word} {string_at(container, 'name')}")
    return said


def pod_violations(pod: JsonObject, limit_ranges: Iterable[JsonObject]) -> list[str]:
    """Return what a pod and its containers exceed or fall short of."""
    violations = []
    containers = [*list_at(pod, "spec", "containers"), *list_at(pod, "spec", "initContainers")]
    for found in limit_ranges:
        for limit in _limits(found, "Container"):
            for container in containers:
                resources = object_at(container, "resources")
                violations += _violations(limit, "Container", resources)
        for limit in _limits(found, "Pod"):
            violations += _violations(limit, "Pod", pod_resources(object_at(pod, "spec")))
    return violations


def claim_violations(claim: JsonObject, limit_ranges: Iterable[JsonObject]) -> list[str]:
    """Return what a claim of storage exceeds or falls short of."""
    resources = object_at(claim, "spec", "resources")
    asked = {
        "requests": object_at(resources, "requests"),
        "limits": object_at(resources, "requests"),
    }
    return [
        one
        for found in limit_ranges
        for limit in _limits(found, "PersistentVolumeClaim")
        for one in _violations(limit, "PersistentVolumeClaim", asked)
    ]


def pod_resources(spec: JsonObject) -> JsonObject:
    """Return what a pod needs as a whole: the sum of its containers, or one init container's more.

    Init containers that restart always run beside the others, and count with them.
    """
    return {field: _pod_amounts(spec, field) for field in ("requests", "limits")}


def _pod_amounts(spec: JsonObject, field: str) -> JsonObject:
    total: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    for container in list_at(spec, "containers"):
        _add(total, object_at(container, "resources", field))
    beside: dict[str, Quantity] = {}
    for container in list_at(spec, "initContainers"):
        amounts = object_at(container, "resources", field)
        if string_at(container, "restartPolicy") == "Always":
            _add(beside, amounts)
            continue
        for name, amount in amounts.items():
            needed = parse_quantity(str(amount)) + beside.get(name, Quantity.of(0))
            peak[name] = max(peak.get(name, needed), needed)
    for name, quantity in beside.items():
        total[name] = total.get(name, Quantity.of(0)) + quantity
    for name, quantity in peak.items():
        total[name] = max(total.get(name, quantity), quantity)
    _add(total, object_at(spec, "overhead"))
    return {name: str(quantity) for name, quantity in total.items()}


def _add(total: dict[str, Quantity], amounts: Amounts) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, Quantity.of(0)) + parse_quantity(str(amount))


def _violations(limit: JsonObject, kind: str, resources: JsonObject) -> list[str]:
    requests, limits = object_at(resources, "requests"), object_at(resources, "limits")
    found = [
        _below(f"minimum {name} usage per {kind} is {bound}", bound, requests, limits, name)
        for name, bound in object_at(limit, "min").items()
    ]
    found += [
        _above(f"maximum {name} usage per {kind} is {bound}", bound, requests, limits, name)
        for name, bound in object_at(limit, "max").items()
    ]
    found += [
        _ratio(
            f"{name} max limit to request ratio per {kind} is {bound}",
            bound,
            requests,
            limits,
            name,
        )
        for name, bound in object_at(limit, "maxLimitRequestRatio").items()
    ]
    return [one for one in found if one]


def _below(what: str, bound: Any, requests: Amounts, limits: Amounts, name: str) -> str:
    if name not in requests:
        return f"{what}.  No request is specified"
    for word, amounts in (("request", requests), ("limit", limits)):
        if name in amounts and parse_quantity(str(amounts[name])) < parse_quantity(str(bound)):
            return f"{what}, but {word} is {amounts[name]}"
    return ""


def _above(what: str, bound: Any, requests: Amounts, limits: Amounts, name: str) -> str:
    if name not in limits:
        return f"{what}.  No limit is specified"
    for word, amounts in (("limit", limits), ("request", requests)):
        if name in amounts and parse_quantity(str(amounts[name])) > parse_quantity(str(bound)):
            return f"{what}, but {word} is {amounts[name]}"
    return ""


def _ratio(what: str, bound: Any, requests: Amounts, limits: Amounts, name: str) -> str:
    request = parse_quantity(str(requests.get(name, "0"))).nano
    limit = parse_quantity(str(limits.get(name, "0"))).nano
    if request == 0:
        return f"{what}, but no request is specified or request is 0"
    if limit == 0:
        return f"{what}, but no limit is specified or limit is 0"
    ratio = limit / request
    allowed = parse_quantity(str(bound)).nano / 10**9
    return f"{what}, but provided ratio is {ratio:f}" if ratio > allowed else ""
