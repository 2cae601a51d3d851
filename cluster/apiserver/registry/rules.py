"""What `cluster.kube_api` says of a resource's objects, in the order in which the verbs need it."""

from collections.abc import Callable

from cluster.apiserver.bodies import Shape
from cluster.apiserver.registry.call import Call
from cluster.apiserver.registry.conversion import conversion_of
from cluster.kube_api import defaults, validation
from cluster.kube_api.apply import Manager, Writer, updated
from cluster.kube_api.apply.managers import UPDATE
from cluster.kube_api.crd import (
    CustomResource,
    custom_decoded,
    custom_defaulted,
    custom_errors,
)
from cluster.kube_api.decoding import decoded
from cluster.kube_api.field_errors import FieldError, Printed
from cluster.kube_api.objects import JsonObject, same
from cluster.kube_api.resource import Kind, Resource
from cluster.kube_api.schema import Schema, schema_of
from cluster.kube_api.tables import printer_of
from cluster.kube_api.tables.cells import Printer

_OWN_RULES = frozenset({"ephemeralcontainers", "resize"})
"""Subresources that change what the object's own URL may not."""
ZERO_VERSION = Printed("0x0")

Ownership = Callable[[Call, JsonObject, JsonObject | None], JsonObject]
"""From (call, new object, old object or None) to the new object with its managedFields."""


def schema(resource: Resource) -> Schema:
    """Return the structure of a resource's objects."""
    if isinstance(resource, CustomResource):
        return resource.schema
    found = schema_of(resource.gvk)
    assert found is not None, f"{resource.kind} has a schema"
    return found


def shape(resource: Resource) -> Shape:
    """Return what brings bodies into the form of the resource's objects."""
    if isinstance(resource, CustomResource):
        return lambda body: custom_decoded(body, resource)
    return shape_of(resource.gvk)


def shape_of(kind: Kind) -> Shape:
    """Return what brings bodies into the form of a built-in kind."""
    structure = schema_of(kind)
    assert structure is not None, f"{kind} has a schema"
    return lambda body: decoded(body, structure, kind)


def defaulted(resource: Resource, obj: JsonObject) -> JsonObject:
    """Return the object with the values that its kind takes where none is given."""
    if isinstance(resource, CustomResource):
        return custom_defaulted(obj, resource)
    return defaults.defaulted(resource.gvk, obj)


def create_errors(resource: Resource, obj: JsonObject) -> list[FieldError]:
    """Return what is wrong with a new object, beside its metadata."""
    if isinstance(resource, CustomResource):
        return custom_errors(obj, resource)
    return validation.create_errors(resource.gvk, obj)


def update_errors(
    resource: Resource, new: JsonObject, old: JsonObject, *, subresource: str
) -> list[FieldError]:
    """Return what is wrong with a changed object, beside its metadata."""
    if isinstance(resource, CustomResource):
        return custom_errors(new, resource, old)
    if subresource in _OWN_RULES:
        return []
    return validation.update_errors(resource.gvk, new, old)


def stored_form(call: Call, obj: JsonObject) -> JsonObject:
    """Return the object as it is stored: in the version that the kind is stored in."""
    if isinstance(call.resource, CustomResource):
        return obj | {"apiVersion": _stored_version(call, call.resource)}
    conversion = conversion_of(call.resource)
    return obj if conversion is None else conversion.to_stored(obj)


def _stored_version(call: Call, resource: CustomResource) -> str:
    """Return the version that objects are stored in; one that is not served has no say here."""
    if resource.is_stored:
        return resource.api_version
    place = (resource.group, resource.plural)
    others = (one for one in call.services.resources if (one.group, one.plural) == place)
    stored = (one for one in others if isinstance(one, CustomResource) and one.is_stored)
    return next(stored, resource).api_version


def served_form(resource: Resource, obj: JsonObject) -> JsonObject:
    """Return a stored object as `resource` serves it."""
    if isinstance(resource, CustomResource):
        return custom_defaulted(obj | {"apiVersion": resource.api_version}, resource)
    conversion = conversion_of(resource)
    return obj if conversion is None else conversion.to_served(obj)


def is_stored_form(resource: Resource) -> bool:
    """Whether what is stored is served as it is."""
    return not resource.is_custom and conversion_of(resource) is None


def printer(resource: Resource) -> Printer:
    """Return how tables show a resource's objects."""
    return resource.printer if isinstance(resource, CustomResource) else printer_of(resource)


def owned_by_update(call: Call, new: JsonObject, old: JsonObject | None) -> JsonObject:
    """Note that the manager of a create or update owns what it set."""
    return updated(new, old, schema(call.resource), writer(call, UPDATE))


def owned_already(call: Call, new: JsonObject, old: JsonObject | None) -> JsonObject:
    """Keep what an apply has noted."""
    return new


def writer(call: Call, operation: str) -> Writer:
    """Return who writes, as managedFields name them."""
    manager = Manager(call.manager, operation, call.resource.api_version, call.subresource)
    return Writer(manager, call.services.now())


def is_same(new: JsonObject, old: JsonObject) -> bool:
    """Whether there is nothing to write; when fields were last managed does not count."""
    return same(_without_times(new), _without_times(old))


def _without_times(obj: JsonObject) -> JsonObject:
    managed = obj["metadata"].get("managedFields")
    if not managed:
        return obj
    timeless = [{k: v for k, v in entry.items() if k != "time"} for entry in managed]
    return obj | {"metadata": obj["metadata"] | {"managedFields": timeless}}
