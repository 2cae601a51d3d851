"""Checks that several kinds have in common."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cluster.kube_api import names
from cluster.kube_api.field_errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from cluster.kube_api.metadata import IMMUTABLE, label_errors
from cluster.kube_api.objects import JsonObject, list_at, member, object_at, same, string_at
from cluster.kube_api.selectors import SelectorSyntaxError, label_selector

NEGATIVE = "must be greater than or equal to 0"
PORTS_MAX = 65535


def named_errors(items: Iterable[JsonObject], path: str, rule: names.NameRule) -> list[FieldError]:
    """Return what is wrong with the names of a list's items: missing, malformed, or twice there."""
    errors, seen = [], set()
    for index, item in enumerate(items):
        name, where = string_at(item, "name"), f"{path}[{index}].name"
        if not name:
            errors.append(required(where))
            continue
        errors += [invalid(where, name, problem) for problem in rule(name)]
        if name in seen:
            errors.append(duplicate(where, name))
        seen.add(name)
    return errors


def choice_errors(
    obj: object, path: str, name: str, allowed: Sequence[str], *, is_required: bool = True
) -> list[FieldError]:
    """Return an error if a field is none of an enumeration."""
    value = string_at(obj, name)
    where = f"{path}.{name}"
    if not value:
        return [required(where)] if is_required else []
    return [] if value in allowed else [not_supported(where, value, allowed)]


def count_errors(obj: object, path: str, *fields: str) -> list[FieldError]:
    """Return an error for each field that is a negative number."""
    errors = []
    for name in fields:
        value = member(obj, name)
        if isinstance(value, int) and value < 0:
            errors.append(invalid(f"{path}.{name}", value, NEGATIVE))
    return errors


def port_errors(port: Any, path: str) -> list[FieldError]:
    """Return what is wrong with a port: a number, or a name of one."""
    if isinstance(port, str):
        return [invalid(path, port, problem) for problem in names.port_name(port)]
    number = port if isinstance(port, int) else 0
    return [invalid(path, number, problem) for problem in names.port_number(number)]


def selector_errors(selector: Any, path: str) -> list[FieldError]:
    """Return what is wrong with a LabelSelector object."""
    errors = label_errors(f"{path}.matchLabels", object_at(selector, "matchLabels"))
    for index, one in enumerate(list_at(selector, "matchExpressions")):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = string_at(one, "operator"), list_at(one, "values")
        if operator in ("In", "NotIn") and not values:
            errors.append(
                required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
            )
        elif operator in ("Exists", "DoesNotExist") and values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{where}.values", why))
        elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            errors.append(invalid(f"{where}.operator", operator, "not a valid selector operator"))
        key = string_at(one, "key")
        errors += [invalid(f"{where}.key", key, problem) for problem in names.qualified_name(key)]
    return errors


def selects(selector: Any, labels: Mapping[str, Any]) -> bool:
    """Say whether a LabelSelector object matches labels; one that is malformed does not."""
    try:
        return label_selector(selector).matches(labels)
    except SelectorSyntaxError:
        return False


def immutable_errors(new: object, old: object, path: str, *fields: str) -> list[FieldError]:
    """Return an error for each field that has changed."""
    return [
        invalid(f"{path}.{name}" if path else name, member(new, name), IMMUTABLE)
        for name in fields
        if not same(member(new, name), member(old, name))
    ]
