"""The OpenAPI documents that clients read: v3 by group version, and one of v2.

kubectl asks them which lists have keys, whether the server checks fields itself (a PATCH with the
parameter `fieldValidation`), which patches a kind takes, and what `explain` shows. So each kind has
its schema, and of the paths the one of an object, with its PATCH.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cluster.kube_api.catalogue import BUILT_IN
from cluster.kube_api.objects import JsonObject, object_at
from cluster.kube_api.resource import Resource
from cluster.kube_api.schema import OBJECT_META, RELEASE, definitions, references

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""What an answer is labelled with. Clients ask for it with an `@` before `v1.0`, which no label
may have: kubectl refuses to read it."""
_V2_REF, _V3_REF = "#/definitions/", "#/components/schemas/"
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
)
_STRATEGIC = "application/strategic-merge-patch+json"
_PARAMETERS = (
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
    ("force", "boolean"),
)
_INFO = {"title": "Kubernetes", "version": RELEASE}


def group_version_path(group: str, version: str) -> str:
    """Return `api/v1` or `apis/apps/v1`: the key of a document in the index of v3."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def document_v3(
    resources: Sequence[Resource], custom_schemas: Mapping[str, JsonObject] | None = None
) -> JsonObject:
    """Return the document of one group version.

    `custom_schemas` are the `openAPIV3Schema`s of custom resources among `resources`, by plural.
    """
    made = {
        _schema_name(resource): _custom_schema(resource, (custom_schemas or {})[resource.plural])
        for resource in resources
        if resource.is_custom
    }
    wanted = [resource.definition for resource in resources if not resource.is_custom]
    schemas = _closure([*wanted, OBJECT_META]) | made
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": {_item_path(resource): _item_v3(resource) for resource in resources},
        "components": {"schemas": _with_references(schemas, _V3_REF)},
    }


def document_v2() -> JsonObject:
    """Return the document of the built-in kinds in Swagger's form."""
    return {
        "swagger": "2.0",
        "info": _INFO,
        "paths": {_item_path(resource): _item_v2(resource) for resource in BUILT_IN},
        "definitions": _closure(resource.definition for resource in BUILT_IN),
    }


def _closure(names: Iterable[str]) -> JsonObject:
    """Return the definitions of `names` and of all that they refer to."""
    found: JsonObject = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = definitions()[name]
            waiting += references(found[name])
    return dict(sorted(found.items()))


def _with_references(value: Any, prefix: str) -> Any:
    if isinstance(value, list):
        return [_with_references(one, prefix) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: one.replace(_V2_REF, prefix)
        if name == "$ref" and isinstance(one, str)
        else _with_references(one, prefix)
        for name, one in value.items()
    }


def _schema_name(resource: Resource) -> str:
    """Return `com.example.v1.Widget` for a Widget of example.com."""
    if not resource.is_custom:
        return resource.definition
    return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


def _custom_schema(resource: Resource, schema: JsonObject) -> JsonObject:
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": f"{_V2_REF}{OBJECT_META}"},
    }
    return schema | {
        "type": "object",
        "properties": object_at(schema, "properties") | properties,
        "x-kubernetes-group-version-kind": [_kind(resource)],
    }


def _kind(resource: Resource) -> JsonObject:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _item_path(resource: Resource) -> str:
    namespace = "namespaces/{namespace}/" if resource.is_namespaced else ""
    root = group_version_path(resource.group, resource.version)
    return f"/{root}/{namespace}{resource.plural}/{{name}}"


def _patch_types(resource: Resource) -> list[str]:
    return list(_PATCHES) if resource.is_custom else [*_PATCHES, _STRATEGIC]


def _item_v3(resource: Resource) -> JsonObject:
    reference = {"$ref": f"{_V3_REF}{_schema_name(resource)}"}
    content = {media_type: {"schema": {"type": "object"}} for media_type in _patch_types(resource)}
    answer = {"description": "OK", "content": {"application/json": {"schema": reference}}}
    return {
        "patch": {
            "parameters": [
                {"name": name, "in": "query", "schema": {"type": kind}}
                for name, kind in _PARAMETERS
            ],
            "requestBody": {"content": content, "required": True},
            "responses": {"200": answer},
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": _kind(resource),
        }
    }


def _item_v2(resource: Resource) -> JsonObject:
    reference = {"$ref": f"{_V2_REF}{_schema_name(resource)}"}
    body = {"name": "body", "in": "body", "required": True, "schema": {"type": "object"}}
    query = [{"name": name, "in": "query", "type": kind} for name, kind in _PARAMETERS]
    return {
        "patch": {
            "consumes": _patch_types(resource),
            "produces": ["application/json"],
            "parameters": [body, *query],
            "responses": {"200": {"description": "OK", "schema": reference}},
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": _kind(resource),
        }
    }
