"""The rules of `metadata`: on create and on update, for every kind."""

from collections.abc import Mapping
from typing import Any

from cluster.kube_api import names
from cluster.kube_api.field_errors import (
    FieldError,
    Printed,
    forbidden,
    invalid,
    required,
    too_long,
)
from cluster.kube_api.objects import JsonObject, list_at, member, object_at, quoted, string_at
from cluster.kube_api.resource import Resource

ANNOTATIONS_BYTES_MAX = 256 * 1024
IMMUTABLE = "field is immutable"
_UNCHANGEABLE = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def metadata_errors(resource: Resource, metadata: Mapping[str, Any]) -> list[FieldError]:
    """Return what is wrong with the metadata of an object that is to be stored."""
    errors = _name_errors(resource, metadata)
    errors += label_errors("metadata.labels", object_at(metadata, "labels"))
    errors += annotation_errors("metadata.annotations", object_at(metadata, "annotations"))
    errors += _owner_errors(list_at(metadata, "ownerReferences"))
    errors += _finalizer_errors(list_at(metadata, "finalizers"))
    return errors


def _name_errors(resource: Resource, metadata: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    base = string_at(metadata, "generateName")
    if base:
        problems = names.as_prefix(resource.name_rule)(base)
        errors += [invalid("metadata.generateName", base, problem) for problem in problems]
    name = string_at(metadata, "name")
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        problems = resource.name_rule(name)
        errors += [invalid("metadata.name", name, problem) for problem in problems]
    namespace = string_at(metadata, "namespace")
    if not resource.is_namespaced:
        if namespace:
            errors.append(forbidden("metadata.namespace", "not allowed on this type"))
    elif not namespace:
        errors.append(required("metadata.namespace"))
    else:
        problems = names.dns_label(namespace)
        errors += [invalid("metadata.namespace", namespace, problem) for problem in problems]
    return errors


def label_errors(path: str, labels: Mapping[str, Any]) -> list[FieldError]:
    """Return what is wrong with keys and values of labels."""
    errors = []
    for key, value in labels.items():
        errors += [invalid(path, key, problem) for problem in names.qualified_name(key)]
        errors += [invalid(path, value, problem) for problem in names.label_value(str(value))]
    return errors


def annotation_errors(path: str, annotations: Mapping[str, Any]) -> list[FieldError]:
    """Return what is wrong with keys and the size of annotations."""
    errors = []
    size = 0
    for key, value in annotations.items():
        errors += [invalid(path, key, problem) for problem in names.qualified_name(key.lower())]
        size += len(key.encode()) + len(str(value).encode())
    if size > ANNOTATIONS_BYTES_MAX:
        errors.append(too_long(path, ANNOTATIONS_BYTES_MAX))
    return errors


def _owner_errors(owners: list[Any]) -> list[FieldError]:
    path = "metadata.ownerReferences"
    errors = []
    for index, owner in enumerate(owners):
        if not string_at(owner, "apiVersion").rpartition("/")[2]:
            errors.append(
                invalid(f"{path}[{index}].apiVersion", string_at(owner, "apiVersion"),
                        "version must not be empty")
            )  # fmt: skip
        errors += [
            invalid(f"{path}[{index}].{field}", "", "must not be empty")
            for field in ("kind", "name", "uid")
            if not string_at(owner, field)
        ]
    controllers = [owner for owner in owners if member(owner, "controller") is True]
    if len(controllers) > 1:
        first, second = (Printed(_shown(owner)) for owner in controllers[:2])
        errors.append(
            invalid(
                path,
                owners,
                'Only one reference can have Controller set to true. Found "true" in references'
                f" for {first} and {second}",
            )
        )
    return errors


def _shown(owner: Any) -> str:
    return f"{string_at(owner, 'kind')}/{string_at(owner, 'name')}"


def _finalizer_errors(finalizers: list[Any]) -> list[FieldError]:
    path = "metadata.finalizers"
    errors = []
    for finalizer in finalizers:
        problems = names.qualified_name(str(finalizer))
        errors += [invalid(path, finalizer, problem) for problem in problems]
    if "foregroundDeletion" in finalizers and "orphan" in finalizers:
        errors.append(
            invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set")
        )
    return errors


def kept_metadata(new: Mapping[str, Any], old: Mapping[str, Any]) -> JsonObject:
    """Return the metadata of an update: what the client left out of the server's part stays."""
    kept = dict(new)
    for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if kept.get(field) is None and old.get(field) is not None:
            kept[field] = old[field]
    for field in ("selfLink", "generateName"):
        kept.pop(field, None)
    if "generateName" in old:
        kept["generateName"] = old["generateName"]
    return kept


def metadata_update_errors(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """Return what an update must not do to metadata, beside the rules of `metadata_errors`."""
    errors = [
        invalid(f"metadata.{field}", new.get(field), IMMUTABLE)
        for field in _UNCHANGEABLE
        if new.get(field) != old.get(field)
        and not (field == "deletionGracePeriodSeconds" and _shortened(new, old))
    ]
    if old.get("deletionTimestamp") is not None:
        added = [
            finalizer
            for finalizer in list_at(new, "finalizers")
            if finalizer not in list_at(old, "finalizers")
        ]
        if added:
            shown = "[]string{" + ", ".join(quoted(str(finalizer)) for finalizer in added) + "}"
            errors.append(
                forbidden(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is being deleted,"
                    f" found new finalizers {shown}",
                )
            )
    return errors


def _shortened(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    wanted, given = new.get("deletionGracePeriodSeconds"), old.get("deletionGracePeriodSeconds")
    return isinstance(wanted, int) and isinstance(given, int) and 0 <= wanted <= given
