"""CustomResourceDefinitions: their own rules, their status, and the resources that they make."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.kube_api import names
from cluster.kube_api.catalogue import READ_WRITE, SCALE
from cluster.kube_api.crd.structural import structural_errors
from cluster.kube_api.field_errors import FieldError, duplicate, forbidden, invalid, required
from cluster.kube_api.metadata import IMMUTABLE
from cluster.kube_api.objects import (
    JsonObject,
    list_at,
    member,
    object_at,
    string_at,
)
from cluster.kube_api.resource import Kind, Resource, Subresource
from cluster.kube_api.schema import OBJECT_META, Schema
from cluster.kube_api.tables import custom_printer
from cluster.kube_api.tables.cells import Printer
from cluster.kube_api.tables.json_path import PathSyntaxError, parse_path

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where an object keeps what its Scale shows; `label_selector` may be empty."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    label_selector: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomResource(Resource):
    """One served version of a custom resource."""

    schema: Schema
    """The structure of whole objects, metadata included."""
    open_api: JsonObject
    """The schema as its author wrote it."""
    printer: Printer
    scale: ScalePaths | None = None
    is_stored: bool = False
    """Whether objects are stored in this version."""
    deprecation: str = ""
    """What clients are warned of, if the version is deprecated."""


def custom_resources(definition: JsonObject) -> list[CustomResource]:
    """Return the versions that a definition serves, in the order of preference of discovery."""
    made = [
        _version(definition, version)
        for version in list_at(definition, "spec", "versions")
        if version.get("served") is True
    ]
    return sorted(made, key=lambda one: version_priority(one.version))


_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")
_STABILITY = {None: 0, "beta": 1, "alpha": 2}


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Return a key that sorts as Kubernetes prefers: v2, v1, v1beta1, v1alpha1, others by name."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return len(_STABILITY), 0, 0, version
    return _STABILITY[found[2]], -int(found[1]), -int(found[3] or 0), ""


def _version(definition: JsonObject, version: JsonObject) -> CustomResource:
    spec = object_at(definition, "spec")
    accepted = object_at(definition, "spec", "names")
    group, name = string_at(spec, "group"), string_at(version, "name")
    kind = Kind(group, name, string_at(accepted, "kind"))
    subresources = object_at(version, "subresources")
    paths = [string_at(one, "jsonPath") for one in list_at(version, "selectableFields")]
    open_api = object_at(version, "schema", "openAPIV3Schema")
    properties = object_at(open_api, "properties") | _TYPE_META
    return CustomResource(
        group=group,
        version=name,
        kind=kind.kind,
        plural=string_at(accepted, "plural"),
        singular=string_at(accepted, "singular") or kind.kind.lower(),
        list_kind=string_at(accepted, "listKind") or f"{kind.kind}List",
        short_names=tuple(list_at(accepted, "shortNames")),
        categories=tuple(list_at(accepted, "categories")),
        is_namespaced=string_at(spec, "scope") != "Cluster",
        subresources=_subresources(subresources, kind),
        key_prefix=f"{group}/{string_at(accepted, 'plural')}",
        fields={path.removeprefix("."): path.removeprefix(".") for path in paths},
        tracks_generation=True,
        needs_resource_version=True,
        schema=Schema(open_api | {"properties": properties}),
        open_api=open_api,
        printer=custom_printer(list_at(version, "additionalPrinterColumns")),
        scale=_scale(object_at(subresources, "scale")) if "scale" in subresources else None,
        is_stored=version.get("storage") is True,
        deprecation=_deprecation(version, kind),
    )


_TYPE_META = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"$ref": f"#/definitions/{OBJECT_META}"},
}


def _deprecation(version: JsonObject, kind: Kind) -> str:
    if version.get("deprecated") is not True:
        return ""
    given = string_at(version, "deprecationWarning")
    return given or f"{kind.api_version} {kind.kind} is deprecated"


def _subresources(declared: JsonObject, kind: Kind) -> tuple[Subresource, ...]:
    made = []
    if declared.get("scale") is not None:
        made.append(Subresource("scale", READ_WRITE, SCALE))
    if declared.get("status") is not None:
        made.append(Subresource("status", READ_WRITE, kind))
    return tuple(made)


def _scale(paths: JsonObject) -> ScalePaths:
    return ScalePaths(
        *(
            tuple(filter(None, string_at(paths, name).split(".")))
            for name in ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
        )
    )


def definition_errors(definition: JsonObject) -> list[FieldError]:
    """Return what is wrong with a definition."""
    spec = object_at(definition, "spec")
    group, plural = string_at(spec, "group"), string_at(spec, "names", "plural")
    errors = []
    if string_at(definition, "metadata", "name") != f"{plural}.{group}":
        name = string_at(definition, "metadata", "name")
        errors.append(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    errors += [invalid("spec.group", group, one) for one in names.dns_subdomain(group)]
    if "." not in group:
        errors.append(invalid("spec.group", group, "should be a domain with at least one dot"))
    errors += _names_errors(object_at(spec, "names"))
    if string_at(spec, "scope") not in ("Cluster", "Namespaced"):
        errors.append(required("spec.scope"))
    if string_at(spec, "conversion", "strategy") == "Webhook":
        errors.append(
            forbidden("spec.conversion.strategy", "webhook conversion is not served here")
        )
    if spec.get("preserveUnknownFields") is True:
        errors.append(invalid("spec.preserveUnknownFields", True, "must be false"))  # noqa: FBT003
    return errors + _versions_errors(list_at(spec, "versions"))


def _names_errors(declared: JsonObject) -> list[FieldError]:
    errors = []
    for name in ("plural", "singular"):
        value = string_at(declared, name)
        errors += [invalid(f"spec.names.{name}", value, one) for one in names.dns_1035_label(value)]
    for name in ("kind", "listKind"):
        value = string_at(declared, name)
        mixed = "may have mixed case, but should otherwise match: "
        problems = names.dns_1035_label(value.lower())
        errors += [invalid(f"spec.names.{name}", value, mixed + one) for one in problems]
    if string_at(declared, "kind") == string_at(declared, "listKind"):
        why = "kind and listKind may not be the same"
        errors.append(invalid("spec.names.listKind", string_at(declared, "listKind"), why))
    return errors


def _versions_errors(versions: list[Any]) -> list[FieldError]:
    errors = []
    seen: set[str] = set()
    stored = [version for version in versions if version.get("storage") is True]
    if len(stored) != 1:
        why = "must have exactly one version marked as storage version"
        errors.append(invalid("spec.versions", versions, why))
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        name = string_at(version, "name")
        errors += [invalid(f"{path}.name", name, one) for one in names.dns_1035_label(name)]
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
        schema = member(version, "schema", "openAPIV3Schema")
        if not isinstance(schema, Mapping):
            errors.append(required(f"{path}.schema.openAPIV3Schema", "schemas are required"))
        else:
            errors += structural_errors(schema, f"{path}.schema.openAPIV3Schema")
        errors += _path_errors(version, path)
    return errors


def _path_errors(version: JsonObject, path: str) -> list[FieldError]:
    errors = []
    for index, column in enumerate(list_at(version, "additionalPrinterColumns")):
        where = f"{path}.additionalPrinterColumns[{index}].jsonPath"
        text = string_at(column, "jsonPath")
        try:
            parse_path(text)
        except PathSyntaxError as error:
            errors.append(invalid(where, text, str(error)))
    scale = member(version, "subresources", "scale")
    for name in ("specReplicasPath", "statusReplicasPath") if scale is not None else ():
        text = string_at(scale, name)
        root = "." + name.partition("Replicas")[0] + "."
        if not text.startswith(root):
            where = f"{path}.subresources.scale.{name}"
            errors.append(invalid(where, text, f"should be a json path under {root[:-1]}"))
    return errors


def definition_update_errors(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Return what an established definition must not change."""
    errors = definition_errors(new)
    for path in (("group",), ("scope",), ("names", "plural"), ("names", "kind")):
        value = member(new, "spec", *path)
        if value != member(old, "spec", *path):
            errors.append(invalid(f"spec.{'.'.join(path)}", value, IMMUTABLE))
    served = {string_at(version, "name") for version in list_at(new, "spec", "versions")}
    for index, version in enumerate(list_at(new, "status", "storedVersions")):
        if version not in served:
            why = f"must appear in spec.versions: {version}"
            errors.append(invalid(f"status.storedVersions[{index}]", version, why))
    return errors


def established(definition: JsonObject, others: Iterable[JsonObject], now: str) -> JsonObject:
    """Return a definition with its status beside the `others`: accepted, or in conflict.

    The names of an older definition stand; a later one with the same is told so.
    """
    spec = object_at(definition, "spec")
    wanted = object_at(spec, "names")
    clash = _clash(definition, others)
    stored = [string_at(one, "name") for one in list_at(spec, "versions") if one.get("storage")]
    before = object_at(definition, "status")
    versions = list(dict.fromkeys([*list_at(before, "storedVersions"), *stored]))
    accepted = {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": ("True", "InitialNamesAccepted", "the initial names have been accepted"),
    }
    if clash:
        accepted = {
            "NamesAccepted": ("False", "KindConflict", clash),
            "Established": ("False", "NotAccepted", "not all names are accepted"),
        }
    conditions = [_condition(before, (kind, *said), now) for kind, said in accepted.items()]
    kept = [one for one in list_at(before, "conditions") if one.get("type") not in accepted]
    status = {
        "conditions": conditions + kept,
        "acceptedNames": {"plural": "", "kind": ""} if clash else wanted,
        "storedVersions": versions,
    }
    return definition | {"status": status}


def is_established(definition: JsonObject) -> bool:
    """Whether a definition's resources are served."""
    return any(
        one.get("type") == "Established" and one.get("status") == "True"
        for one in list_at(definition, "status", "conditions")
    )


def _condition(before: JsonObject, said: tuple[str, str, str, str], now: str) -> JsonObject:
    """Return a condition of (type, status, reason, message), with the time of its last change."""
    names = ("type", "status", "reason", "message")
    for one in list_at(before, "conditions"):
        if (one.get("type"), one.get("status")) == said[:2]:
            now = string_at(one, "lastTransitionTime") or now
    return dict(zip(names, said, strict=True)) | {"lastTransitionTime": now}


def _clash(definition: JsonObject, others: Iterable[JsonObject]) -> str:
    group = string_at(definition, "spec", "group")
    name = string_at(definition, "metadata", "name")
    kind = string_at(definition, "spec", "names", "kind")
    for other in others:
        is_other = string_at(other, "metadata", "name") != name
        if is_other and string_at(other, "spec", "group") == group and is_established(other):
            taken = object_at(other, "status", "acceptedNames")
            if string_at(taken, "kind") == kind or string_at(taken, "listKind") == kind:
                return f'"{kind}" is already in use'
    return ""
