"""Structural schemas: every node has a type, and logic says nothing of structure.

See Kubernetes' documentation, "Specifying a structural schema". What pruning and defaulting need to
know lies outside of allOf, anyOf, oneOf and not.
"""

import re
from collections.abc import Mapping
from typing import Any

from cluster.kube_api.crd.rules import RuleSyntaxError, compiled
from cluster.kube_api.field_errors import FieldError, forbidden, invalid, not_supported, required
from cluster.kube_api.objects import list_at, object_at, string_at

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_STRUCTURE_IN_LOGIC = (
    "type",
    "default",
    "additionalProperties",
    "nullable",
    "description",
    "title",
)
_LOGIC = ("allOf", "anyOf", "oneOf")
_FORBIDDEN = ("$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id")


def structural_errors(
    schema: Mapping[str, Any], path: str, *, is_root: bool = True
) -> list[FieldError]:
    """Return what keeps a schema from being structural."""
    errors = _type_errors(schema, path, is_root=is_root)
    errors += [
        forbidden(f"{path}.{name}", f"{name} is not supported")
        for name in _FORBIDDEN
        if name in schema
    ]
    if schema.get("uniqueItems") is True:
        errors.append(forbidden(f"{path}.uniqueItems", "uniqueItems cannot be set to true"))
    errors += (
        _list_errors(schema, path) + _pattern_errors(schema, path) + _rule_errors(schema, path)
    )
    for name, child in object_at(schema, "properties").items():
        errors += structural_errors(child, f"{path}.properties[{name}]", is_root=False)
    if isinstance(schema.get("items"), Mapping):
        errors += structural_errors(schema["items"], f"{path}.items", is_root=False)
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        errors += structural_errors(values, f"{path}.additionalProperties", is_root=False)
    if values is not None and schema.get("properties"):
        errors.append(forbidden(f"{path}.additionalProperties", "must not be used with properties"))
    for name in _LOGIC:
        for index, one in enumerate(list_at(schema, name)):
            errors += _logic_errors(one, f"{path}.{name}[{index}]")
    if isinstance(schema.get("not"), Mapping):
        errors += _logic_errors(schema["not"], f"{path}.not")
    return errors


def _type_errors(schema: Mapping[str, Any], path: str, *, is_root: bool) -> list[FieldError]:
    kind = schema.get("type")
    is_free = bool(
        schema.get("x-kubernetes-int-or-string")
        or schema.get("x-kubernetes-preserve-unknown-fields")
    )
    if not kind:
        why = (
            "must not be empty at the root"
            if is_root
            else "must not be empty for specified object fields"
        )
        return [] if is_free and not is_root else [required(f"{path}.type", why)]
    if kind not in _TYPES:
        return [not_supported(f"{path}.type", kind, _TYPES)]
    if is_root and kind != "object":
        return [invalid(f"{path}.type", kind, "must be object at the root")]
    if kind == "array" and not isinstance(schema.get("items"), Mapping):
        return [required(f"{path}.items", "must be specified")]
    return []


def _list_errors(schema: Mapping[str, Any], path: str) -> list[FieldError]:
    kind = schema.get("x-kubernetes-list-type")
    keys = list_at(schema, "x-kubernetes-list-map-keys")
    where = f"{path}.x-kubernetes-list-map-keys"
    if kind not in (None, "atomic", "set", "map"):
        return [not_supported(f"{path}.x-kubernetes-list-type", kind, ("atomic", "set", "map"))]
    if kind != "map":
        return (
            [forbidden(where, "must be unset if x-kubernetes-list-type is not map")] if keys else []
        )
    if not keys:
        return [required(where, "must not be empty if x-kubernetes-list-type is map")]
    items = object_at(schema, "items")
    properties, needed = object_at(items, "properties"), list_at(items, "required")
    errors = []
    for index, key in enumerate(keys):
        if key not in properties:
            why = "entries must all be names of item properties"
            errors.append(invalid(f"{where}[{index}]", key, why))
        elif key not in needed and "default" not in properties[key]:
            why = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be"
                " a required property"
            )
            errors.append(required(f"{path}.items.properties[{key}].default", why))
    return errors


def _pattern_errors(schema: Mapping[str, Any], path: str) -> list[FieldError]:
    pattern = string_at(schema, "pattern")
    try:
        re.compile(pattern)
    except re.error as error:
        return [
            invalid(
                f"{path}.pattern",
                pattern,
                f"must be a valid regular expression, but isn't: {error}",
            )
        ]
    return []


def _rule_errors(schema: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    for index, rule in enumerate(list_at(schema, "x-kubernetes-validations")):
        for name in ("rule", "messageExpression"):
            text = string_at(rule, name)
            where = f"{path}.x-kubernetes-validations[{index}].{name}"
            if not text:
                errors += [required(where, "rule is not specified")] if name == "rule" else []
                continue
            try:
                compiled(text)
            except RuleSyntaxError as error:
                errors.append(invalid(where, text, f"compilation failed: {error}"))
    return errors


def _logic_errors(schema: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    for name in _STRUCTURE_IN_LOGIC:
        if name not in schema:
            continue
        is_int_or_string = name == "type" and schema[name] in ("integer", "string")
        if not is_int_or_string:
            errors.append(forbidden(f"{path}.{name}", "must be empty to be structural"))
    for name, child in object_at(schema, "properties").items():
        errors += _logic_errors(child, f"{path}.properties[{name}]")
    if isinstance(schema.get("items"), Mapping):
        errors += _logic_errors(schema["items"], f"{path}.items")
    for name in _LOGIC:
        for index, one in enumerate(list_at(schema, name)):
            errors += _logic_errors(one, f"{path}.{name}[{index}]")
    if isinstance(schema.get("not"), Mapping):
        errors += _logic_errors(schema["not"], f"{path}.not")
    return errors
