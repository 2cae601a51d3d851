"""The structure of kinds: one type for the built-in definitions and for custom resources' schemas.

The definitions are those of Kubernetes' OpenAPI document, as the package kubernetes-validate has
them, brought back to their published form. `data/go_fields.txt` adds what OpenAPI does not say: how
Go's types print, and their numbers in protobuf (see `go_fields`).
"""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cluster.kube_api.catalogue import definition_name
from cluster.kube_api.go_fields import GoField, go_fields
from cluster.kube_api.objects import JsonObject, list_at, object_at, string_at
from cluster.kube_api.resource import Kind

RELEASE = "v1.33.0"
_REF = "#/definitions/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
OBJECT_META = f"{_META}.ObjectMeta"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


class Form(Enum):
    """What a value is, as far as its treatment goes."""

    STRUCT = "object with named fields"
    MAP = "object with free keys"
    LIST = "array"
    STRING = "string"
    BYTES = "base64 in a string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time in seconds"
    MICRO_TIME = "time in microseconds"
    QUANTITY = "quantity"
    INT_OR_STRING = "integer or string"
    RAW = "anything"


class Schema:
    """A node of a structure. Parts are made when they are first asked for: definitions recur."""

    def __init__(
        self, raw: Mapping[str, Any], *, name: str = "", go: GoField | None = None
    ) -> None:
        self.raw = raw
        self.name = name
        """The name of its definition, or empty."""
        self.go = go
        """How Go treats it as a field of the struct around it, where that is known."""

    @cached_property
    def form(self) -> Form:
        """What its values are."""
        special = _SPECIAL.get(self.name)
        if special is not None:
            return special
        if self.raw.get("x-kubernetes-int-or-string"):
            return Form.INT_OR_STRING
        kind, form = self.raw.get("type"), self.raw.get("format")
        if kind == "object":
            return self._object_form()
        return _FORMS.get((kind, form)) or _FORMS.get((kind, None), Form.RAW)

    def _object_form(self) -> Form:
        if "properties" in self.raw or self.raw.get("x-kubernetes-embedded-resource"):
            return Form.STRUCT
        if self.raw.get("additionalProperties"):
            return Form.MAP
        return Form.RAW

    @cached_property
    def properties(self) -> Mapping[str, "Schema"]:
        """The named fields."""
        flags = go_fields(self.name)
        return {
            name: _resolved(raw, go=flags.get(name))
            for name, raw in object_at(self.raw, "properties").items()
        }

    @cached_property
    def items(self) -> "Schema":
        """What a list holds."""
        return _resolved(object_at(self.raw, "items"))

    @cached_property
    def values(self) -> "Schema":
        """What a map holds."""
        return _resolved(object_at(self.raw, "additionalProperties"))

    @cached_property
    def required(self) -> frozenset[str]:
        """The fields that have to be there."""
        return frozenset(list_at(self.raw, "required"))

    @cached_property
    def keeps_unknown(self) -> bool:
        """Whether fields that are not named are kept."""
        return self.raw.get("x-kubernetes-preserve-unknown-fields") is True

    @cached_property
    def merge_key(self) -> str:
        """The field that a strategic merge patch finds elements of this list by, or empty."""
        return string_at(self.raw, "x-kubernetes-patch-merge-key")

    @cached_property
    def patch_strategies(self) -> frozenset[str]:
        """`merge`, `retainKeys`: what a strategic merge patch does here, beside replacing."""
        return frozenset(
            filter(None, string_at(self.raw, "x-kubernetes-patch-strategy").split(","))
        )

    @cached_property
    def list_type(self) -> str:
        """`map`, `set` or `atomic`: who owns what of this list, to server-side apply."""
        return string_at(self.raw, "x-kubernetes-list-type") or "atomic"

    @cached_property
    def list_keys(self) -> tuple[str, ...]:
        """The fields that tell the elements of a `map` list apart."""
        return tuple(list_at(self.raw, "x-kubernetes-list-map-keys"))

    @cached_property
    def is_atomic(self) -> bool:
        """Whether an object is owned as a whole, to server-side apply."""
        return self.raw.get("x-kubernetes-map-type") == "atomic"

    @property
    def go_name(self) -> str:
        """The name that Go's messages give its type: `ConfigMap`, `int32`, `[]v1.Container`."""
        if self.form is Form.LIST:
            return f"[]{self.items.go_name}"
        if self.form is Form.MAP:
            return f"map[string]{self.values.go_name}"
        if self.name:
            return ".".join(self.name.split(".")[-2:])
        return _GO_NAMES.get(self.form) or string_at(self.raw, "format") or "int64"


_SPECIAL = {
    _QUANTITY: Form.QUANTITY,
    _INT_OR_STRING: Form.INT_OR_STRING,
    f"{_META}.Time": Form.TIME,
    f"{_META}.MicroTime": Form.MICRO_TIME,
}
_FORMS: Mapping[tuple[Any, Any], Form] = {
    ("string", None): Form.STRING,
    ("string", "byte"): Form.BYTES,
    ("string", "int-or-string"): Form.INT_OR_STRING,
    ("integer", None): Form.INTEGER,
    ("number", None): Form.NUMBER,
    ("boolean", None): Form.BOOLEAN,
    ("array", None): Form.LIST,
}
_GO_NAMES = {
    Form.STRING: "string",
    Form.BYTES: "[]uint8",
    Form.BOOLEAN: "bool",
    Form.NUMBER: "float64",
}

ANYTHING = Schema({})


def _resolved(raw: Mapping[str, Any], *, go: GoField | None = None) -> Schema:
    reference = raw.get("$ref")
    if not isinstance(reference, str):
        return Schema(raw, go=go)
    name = reference.removeprefix(_REF)
    beside = {key: value for key, value in raw.items() if key != "$ref"}
    return Schema(definitions().get(name, {}) | beside, name=name, go=go)


@cache
def definition(name: str) -> Schema:
    """Return the schema of a built-in definition.

    Raises:
        KeyError: there is none of that name.
    """
    return Schema(definitions()[name], name=name)


@cache
def definitions() -> Mapping[str, JsonObject]:
    """Return the definitions of Kubernetes' OpenAPI document, by name."""
    stored = json.loads(_source().read_bytes())["$defs"]
    return {name: _published(raw, name) for name, raw in stored.items()}


def _source() -> Path:
    package = find_spec("kubernetes_validate")  # found, not imported: its code is not needed
    places = package.submodule_search_locations if package is not None else None
    if not places:
        raise ModuleNotFoundError(
            "kubernetes-validate is not installed: pip install kvstore-raft[kube]"
        )
    return Path(places[0]) / "kubernetes-json-schema" / f"{RELEASE}-local" / "_definitions.json"


def _published(raw: Any, name: str) -> Any:
    """Undo what kubernetes-validate did to make JSON Schema of OpenAPI."""
    if name in (_QUANTITY, _INT_OR_STRING):
        form = {"format": "int-or-string"} if name == _INT_OR_STRING else {}
        return (
            {key: value for key, value in raw.items() if key != "oneOf"} | {"type": "string"} | form
        )
    published = _without_nulls(raw)
    for field in ("apiVersion", "kind"):
        object_at(published, "properties", field).pop("enum", None)
    return published


def _without_nulls(raw: Any) -> Any:
    if isinstance(raw, list):
        return [_without_nulls(one) for one in raw]
    if not isinstance(raw, dict):
        return raw
    changed = {key: _without_nulls(value) for key, value in raw.items()}
    if isinstance(changed.get("type"), list):
        changed["type"] = next(one for one in changed["type"] if one != "null")
    if isinstance(changed.get("$ref"), str):
        changed["$ref"] = changed["$ref"].replace("#/$defs/", _REF)
    return changed


_META_KINDS = frozenset(
    {"DeleteOptions", "Status", "CreateOptions", "PatchOptions", "UpdateOptions"}
)
"""Kinds of the API itself, which travel under any group version."""


def schema_of(kind: Kind) -> Schema | None:
    """Return the schema of a built-in kind, whether it has a URL or not; None if there is none."""
    name = definition_name(kind.group, kind.version, kind.kind)
    if kind.kind in _META_KINDS:
        name = f"{_META}.{kind.kind}"
    return definition(name) if name in definitions() else None


def references(raw: Any) -> Iterator[str]:
    """Return the names of the definitions that `raw` refers to, directly."""
    if isinstance(raw, Mapping):
        reference = raw.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_REF)
        for value in raw.values():
            yield from references(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from references(value)
