"""Resource quotas: what an object uses up, and whether that is too much.

Kubernetes' admission plugin ResourceQuota, with its texts.
"""

from collections.abc import Iterable, Mapping

from cluster.kube_api.limits import pod_resources
from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at
from cluster.kube_api.quantity import Quantity, parse_quantity
from cluster.kube_api.resource import Resource

Usage = dict[str, Quantity]

_ONE = Quantity.of(1)
_COUNTED_BY_NAME = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
    }
)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_FINISHED = ("Succeeded", "Failed")
_MANDATORY = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


def usage(resource: Resource, obj: JsonObject) -> Usage:
    """Return what an object uses up, by the names that quotas have for it."""
    suffix = f".{resource.group}" if resource.group else ""
    used: Usage = {f"count/{resource.plural}{suffix}": _ONE}
    if resource.group:
        return used
    if resource.plural in _COUNTED_BY_NAME:
        used[resource.plural] = _ONE
    if resource.plural == "pods":
        used |= _pod_usage(obj)
    elif resource.plural == "services":
        used |= _service_usage(object_at(obj, "spec"))
    elif resource.plural == "persistentvolumeclaims":
        used |= _claim_usage(object_at(obj, "spec"))
    return used


def _pod_usage(pod: JsonObject) -> Usage:
    if string_at(pod, "status", "phase") in _FINISHED:
        return {}
    used: Usage = {"pods": _ONE}
    resources = pod_resources(object_at(pod, "spec"))
    for name, amount in resources["requests"].items():
        quantity = parse_quantity(amount)
        used[f"requests.{name}"] = quantity
        if name in _COMPUTE:
            used[name] = quantity
    for name, amount in resources["limits"].items():
        used[f"limits.{name}"] = parse_quantity(amount)
    return used


def _service_usage(spec: JsonObject) -> Usage:
    kind = string_at(spec, "type")
    ports = Quantity.of(len(list_at(spec, "ports")))
    if kind == "NodePort":
        return {"services.nodeports": ports}
    if kind == "LoadBalancer":
        has_ports = spec.get("allocateLoadBalancerNodePorts") is not False
        return {
            "services.loadbalancers": _ONE,
            "services.nodeports": ports if has_ports else Quantity.of(0),
        }
    return {}


def _claim_usage(spec: JsonObject) -> Usage:
    storage = parse_quantity(str(object_at(spec, "resources", "requests").get("storage", "0")))
    used: Usage = {"requests.storage": storage}
    class_name = string_at(spec, "storageClassName")
    if class_name:
        prefix = f"{class_name}.storageclass.storage.k8s.io"
        used |= {f"{prefix}/requests.storage": storage, f"{prefix}/persistentvolumeclaims": _ONE}
    return used


def difference(new: Usage, old: Usage) -> Usage:
    """Return what `new` uses more than `old`."""
    zero = Quantity.of(0)
    grown = {name: amount - old.get(name, zero) for name, amount in new.items()}
    return {name: amount for name, amount in grown.items() if amount.nano > 0}


def is_in_scope(quota: JsonObject, resource: Resource, obj: JsonObject) -> bool:
    """Whether a quota counts an object: those with scopes count pods only, and not all of them."""
    scopes = [
        {"scopeName": scope, "operator": "Exists"} for scope in list_at(quota, "spec", "scopes")
    ]
    scopes += list_at(quota, "spec", "scopeSelector", "matchExpressions")
    if not scopes:
        return True
    if (resource.group, resource.plural) != ("", "pods"):
        return False
    return all(_is_in_one_scope(scope, obj) for scope in scopes)


def _is_in_one_scope(scope: JsonObject, pod: JsonObject) -> bool:
    spec, name = object_at(pod, "spec"), string_at(scope, "scopeName")
    if name == "PriorityClass":
        return _has_class(scope, string_at(spec, "priorityClassName"))
    is_ending = member(spec, "activeDeadlineSeconds") is not None
    resources = pod_resources(spec)
    is_best_effort = not any(
        amounts.get(one) for amounts in resources.values() for one in ("cpu", "memory")
    )
    return {
        "Terminating": is_ending,
        "NotTerminating": not is_ending,
        "BestEffort": is_best_effort,
        "NotBestEffort": not is_best_effort,
    }.get(name, False)


def _has_class(scope: JsonObject, name: str) -> bool:
    values = list_at(scope, "values")
    match string_at(scope, "operator"):
        case "In":
            return name in values
        case "NotIn":
            return name not in values
        case "Exists":
            return bool(name)
        case _:
            return not name


def unspecified(quota: JsonObject, pod: JsonObject) -> str:
    """Return the amounts that a quota limits and containers do not state: `cpu for: c; ...`."""
    hard = object_at(quota, "spec", "hard")
    missing = []
    for limited in (name for name in _MANDATORY if name in hard):
        kind, _, plain = limited.rpartition(".")
        field = "limits" if kind == "limits" else "requests"
        without = [
            string_at(container, "name")
            for container in list_at(pod, "spec", "containers")
            if plain not in object_at(container, "resources", field)
        ]
        if without:
            missing.append(f"{limited} for: {','.join(without)}")
    return "; ".join(missing)


def exceeded(quota: JsonObject, used: Mapping[str, Quantity], asked: Usage) -> str:
    """Return what is wrong if `asked` comes to what is used already; empty if it fits."""
    hard = {name: parse_quantity(str(one)) for name, one in hard_of(quota).items()}
    over = [
        name
        for name, amount in sorted(asked.items())
        if name in hard and hard[name] < used.get(name, Quantity.of(0)) + amount
    ]
    if not over:
        return ""
    zero = Quantity.of(0)
    name = string_at(quota, "metadata", "name")
    requested = ",".join(f"{one}={asked[one]}" for one in over)
    before = ",".join(f"{one}={used.get(one, zero)}" for one in over)
    limited = ",".join(f"{one}={hard[one]}" for one in over)
    return f"exceeded quota: {name}, requested: {requested}, used: {before}, limited: {limited}"


def hard_of(quota: JsonObject) -> JsonObject:
    """Return the limits of a quota."""
    return object_at(quota, "spec", "hard")


def used_of(quota: JsonObject) -> Usage | None:
    """Return what a quota says is used, or None while nobody has counted yet."""
    status = object_at(quota, "status")
    if not hard_of(quota).keys() <= object_at(status, "hard").keys():
        return None
    return {name: parse_quantity(str(one)) for name, one in object_at(status, "used").items()}


def total(quota: JsonObject, objects: Iterable[tuple[Resource, JsonObject]]) -> Usage:
    """Return what all objects of a namespace use of what a quota limits."""
    used: Usage = dict.fromkeys(hard_of(quota), Quantity.of(0))
    for resource, obj in objects:
        if is_in_scope(quota, resource, obj):
            for name, amount in usage(resource, obj).items():
                if name in used:
                    used[name] = used[name] + amount
    return used


def with_usage(quota: JsonObject, used: Usage, asked: Usage) -> JsonObject:
    """Return a quota whose status says that `asked` is used, too."""
    hard = hard_of(quota)
    zero = Quantity.of(0)
    counted = {name: str(used.get(name, zero) + asked.get(name, zero)) for name in hard}
    return quota | {"status": {"hard": dict(hard), "used": counted}}
