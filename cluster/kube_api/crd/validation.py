"""Which values the schema of a custom resource allows, in the words of Kubernetes' validator."""

import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from cluster.kube_api.apply.structure import StructureError, elements
from cluster.kube_api.crd.definition import CustomResource
from cluster.kube_api.crd.rules import rule_errors
from cluster.kube_api.field_errors import (
    FieldError,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
    type_invalid,
)
from cluster.kube_api.objects import JsonObject, JsonValue, compact, list_at, object_at, same
from cluster.kube_api.schema import Schema

_ABSENT = object()


def custom_errors(
    obj: JsonObject, resource: CustomResource, old: JsonObject | None = None
) -> list[FieldError]:
    """Return what is wrong with an object: values, keys of lists, and rules, those of changes too.

    Rules are asked only of values that have the right form.
    """
    raw = resource.open_api
    errors = _errors(_without_type(obj), raw, "")
    if errors:
        return errors
    before = _ABSENT if old is None else _without_type(old)
    return _list_errors(obj, resource.schema, "") + _rule_errors(
        _without_type(obj), before, raw, ""
    )


def _without_type(obj: JsonObject) -> JsonObject:
    """Return the object as rules see it: of its metadata only the names."""
    metadata = {
        name: one
        for name, one in object_at(obj, "metadata").items()
        if name in ("name", "generateName")
    }
    return obj | {"metadata": metadata}


_JSON_TYPES = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def _json_type(value: JsonValue) -> str:
    return _JSON_TYPES[type(value)]


def _errors(value: JsonValue, schema: Mapping[str, Any], path: str) -> list[FieldError]:
    if value is None and schema.get("nullable"):
        return []
    wrong = _type_error(value, schema, path)
    if wrong:
        return wrong
    errors = _enum_errors(value, schema, path)
    checks = _CHECKS.get(_json_type(value))
    if checks is not None:
        errors += checks(value, schema, path)
    return errors + _logic_errors(value, schema, path)


def _type_error(value: JsonValue, schema: Mapping[str, Any], path: str) -> list[FieldError]:
    kind, found = schema.get("type"), _json_type(value)
    if schema.get("x-kubernetes-int-or-string"):
        fits = found in ("integer", "string")
        kind = "integer,string"
    elif not kind:
        return []
    else:
        is_whole = found == "number" and isinstance(value, float) and value.is_integer()
        fits = found == kind or (kind == "number" and found == "integer")
        fits = fits or (kind == "integer" and is_whole)
    if fits:
        return []
    why = f'{path or "<nil>"} in body must be of type {kind}: "{found}"'
    return [type_invalid(path or "<nil>", found, why)]


def _enum_errors(value: JsonValue, schema: Mapping[str, Any], path: str) -> list[FieldError]:
    allowed = list_at(schema, "enum")
    if not allowed or any(same(value, one) for one in allowed):
        return []
    shown = [one if isinstance(one, str) else compact(one) for one in allowed]
    return [not_supported(path, value, shown)]


def _said(path: str, value: JsonValue, why: str) -> FieldError:
    return invalid(path, value, f"{path} in body {why}")


def _number_errors(value: Any, schema: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None:
        is_open = schema.get("exclusiveMinimum") is True
        if value < least or (is_open and value == least):
            bound = "greater than" if is_open else "greater than or equal to"
            errors.append(_said(path, value, f"should be {bound} {compact(least)}"))
    if most is not None:
        is_open = schema.get("exclusiveMaximum") is True
        if value > most or (is_open and value == most):
            bound = "less than" if is_open else "less than or equal to"
            errors.append(_said(path, value, f"should be {bound} {compact(most)}"))
    unit = schema.get("multipleOf")
    if unit and value % unit:
        errors.append(_said(path, value, f"should be a multiple of {compact(unit)}"))
    return errors


def _string_errors(value: str, schema: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    least, most = schema.get("minLength"), schema.get("maxLength")
    if least is not None and len(value) < least:
        errors.append(_said(path, value, f"should be at least {least} chars long"))
    if most is not None and len(value) > most:
        errors.append(too_long(path, most))
    pattern = schema.get("pattern")
    if pattern and _pattern(pattern).search(value) is None:
        errors.append(_said(path, value, f"should match '{pattern}'"))
    form = schema.get("format")
    if form in _FORMATS and not _FORMATS[form](value):
        errors.append(_said(path, value, f"must be of type {form}: {compact(value)}"))
    return errors


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _reads(read: Callable[[str], object]) -> Callable[[str], bool]:
    def reads(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return reads


def _moment(text: str) -> datetime:
    if re.match(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d", text) is None:
        raise ValueError("no RFC 3339")
    return datetime.fromisoformat(text)


_FORMATS: Mapping[Any, Callable[[str], bool]] = {
    "date-time": _reads(_moment),
    "date": _reads(date.fromisoformat),
    "ipv4": _reads(ipaddress.IPv4Address),
    "ipv6": _reads(ipaddress.IPv6Address),
    "cidr": _reads(lambda text: ipaddress.ip_network(text, strict=False)),
    "uuid": _reads(uuid.UUID),
    "email": lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+", text) is not None,
    "duration": lambda text: re.fullmatch(r"-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+", text) is not None,
}


def _object_errors(value: JsonObject, schema: Mapping[str, Any], path: str) -> list[FieldError]:
    properties, values = object_at(schema, "properties"), schema.get("additionalProperties")
    errors = [
        required(_inner(path, name)) for name in list_at(schema, "required") if name not in value
    ]
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if least is not None and len(value) < least:
        errors.append(_said(path, value, f"should have at least {least} properties"))
    if most is not None and len(value) > most:
        errors.append(too_many(path, len(value), most))
    for name, one in value.items():
        if name in properties:
            errors += _errors(one, properties[name], _inner(path, name))
        elif isinstance(values, Mapping):
            errors += _errors(one, values, _inner(path, name))
    return errors


def _inner(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _array_errors(value: list[Any], schema: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        errors.append(_said(path, value, f"should have at least {least} items"))
    if most is not None and len(value) > most:
        errors.append(too_many(path, len(value), most))
    items = schema.get("items")
    if isinstance(items, Mapping):
        for index, one in enumerate(value):
            errors += _errors(one, items, f"{path}[{index}]")
    return errors


_CHECKS: Mapping[str, Callable[[Any, Mapping[str, Any], str], list[FieldError]]] = {
    "integer": _number_errors,
    "number": _number_errors,
    "string": _string_errors,
    "object": _object_errors,
    "array": _array_errors,
}


def _logic_errors(value: JsonValue, schema: Mapping[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for one in list_at(schema, "allOf"):
        errors += _errors(value, one, path)
    alternatives = list_at(schema, "anyOf")
    if alternatives and all(_errors(value, one, path) for one in alternatives):
        errors.append(_composite(path, "must validate at least one schema (anyOf)"))
    choices = list_at(schema, "oneOf")
    if choices:
        fitting = sum(not _errors(value, one, path) for one in choices)
        if fitting != 1:
            found = "none valid" if fitting == 0 else f"{fitting} valid alternatives"
            why = f"must validate one and only one schema (oneOf). Found {found}"
            errors.append(_composite(path, why))
    if isinstance(schema.get("not"), Mapping) and not _errors(value, schema["not"], path):
        errors.append(_composite(path, "must not validate the schema (not)"))
    return errors


def _composite(path: str, why: str) -> FieldError:
    return invalid("<nil>", "", f'"{path}" {why}')


def _list_errors(value: JsonValue, schema: Schema, path: str) -> list[FieldError]:
    """Return the elements of sets and keyed lists that are there twice."""
    errors: list[FieldError] = []
    if isinstance(value, dict):
        for name, one in value.items():
            child = schema.properties.get(name)
            if child is None and isinstance(schema.raw.get("additionalProperties"), Mapping):
                child = schema.values
            if child is not None and name != "metadata":
                errors += _list_errors(one, child, _inner(path, name))
    elif isinstance(value, list) and isinstance(schema.raw.get("items"), Mapping):
        for index, one in enumerate(value):
            errors += _list_errors(one, schema.items, f"{path}[{index}]")
        if schema.list_type in ("map", "set"):
            errors += _repeated(value, schema, path)
    return errors


def _repeated(value: list[Any], schema: Schema, path: str) -> list[FieldError]:
    errors, seen = [], set()
    for index, one in enumerate(value):
        try:
            ((element, _),) = elements([one], schema, ())
        except StructureError:
            continue  # a key without a value, which required tells
        if element in seen:
            shown = one
            if schema.list_type == "map":
                shown = {key: one.get(key) for key in schema.list_keys}
            errors.append(duplicate(f"{path}[{index}]", shown))
        seen.add(element)
    return errors


def _rule_errors(
    value: JsonValue, old: Any, schema: Mapping[str, Any], path: str
) -> list[FieldError]:
    """Return the rules that are broken here and below; `old` is followed by names and keys."""
    errors = []
    if schema.get("x-kubernetes-validations") and value is not None:
        known = () if old is _ABSENT else (old,)
        errors += rule_errors(schema, path, value, *known)
    if isinstance(value, dict):
        properties, values = object_at(schema, "properties"), schema.get("additionalProperties")
        for name, one in value.items():
            child = properties.get(name, values)
            if isinstance(child, Mapping):
                before = old.get(name, _ABSENT) if isinstance(old, dict) else _ABSENT
                errors += _rule_errors(one, before, child, _inner(path, name))
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        before_by_key = _old_elements(old, schema)
        for index, one in enumerate(value):
            before = before_by_key.get(_element(one, schema), _ABSENT)
            errors += _rule_errors(one, before, schema["items"], f"{path}[{index}]")
    return errors


def _old_elements(old: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map":
        return {}
    return {_element(one, schema): one for one in old}


def _element(item: JsonValue, schema: Mapping[str, Any]) -> str:
    keys = list_at(schema, "x-kubernetes-list-map-keys")
    return compact([item.get(key) if isinstance(item, dict) else None for key in keys])
