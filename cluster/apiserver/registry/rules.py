"""What `cluster.kube_api` says of a resource's objects, in the order in which the verbs need it."""

from collections.abc import Callable

from cluster.apiserver.registry.call import Call
from cluster.kube_api import defaults
from cluster.kube_api.apply import Manager, Writer, updated
from cluster.kube_api.apply.managers import UPDATE
from cluster.kube_api.field_errors import FieldError, Printed
from cluster.kube_api.objects import JsonObject, same
from cluster.kube_api.resource import Resource
from cluster.kube_api.schema import Schema, schema_of
from cluster.kube_api.tables import custom_printer, printer_of
from cluster.kube_api.tables.cells import Printer

ZERO_VERSION = Printed("0x0")

Ownership = Callable[[Call, JsonObject, JsonObject | None], JsonObject]
"""From (call, new object, old object or None) to the new object with its managedFields."""


def schema(resource: Resource) -> Schema | None:
    """Return the structure of a resource's objects; None for a custom one without."""
    return None if resource.is_custom else schema_of(resource.gvk)


def defaulted(resource: Resource, obj: JsonObject) -> JsonObject:
    """Return the object with the values that its kind takes where none is given."""
    return obj if resource.is_custom else defaults.defaulted(resource.gvk, obj)


def create_errors(resource: Resource, obj: JsonObject) -> list[FieldError]:
    """Return what is wrong with a new object, beside its metadata."""
    return []


def update_errors(
    resource: Resource, new: JsonObject, old: JsonObject, *, subresource: str
) -> list[FieldError]:
    """Return what is wrong with a changed object, beside its metadata."""
    return []


def stored_form(resource: Resource, obj: JsonObject) -> JsonObject:
    """Return the object as it is stored: in the version that the kind is stored in."""
    return obj


def served_form(resource: Resource, obj: JsonObject) -> JsonObject:
    """Return a stored object as `resource` serves it."""
    return obj


def is_stored_form(resource: Resource) -> bool:
    """Whether what is stored is served as it is."""
    return True


def printer(resource: Resource) -> Printer:
    """Return how tables show a resource's objects."""
    return custom_printer([]) if resource.is_custom else printer_of(resource)


def owned_by_update(call: Call, new: JsonObject, old: JsonObject | None) -> JsonObject:
    """Note that the manager of a create or update owns what it set."""
    structure = schema(call.resource)
    return new if structure is None else updated(new, old, structure, writer(call, UPDATE))


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
