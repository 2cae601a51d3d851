"""The rules of secrets, config maps, nodes and leases."""

import base64
import json
from collections.abc import Callable, Mapping

from cluster.kube_api import names
from cluster.kube_api.field_errors import FieldError, forbidden, invalid, required, too_long
from cluster.kube_api.objects import (
    JsonObject,
    integer_at,
    list_at,
    member,
    object_at,
    same,
    string_at,
)
from cluster.kube_api.validation.checks import immutable_errors

DATA_BYTES_MAX = 1 << 20
_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_ACCOUNT = "kubernetes.io/service-account.name"
_FROZEN = "field is immutable when `immutable` is set"


def _key_errors(obj: JsonObject, *fields: str) -> list[FieldError]:
    errors = []
    size = 0
    for field in fields:
        for key, value in object_at(obj, field).items():
            errors += [invalid(f"{field}[{key}]", key, one) for one in names.config_key(key)]
            size += len(str(value).encode())
    if size > DATA_BYTES_MAX * 4 // 3:
        errors.append(too_long(fields[0], DATA_BYTES_MAX))
    return errors


def _config_map(obj: JsonObject) -> list[FieldError]:
    errors = _key_errors(obj, "data", "binaryData")
    both = object_at(obj, "data").keys() & object_at(obj, "binaryData").keys()
    return errors + [
        invalid("data", key, f"duplicate of key present in binaryData: {key}") for key in both
    ]


def _frozen_errors(new: JsonObject, old: JsonObject, *fields: str) -> list[FieldError]:
    if member(old, "immutable") is not True:
        return []
    errors = []
    if member(new, "immutable") is not True:
        errors.append(forbidden("immutable", _FROZEN))
    return errors + [
        forbidden(name, _FROZEN)
        for name in fields
        if not same(member(new, name), member(old, name))
    ]


def _config_map_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    return _frozen_errors(new, old, "data", "binaryData")


def _secret(obj: JsonObject) -> list[FieldError]:
    errors = _key_errors(obj, "data")
    kind, data = string_at(obj, "type"), object_at(obj, "data")
    errors += [required(f"data[{key}]") for key in _NEEDED.get(kind, ()) if key not in data]
    if kind == "kubernetes.io/service-account-token":
        if not object_at(obj, "metadata", "annotations").get(_ACCOUNT):
            errors.append(required(f"metadata.annotations[{_ACCOUNT}]"))
    elif kind == "kubernetes.io/basic-auth":
        if not {"username", "password"} & data.keys():
            errors += [required("data[username]"), required("data[password]")]
    elif kind == "kubernetes.io/dockerconfigjson" and ".dockerconfigjson" in data:
        errors += _json_errors(str(data[".dockerconfigjson"]), "data[.dockerconfigjson]")
    return errors


def _json_errors(encoded: str, path: str) -> list[FieldError]:
    try:
        json.loads(base64.b64decode(encoded))
    except (ValueError, RecursionError) as error:
        return [invalid(path, "<secret contents redacted>", str(error))]
    return []


def _secret_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    return immutable_errors(new, old, "", "type") + _frozen_errors(new, old, "data")


def _node_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    after, before = object_at(new, "spec"), object_at(old, "spec")
    errors = []
    had, wanted = list_at(before, "podCIDRs"), list_at(after, "podCIDRs")
    if had and had != wanted:
        why = 'node updates may not change podCIDR except from "" to valid'
        errors.append(forbidden("spec.podCIDRs", why))
    identity = string_at(before, "providerID")
    if identity and identity != string_at(after, "providerID"):
        why = 'node updates may not change providerID except from "" to valid'
        errors.append(forbidden("spec.providerID", why))
    return errors


def _lease(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = []
    duration = member(spec, "leaseDurationSeconds")
    if duration is not None and integer_at(spec, "leaseDurationSeconds") <= 0:
        errors.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    transitions = member(spec, "leaseTransitions")
    if transitions is not None and integer_at(spec, "leaseTransitions") < 0:
        why = "must be greater than or equal to 0"
        errors.append(invalid("spec.leaseTransitions", transitions, why))
    return errors


CHECKS: Mapping[tuple[str, str], Callable[[JsonObject], list[FieldError]]] = {
    ("", "ConfigMap"): _config_map,
    ("", "Secret"): _secret,
    ("coordination.k8s.io", "Lease"): _lease,
}
UPDATE_CHECKS: Mapping[tuple[str, str], Callable[[JsonObject, JsonObject], list[FieldError]]] = {
    ("", "ConfigMap"): _config_map_update,
    ("", "Secret"): _secret_update,
    ("", "Node"): _node_update,
}
