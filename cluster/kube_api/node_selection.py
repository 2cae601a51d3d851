"""Which nodes a pod's spec asks for, and which taints it tolerates. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from cluster.kube_api.objects import JsonObject, list_at, member, string_at


def is_tolerated(taint: Mapping[str, Any], tolerations: Iterable[JsonObject]) -> bool:
    """Whether any of `tolerations` fits a taint (core/v1 Toleration)."""
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def _tolerates(toleration: JsonObject, taint: Mapping[str, Any]) -> bool:
    effect, key = string_at(toleration, "effect"), string_at(toleration, "key")
    if effect and effect != taint.get("effect"):
        return False
    if key and key != taint.get("key"):
        return False
    if string_at(toleration, "operator") == "Exists":
        return True
    return bool(key) and string_at(toleration, "value") == (taint.get("value") or "")


def matches_node(spec: JsonObject, labels: Mapping[str, Any], name: str) -> bool:
    """Whether a node's labels and name are what a pod's spec requires."""
    selector = member(spec, "nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    path = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    required = member(spec, *path)
    if required is None:
        return True
    return any(matches_term(term, labels, name) for term in list_at(required, "nodeSelectorTerms"))


def matches_term(term: JsonObject, labels: Mapping[str, Any], name: str) -> bool:
    """Whether a node is what a NodeSelectorTerm asks for; an empty term matches none."""
    by_label, by_field = list_at(term, "matchExpressions"), list_at(term, "matchFields")
    if not by_label and not by_field:
        return False
    fields = {"metadata.name": name}
    return all(_fits(one, labels) for one in by_label) and all(
        _fits(one, fields) for one in by_field
    )


def _fits(expression: JsonObject, labels: Mapping[str, Any]) -> bool:
    value = labels.get(string_at(expression, "key"))
    values = list_at(expression, "values")
    match string_at(expression, "operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            return _compares(operator, value, values)
        case _:
            return False


def _compares(operator: str, value: object, values: list[Any]) -> bool:
    try:
        left, right = int(str(value)), int(str(values[0]))
    except (ValueError, IndexError):
        return False
    return left > right if operator == "Gt" else left < right
