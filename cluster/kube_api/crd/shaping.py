"""What a custom object goes through on its way in: pruning of the unknown, and defaults."""

from collections.abc import Mapping
from typing import Any

from cluster.kube_api.crd.definition import CustomResource
from cluster.kube_api.decoding import decoded
from cluster.kube_api.objects import JsonObject, JsonValue, copied, object_at
from cluster.kube_api.resource import Kind
from cluster.kube_api.schema import OBJECT_META, definition

_TYPE = ("apiVersion", "kind", "metadata")


def custom_decoded(
    body: Mapping[str, Any], resource: CustomResource
) -> tuple[JsonObject, list[str]]:
    """Return the object of a body, and the paths of the fields that were pruned.

    Raises:
        ApiError: 400; metadata has a field of another type.
    """
    unknown: list[str] = []
    others = {name: value for name, value in body.items() if name not in _TYPE}
    pruned = _pruned(others, resource.open_api, "", unknown)
    metadata = _metadata(body, resource.gvk, unknown)
    head = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
    return head | pruned, unknown


def _metadata(body: Mapping[str, Any], kind: Kind, unknown: list[str]) -> JsonObject:
    read, strange = decoded(object_at(body, "metadata"), definition(OBJECT_META), kind)
    unknown += [f"metadata.{path}" for path in strange if path not in ("kind", "apiVersion")]
    return {
        name: value
        for name, value in read.items()
        if name not in ("kind", "apiVersion")
        and not (name == "creationTimestamp" and value is None)
    }


def _pruned(value: JsonValue, schema: Mapping[str, Any], path: str, unknown: list[str]) -> Any:
    if isinstance(value, dict):
        return _pruned_object(value, schema, path, unknown)
    if isinstance(value, list):
        items = schema.get("items")
        if not isinstance(items, Mapping):
            return value
        return [_pruned(one, items, f"{path}[{at}]", unknown) for at, one in enumerate(value)]
    return value


def _pruned_object(
    value: JsonObject, schema: Mapping[str, Any], path: str, unknown: list[str]
) -> JsonObject:
    properties = object_at(schema, "properties")
    values = schema.get("additionalProperties")
    is_kept = schema.get("x-kubernetes-preserve-unknown-fields") is True
    is_typed = not path or schema.get("x-kubernetes-embedded-resource") is True
    kept: JsonObject = {}
    for name, one in value.items():
        inner = f"{path}.{name}" if path else name
        if name in properties:
            kept[name] = _pruned(one, properties[name], inner, unknown)
        elif isinstance(values, Mapping):
            kept[name] = _pruned(one, values, inner, unknown)
        elif values is True or is_kept or (is_typed and name in _TYPE):
            kept[name] = one
        else:
            unknown.append(inner)
    return kept


def custom_defaulted(obj: JsonObject, resource: CustomResource) -> JsonObject:
    """Return a copy of an object with the defaults of its schema; nulls give way to them."""
    made = _defaulted(obj, resource.open_api)
    assert isinstance(made, dict)
    return made


def _defaulted(value: JsonValue, schema: Mapping[str, Any]) -> JsonValue:
    if isinstance(value, dict):
        return _defaulted_object(value, schema)
    if isinstance(value, list):
        items = schema.get("items")
        return [_defaulted(one, items) for one in value] if isinstance(items, Mapping) else value
    return value


def _defaulted_object(value: JsonObject, schema: Mapping[str, Any]) -> JsonObject:
    properties = object_at(schema, "properties")
    values = schema.get("additionalProperties")
    made = dict(value)
    for name, child in properties.items():
        is_null = name in made and made[name] is None and not child.get("nullable")
        if "default" in child and (name not in made or is_null):
            made[name] = copied(child["default"])
    for name, one in made.items():
        if name in properties:
            made[name] = _defaulted(one, properties[name])
        elif isinstance(values, Mapping):
            made[name] = _defaulted(one, values)
    return made
