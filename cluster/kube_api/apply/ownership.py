"""What a write means for who owns what, and what an apply makes of an object.

An *update* (create, PUT, any patch but apply) owns all that it changed, and others lose that. An
*apply* says what its manager wants, whole: it conflicts with others who own another value there,
shares what is equal, and gives up what it no longer mentions, which goes if nobody else owns it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cluster.kube_api.apply import managers as entries
from cluster.kube_api.apply import paths
from cluster.kube_api.apply.managers import APPLY, UPDATE, Manager, Managers, Owned, union
from cluster.kube_api.apply.paths import Path, PathSet
from cluster.kube_api.apply.structure import (
    Difference,
    StructureError,
    difference,
    field_set,
    merged,
    removed,
)
from cluster.kube_api.errors import ApiError, Cause, apply_conflict, bad_request
from cluster.kube_api.objects import JsonObject, JsonValue, object_at, string_at
from cluster.kube_api.resource import Kind
from cluster.kube_api.schema import Schema

BEFORE_FIRST_APPLY = "before-first-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"
_UNTRACKED_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "generateName",
)
_UNTRACKED: PathSet = frozenset(
    {("f:apiVersion",), ("f:kind",), *(("f:metadata", f"f:{n}") for n in _UNTRACKED_METADATA)}
)
_METADATA: Path = ("f:metadata",)


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, and when."""

    manager: Manager
    now: str


def updated(new: JsonObject, live: JsonObject | None, schema: Schema, writer: Writer) -> JsonObject:
    """Return `new`, the result of an update, with its managedFields.

    `live` is what is stored, None at a create. An object that nobody manages stays so, until it is
    applied to; a client may also set managedFields itself, or empty them.
    """
    sent = object_at(new, "metadata").get("managedFields")
    if live is not None and entries.is_reset(sent):
        return _with_managers(new, {})
    managers = _readable(sent) or _readable(_stored(live))
    if live is not None and not managers:
        return _with_managers(new, {})
    before = _empty_like(new, schema) if live is None else live
    changes = _tracked(difference(_bare(before), _bare(new), schema))
    left = _after_changes(managers, changes, except_for=None)
    if changes.taken:
        own = left.get(writer.manager, Owned(frozenset())).paths
        left[writer.manager] = Owned(own | changes.taken, writer.now)
    return _with_managers(new, entries.capped(_not_empty(left)))


def applied(
    config: JsonObject,
    live: JsonObject | None,
    schema: Schema,
    writer: Writer,
    *,
    force: bool = False,
) -> JsonObject:
    """Return what an apply of `config`, a `configuration`, makes of `live` (None: nothing yet).

    Raises:
        ApiError: 409, other managers own fields with other values; 500, a list repeats a key.
    """
    manager, now = writer.manager, writer.now
    kind = Kind(*_split(manager.api_version), string_at(config, "kind"))
    base = {} if live is None else live
    managers = _readable(_stored(live))
    if live is not None and not managers:
        managers = _before_first_apply(live, schema, writer)
    before = _typed_set(config, schema, kind)
    last = managers.get(manager, Owned(frozenset()))
    managers[manager] = Owned(before, last.time or now)
    result = merged(_bare(base), _bare(config), schema)
    gone = _given_up(last.paths, managers.values())
    result = removed(result, gone, schema)
    changes = _tracked(difference(_bare(base), result, schema))
    conflicts = _conflicts(managers, changes, manager)
    if conflicts and not force and not _are_from_client_side(conflicts, live, schema, manager):
        raise apply_conflict(_causes(conflicts))
    left = _after_changes(managers, changes, except_for=manager)
    if before != last.paths or changes.taken or changes.removed:
        left[manager] = replace(left[manager], time=now)
    made = _with_identity(result, config, base)
    made = _with_managers(made, entries.capped(_not_empty(left)))
    return _with_last_applied(made, live, config, manager)


def configuration(
    config: Mapping[str, Any], name: str, kind: Kind, *, is_status: bool, has_status: bool
) -> JsonObject:
    """Return the part of a body that is applied: its status, or the rest where status is apart.

    What cannot be applied is refused in the order in which Kubernetes looks.

    Raises:
        ApiError: 400.
    """
    api_version, kind_name = string_at(config, "apiVersion"), string_at(config, "kind")
    if not api_version or not kind_name:
        shown = f"{api_version or '/'}, Kind={kind_name or kind.kind}"
        raise bad_request(f"invalid object type: {shown}")
    if not string_at(config, "metadata", "name"):
        raise bad_request(
            f"the name of the object ({name} based on URL) was undeterminable:"
            " name must be provided"
        )
    if object_at(config, "metadata").get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    if is_status:
        identity = {
            field: one
            for field, one in object_at(config, "metadata").items()
            if field in _UNTRACKED_METADATA
        }
        head = {"apiVersion": api_version, "kind": kind_name, "metadata": identity}
        return head | ({"status": config["status"]} if "status" in config else {})
    return {field: one for field, one in config.items() if field != "status" or not has_status}


def _split(api_version: str) -> tuple[str, str]:
    group, _, version = api_version.rpartition("/")
    return group, version


def _typed_set(config: JsonObject, schema: Schema, kind: Kind) -> PathSet:
    try:
        found = field_set(config, schema)
    except StructureError as error:
        metadata = object_at(config, "metadata")
        where = f"{string_at(metadata, 'namespace')}/{string_at(metadata, 'name')}"
        raise ApiError(
            500, "", f"failed to create typed patch object ({where}; {kind}): {error}"
        ) from None
    return paths.without(found - {_METADATA}, _UNTRACKED)


def _stored(live: JsonObject | None) -> JsonValue:
    return None if live is None else object_at(live, "metadata").get("managedFields")


def _readable(sent: JsonValue) -> Managers:
    """Return the managers that are there; entries that cannot be read count as none."""
    try:
        return entries.read(sent)
    except entries.ManagedFieldsError:
        return {}


def _bare(obj: JsonObject) -> JsonObject:
    """Return an object without what nobody owns."""
    metadata = {
        name: one
        for name, one in object_at(obj, "metadata").items()
        if name not in _UNTRACKED_METADATA
    }
    bare = {name: one for name, one in obj.items() if name not in ("apiVersion", "kind")}
    return bare | {"metadata": metadata}


def _empty_like(new: JsonObject, schema: Schema) -> JsonObject:
    """Return what an object of the kind is before anything is set: its structs that always are."""
    empty = _empty(new, schema)
    assert isinstance(empty, dict)
    return empty


def _empty(value: JsonValue, schema: Schema) -> JsonValue:
    if not isinstance(value, dict):
        return None
    return {
        name: _empty(one, schema.properties[name])
        for name, one in value.items()
        if name in schema.properties and _is_always_there(one, schema.properties[name])
    }


def _is_always_there(value: JsonValue, schema: Schema) -> bool:
    go = schema.go
    if go is None or go.is_pointer:
        return False
    is_struct = isinstance(value, dict) and "properties" in schema.raw
    is_null_list = go.is_always_printed and isinstance(value, dict | list)
    return is_struct or is_null_list or value is None


def _tracked(changes: Difference) -> Difference:
    return Difference(
        *(
            set(paths.without(frozenset(found - {_METADATA}), _UNTRACKED))
            for found in (changes.added, changes.modified, changes.removed)
        )
    )


def _after_changes(
    managers: Managers, changes: Difference, *, except_for: Manager | None
) -> Managers:
    """Return the managers after they lost what somebody else changed or removed."""
    gone = frozenset(changes.removed)
    taken = changes.taken
    left = {}
    for manager, owned in managers.items():
        kept = paths.without(owned.paths, gone) if gone else owned.paths
        if manager != except_for:
            kept = frozenset(kept - taken)
        left[manager] = owned if kept == owned.paths else replace(owned, paths=kept)
    return left


def _not_empty(managers: Managers) -> Managers:
    return {manager: owned for manager, owned in managers.items() if owned.paths}


def _with_managers(obj: JsonObject, managers: Managers) -> JsonObject:
    metadata = {
        name: one for name, one in object_at(obj, "metadata").items() if name != "managedFields"
    }
    if managers:
        metadata["managedFields"] = entries.written(managers)
    return obj | {"metadata": metadata}


def _before_first_apply(live: JsonObject, schema: Schema, writer: Writer) -> Managers:
    """Give what an object has that nobody managed to a manager of its own."""
    changes = _tracked(difference(_empty_like(live, schema), _bare(live), schema))
    if not changes.added:
        return {}
    before = Manager(BEFORE_FIRST_APPLY, UPDATE, writer.manager.api_version)
    return {before: Owned(frozenset(changes.added), writer.now)}


def _given_up(last: PathSet, owned: Iterable[Owned]) -> set[Path]:
    """Return what a manager owned, and now neither it nor anybody else owns any part of."""
    kept = paths.with_all_parents(union(owned)) | {_METADATA}
    return {path for path in paths.with_named_parents(last) if path not in kept}


def _conflicts(
    managers: Managers, changes: Difference, applier: Manager
) -> list[tuple[Manager, Path]]:
    return [
        (manager, path)
        for manager, owned in sorted(managers.items())
        if manager != applier
        for path in sorted(owned.paths & changes.taken)
    ]


def _causes(conflicts: list[tuple[Manager, Path]]) -> list[Cause]:
    return [
        Cause("FieldManagerConflict", f"conflict with {manager}", paths.text(path))
        for manager, path in conflicts
    ]


def _are_from_client_side(
    conflicts: list[tuple[Manager, Path]],
    live: JsonObject | None,
    schema: Schema,
    manager: Manager,
) -> bool:
    """Whether kubectl takes over what it applied before, from its own side."""
    if manager.name != _KUBECTL or live is None:
        return False
    text = object_at(live, "metadata", "annotations").get(LAST_APPLIED)
    try:
        before = json.loads(text) if isinstance(text, str) else None
        allowed = field_set(before, schema) if isinstance(before, dict) else frozenset()
    except (ValueError, RecursionError):
        return False
    return all(path in allowed for _, path in conflicts)


def _with_identity(result: JsonObject, config: JsonObject, live: JsonObject) -> JsonObject:
    """Return the result with the type, and with the metadata that is not owned by anybody."""
    metadata = {
        name: one
        for name, one in {
            **object_at(config, "metadata"),
            **object_at(live, "metadata"),
        }.items()
        if name in _UNTRACKED_METADATA
    }
    wanted = string_at(config, "metadata", "resourceVersion")
    if wanted:
        metadata["resourceVersion"] = wanted
    head = {"apiVersion": config["apiVersion"], "kind": config["kind"]}
    return head | result | {"metadata": metadata | object_at(result, "metadata")}


def _with_last_applied(
    made: JsonObject, live: JsonObject | None, config: JsonObject, manager: Manager
) -> JsonObject:
    """Keep kubectl's annotation of client-side apply true, where there is one."""
    annotations = object_at(live or {}, "metadata", "annotations")
    if manager.name != _KUBECTL or manager.operation != APPLY or LAST_APPLIED not in annotations:
        return made
    text = json.dumps(config, separators=(",", ":"), ensure_ascii=False) + "\n"
    metadata = object_at(made, "metadata")
    kept = object_at(metadata, "annotations") | {LAST_APPLIED: text}
    return made | {"metadata": metadata | {"annotations": kept}}
