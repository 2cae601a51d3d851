"""What a patch makes of an object."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster.apiserver.bodies import Parsed, Shape, parse_yaml, typed
from cluster.apiserver.negotiation import (
    APPLY_YAML,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
)
from cluster.apiserver.registry import rules
from cluster.apiserver.registry.call import Call
from cluster.kube_api.apply import applied, configuration
from cluster.kube_api.apply.managers import APPLY
from cluster.kube_api.decoding import check_depth, parse_json
from cluster.kube_api.errors import bad_request, invalid_options, unsupported_media_type
from cluster.kube_api.field_errors import forbidden, required
from cluster.kube_api.objects import JsonObject
from cluster.kube_api.patches import json_patch, merge_patch
from cluster.kube_api.resource import Kind, Resource
from cluster.kube_api.schema import Schema, schema_of
from cluster.kube_api.strategic_patch import strategic_merge_patch

PatchFunction = Callable[[JsonObject], JsonObject]
"""From an object as it is served to what the patch makes of it."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch that has been read, but not yet applied."""

    media_type: str
    value: Any


def accepted(*, is_custom: bool) -> list[str]:
    """Return the media types of patches that a resource takes."""
    types = [JSON_PATCH, MERGE_PATCH]
    return [*types, APPLY_YAML] if is_custom else [*types, STRATEGIC_PATCH, APPLY_YAML]


def read(body: bytes, media_type: str, *, kind: str, is_custom: bool) -> Patch:
    """Return the patch that a body holds.

    Raises:
        ApiError: 400, it cannot be read; 415, no patch of this type is taken.
    """
    if media_type not in accepted(is_custom=is_custom):
        raise unsupported_media_type(accepted(is_custom=is_custom))
    if media_type == APPLY_YAML:
        return Patch(media_type, parse_yaml(body, kind))
    if media_type == JSON_PATCH:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise bad_request(f"error decoding patch: {error}") from None
        check_depth(value, kind)
        return Patch(media_type, value)
    value, _ = parse_json(body, kind)
    return Patch(media_type, value)


@dataclass(frozen=True, slots=True)
class Target:
    """What a patch is applied to: a resource's own kind, or its scale."""

    kind: Kind
    schema: Schema
    shape: Shape

    @classmethod
    def of(cls, resource: Resource) -> "Target":
        """Return the resource's own kind."""
        return cls(resource.gvk, rules.schema(resource), rules.shape(resource))

    @classmethod
    def built_in(cls, kind: Kind) -> "Target":
        """Return a built-in kind."""
        schema = schema_of(kind)
        assert schema is not None, f"{kind} has a schema"
        return cls(kind, schema, rules.shape_of(kind))


def function(call: Call, patch: Patch, target: Target) -> PatchFunction:
    """Return what the patch does; its result is decoded as a body is, and tells unknown fields.

    Raises:
        ApiError: 422, it has options that it cannot have.
    """
    if call.options.force is not None and patch.media_type != APPLY_YAML:
        raise invalid_options(
            "PatchOptions", [forbidden("force", "may not be specified for non-apply patch")]
        )

    def apply(obj: JsonObject) -> JsonObject:
        patched = _applied(obj, patch, target.schema)
        if not isinstance(patched, dict):
            raise bad_request("a patch must leave an object")
        return _decoded(call, patched, target)

    return apply


Application = Callable[[JsonObject | None], JsonObject]
"""From what there is (None: nothing yet) to what an apply makes of it, managedFields included."""


def application(call: Call, patch: Patch, *, is_status: bool) -> Application:
    """Return what a server-side apply does.

    Raises:
        ApiError: 400 or 422, it cannot be applied to anything.
    """
    resource, options = call.resource, call.options
    if not options.field_manager:
        problem = required("fieldManager", "is required for apply patch")
        raise invalid_options("PatchOptions", [problem])
    config = configuration(
        patch.value, call.name, resource.gvk, is_status=is_status, has_status=resource.has_status
    )
    target = Target.of(resource)
    _decoded(call, patch.value, target)  # tells unknown fields
    writer = rules.writer(call, APPLY)

    def apply(live: JsonObject | None) -> JsonObject:
        made = applied(config, live, target.schema, writer, force=bool(options.force))
        return target.shape(made)[0]

    return apply


def _applied(obj: JsonObject, patch: Patch, schema: Schema) -> Any:
    if patch.media_type == JSON_PATCH:
        return json_patch(obj, patch.value)
    if patch.media_type == MERGE_PATCH:
        return merge_patch(obj, patch.value)
    return strategic_merge_patch(obj, patch.value, schema)


def _decoded(call: Call, patched: JsonObject, target: Target) -> JsonObject:
    check_depth(patched, target.kind.kind)
    warnings: list[str] = []
    obj = typed(
        Parsed(patched),
        target.kind,
        shape=target.shape,
        field_validation=call.options.field_validation,
        warnings=warnings,
    )
    call.warnings[:] = [*dict.fromkeys([*call.warnings, *warnings])]  # a patch may be made again
    return obj
