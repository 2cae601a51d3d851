"""The rules of volumes, claims and classes."""

from collections.abc import Callable, Mapping

from cluster.kube_api.field_errors import FieldError, forbidden, not_supported, required
from cluster.kube_api.objects import JsonObject, list_at, member, object_at, same, string_at
from cluster.kube_api.quantity import parse_quantity
from cluster.kube_api.validation.checks import immutable_errors

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def _mode_errors(spec: JsonObject) -> list[FieldError]:
    modes = list_at(spec, "accessModes")
    if not modes:
        return [required("spec.accessModes", "at least 1 access mode is required")]
    return [not_supported("spec.accessModes", mode, _MODES) for mode in modes if mode not in _MODES]


def _claim(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = _mode_errors(spec)
    if not object_at(spec, "resources", "requests").get("storage"):
        errors.append(required("spec.resources[storage]"))
    return errors


_CLAIM_FIXED = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for"
    " bound claims"
)


def _claim_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    after, before = object_at(new, "spec"), object_at(old, "spec")
    if not same(_fixed(after, before), _fixed(before, before)):
        return [forbidden("spec", _CLAIM_FIXED)]
    wanted, had = (
        one.get("resources", {}).get("requests", {}).get("storage", "0") for one in (after, before)
    )
    status = object_at(old, "status", "capacity").get("storage", had)
    if parse_quantity(wanted) < parse_quantity(status):
        why = "field can not be less than status.capacity"
        return [forbidden("spec.resources.requests.storage", why)]
    return []


def _fixed(spec: JsonObject, before: JsonObject) -> JsonObject:
    """Return what stays; an unbound claim may still be given its volume, once."""
    free = {"resources", "volumeAttributesClassName"}
    if not string_at(before, "volumeName"):
        free.add("volumeName")
    return {name: value for name, value in spec.items() if name not in free}


def _volume(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = _mode_errors(spec)
    if not object_at(spec, "capacity").get("storage"):
        errors.append(required("spec.capacity"))
    return errors


def _storage_class(obj: JsonObject) -> list[FieldError]:
    return [] if string_at(obj, "provisioner") else [required("provisioner")]


def _class_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors = [
        forbidden(name, f"updates to {name} are forbidden.")
        for name in ("parameters", "provisioner", "reclaimPolicy")
        if member(new, name) != member(old, name)
    ]
    return errors + immutable_errors(new, old, "", "volumeBindingMode")


CHECKS: Mapping[tuple[str, str], Callable[[JsonObject], list[FieldError]]] = {
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("storage.k8s.io", "StorageClass"): _storage_class,
}
UPDATE_CHECKS: Mapping[tuple[str, str], Callable[[JsonObject, JsonObject], list[FieldError]]] = {
    ("", "PersistentVolumeClaim"): _claim_update,
    ("storage.k8s.io", "StorageClass"): _class_update,
}
