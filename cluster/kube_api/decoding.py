"""Bytes or JSON of a client to an object of a built-in kind, as Go's decoder makes and prints it.

Kubernetes' own server reads JSON into Go structs and prints those. What clients see of that: fields
that are not known are dropped (and told, by `fieldValidation`), null is absent, empty fields vanish
or appear, times and quantities have one form, and a wrong type is refused in Go's words. Objects
here are brought into that form once, on their way in.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cluster.kube_api.errors import undecodable, unrecognized
from cluster.kube_api.objects import JsonObject, JsonValue
from cluster.kube_api.quantity import QuantityError, canonical
from cluster.kube_api.resource import Kind
from cluster.kube_api.schema import Form, Schema

DEPTH_MAX = 200
"""Levels of nesting: what the recursive functions of this package may count on."""


class _Duplicated(dict[str, Any]):
    """An object some of whose keys came twice."""

    duplicates: tuple[str, ...] = ()


def parse_json(body: bytes, kind: str) -> tuple[JsonObject, list[str]]:
    """Return the object that `body` is, and the paths of the fields that came twice.

    Raises:
        ApiError: 400; it is no JSON object, or nested too deeply.
    """
    try:
        parsed = json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise unrecognized(kind, _json_problem(body, error)) from None
    if not isinstance(parsed, dict):
        raise unrecognized(kind, f"json: cannot unmarshal {_json_type(parsed)} into Go value")
    check_depth(parsed, kind)
    return parsed, list(_duplicates(parsed, ""))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    marked = _Duplicated(found)
    names = [name for name, _ in pairs]
    marked.duplicates = tuple(dict.fromkeys(name for name in names if names.count(name) > 1))
    return marked


def _json_problem(body: bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "exceeded max depth"
    if not body.strip():
        return "unexpected end of JSON input"
    if isinstance(error, json.JSONDecodeError):
        if error.pos >= len(error.doc.rstrip()):
            return "unexpected end of JSON input"
        return f"invalid character {error.doc[error.pos]!r} at offset {error.pos}"
    return "invalid UTF-8"


def _duplicates(value: JsonValue, path: str) -> list[str]:
    """Return the fields that came twice, if the parser marked any; a plain object has none."""
    found = []
    if isinstance(value, dict):
        if isinstance(value, _Duplicated):
            found += [_joined(path, name) for name in value.duplicates]
        for name, one in value.items():
            found += _duplicates(one, _joined(path, name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            found += _duplicates(one, f"{path}[{index}]")
    return found


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def check_depth(value: JsonValue, kind: str) -> None:
    """Refuse what is nested too deeply for the recursive functions of this package.

    Raises:
        ApiError: 400.
    """
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += [item for item in one.values() if isinstance(item, dict | list)]
            elif isinstance(one, list):
                inner += [item for item in one if isinstance(item, dict | list)]
        if not inner:
            return
        level = inner
    raise unrecognized(kind, "exceeded max depth")


class _Mistyped(Exception):
    """A value has a type that its field cannot take; `text` is Go's complaint."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


# The way to a value: (the way to what holds it, a field's name, a map's key or an index).
_Way = tuple[Any, "str | int | _Key"] | None


class _Key(str):
    """A key of a map on the way: Go's messages about types leave it out."""

    __slots__ = ()


def decoded(body: Mapping[str, Any], schema: Schema, kind: Kind) -> tuple[JsonObject, list[str]]:
    """Return `body` as an object of the kind, and the paths of the fields that it does not know.

    apiVersion and kind are set: clients leave them out where the URL says them.

    Raises:
        ApiError: 400; a field has a value of another type.
    """
    unknown: list[str] = []
    try:
        made = _struct(dict(body), schema, None, unknown)
    except _Mistyped as error:
        raise undecodable(kind.kind, kind.version, error.text) from None
    return {"kind": kind.kind, "apiVersion": kind.api_version} | made | {
        "kind": kind.kind,
        "apiVersion": kind.api_version,
    }, unknown


def _value(value: JsonValue, schema: Schema, way: _Way, unknown: list[str]) -> JsonValue:
    return _READERS[schema.form](value, schema, way, unknown)


def _struct(value: JsonValue, schema: Schema, way: _Way, unknown: list[str]) -> JsonObject:
    if not isinstance(value, dict):
        raise _mistyped(value, schema, way)
    made: JsonObject = {}
    properties = schema.properties
    for name, one in value.items():
        field = properties.get(name)
        if field is None:
            unknown.append(_path((way, name)))
        elif one is not None:
            try:
                read = _READERS[field.form](one, field, (way, name), unknown)
            except _Mistyped as error:
                raise _in_struct(error, schema) from None
            if read or name in _KEPT_EMPTY or not _is_dropped(read, field):
                made[name] = read
    for name, field in _always_printed(schema):
        if name not in made:
            made[name] = _zero(field)
    return made


# An empty list of managers is not none: a client asks with it to forget them.
_KEPT_EMPTY = frozenset({"managedFields"})


def _in_struct(error: _Mistyped, schema: Schema) -> _Mistyped:
    """Name the innermost struct, as Go does; the marker is gone once one has been named."""
    return _Mistyped(error.text.replace("\0", schema.go_name.rpartition(".")[2], 1))


def _is_dropped(value: JsonValue, field: Schema) -> bool:
    """Say whether Go leaves out an empty value of this field."""
    go = field.go
    if go is None or go.is_pointer or go.is_always_printed or field.form in _NEVER_EMPTY:
        return False
    return value in (0, "", False) or value in ([], {})


_NEVER_EMPTY = {
    Form.STRUCT,
    Form.TIME,
    Form.MICRO_TIME,
    Form.QUANTITY,
    Form.INT_OR_STRING,
    Form.RAW,
}


def _always_printed(schema: Schema) -> list[tuple[str, Schema]]:
    found: list[tuple[str, Schema]] | None = schema.__dict__.get("_always_printed")
    if found is None:
        found = [
            (name, field)
            for name, field in schema.properties.items()
            if field.go is not None
            and not field.go.is_pointer
            and (field.go.is_always_printed or field.form in _NEVER_EMPTY - {Form.RAW})
        ]
        schema.__dict__["_always_printed"] = found
    return found


def _zero(field: Schema) -> JsonValue:
    if field.form is Form.STRUCT:
        return _struct({}, field, None, [])
    return _ZEROS.get(field.form)


_ZEROS = {
    Form.STRING: "",
    Form.INTEGER: 0,
    Form.NUMBER: 0,
    Form.BOOLEAN: False,
    Form.QUANTITY: "0",
    Form.INT_OR_STRING: 0,
}


def _map(value: JsonValue, schema: Schema, way: _Way, unknown: list[str]) -> JsonObject:
    if not isinstance(value, dict):
        raise _mistyped(value, schema, way)
    values = schema.values
    read = _READERS[values.form]
    return {
        name: _zero(values) if one is None else read(one, values, (way, _Key(name)), unknown)
        for name, one in value.items()
    }


def _list(value: JsonValue, schema: Schema, way: _Way, unknown: list[str]) -> list[JsonValue]:
    if not isinstance(value, list):
        raise _mistyped(value, schema, way)
    items = schema.items
    read = _READERS[items.form]
    return [
        _zero(items) if one is None else read(one, items, (way, index), unknown)
        for index, one in enumerate(value)
    ]


def _string(value: JsonValue, schema: Schema, way: _Way, _: list[str]) -> str:
    if not isinstance(value, str):
        raise _mistyped(value, schema, way)
    return value


def _boolean(value: JsonValue, schema: Schema, way: _Way, _: list[str]) -> bool:
    if not isinstance(value, bool):
        raise _mistyped(value, schema, way)
    return value


def _integer(value: JsonValue, schema: Schema, way: _Way, _: list[str]) -> int:
    bits = 31 if schema.raw.get("format") == "int32" else 63
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        shown = f" {value}" if isinstance(value, float) else ""
        raise _mistyped(value, schema, way, shown)
    if not -(1 << bits) <= value < 1 << bits:
        raise _mistyped(value, schema, way, f" {value}")
    return value


def _number(value: JsonValue, schema: Schema, way: _Way, _: list[str]) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _mistyped(value, schema, way)
    return value


def _bytes(value: JsonValue, schema: Schema, way: _Way, _: list[str]) -> str:
    if not isinstance(value, str):
        raise _mistyped(value, schema, way)
    text = value.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        at = re.match(r"[A-Za-z0-9+/]*", text)
        raise _Mistyped(f"illegal base64 data at input byte {at.end() if at else 0}") from None
    return text


def _time(value: JsonValue, _: Schema, __: _Way, ___: list[str]) -> str:
    return f"{_moment(value):%Y-%m-%dT%H:%M:%SZ}"


def _micro_time(value: JsonValue, _: Schema, __: _Way, ___: list[str]) -> str:
    return f"{_moment(value):%Y-%m-%dT%H:%M:%S.%fZ}"


_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII
)


def _moment(value: JsonValue) -> datetime:
    found = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        zone = "+00:00" if found[3] == "Z" else found[3]
        fraction = (found[2] or "0")[:6].ljust(6, "0")
        try:
            return datetime.fromisoformat(f"{found[1]}.{fraction}{zone}").astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # a date that no calendar has: refused below, as what is no date at all
    if not isinstance(value, str):
        raise _Mistyped(f"json: cannot unmarshal {_json_type(value)} into Go value of type string")
    layout = "2006-01-02T15:04:05Z07:00"
    raise _Mistyped(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"')


def _quantity(value: JsonValue, _: Schema, __: _Way, ___: list[str]) -> str:
    try:
        return canonical(value)
    except QuantityError as error:
        raise _Mistyped(str(error)) from None


def _int_or_string(value: JsonValue, _: Schema, __: _Way, ___: list[str]) -> int | str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        kind = _json_type(value)
        raise _Mistyped(f"json: cannot unmarshal {kind} into Go value of type int32")
    return value


def _raw(value: JsonValue, _: Schema, __: _Way, ___: list[str]) -> JsonValue:
    return value


_READERS: Mapping[Form, Callable[[JsonValue, Schema, _Way, list[str]], JsonValue]] = {
    Form.STRUCT: _struct,
    Form.MAP: _map,
    Form.LIST: _list,
    Form.STRING: _string,
    Form.BYTES: _bytes,
    Form.INTEGER: _integer,
    Form.NUMBER: _number,
    Form.BOOLEAN: _boolean,
    Form.TIME: _time,
    Form.MICRO_TIME: _micro_time,
    Form.QUANTITY: _quantity,
    Form.INT_OR_STRING: _int_or_string,
    Form.RAW: _raw,
}


def _json_type(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


def _mistyped(value: JsonValue, schema: Schema, way: _Way, shown: str = "") -> _Mistyped:
    """Return Go's complaint; a NUL marks where who reads the struct puts its name."""
    fields = [step for step in _steps(way) if type(step) is str]
    return _Mistyped(
        f"json: cannot unmarshal {_json_type(value)}{shown} into Go struct field"
        f" \0.{'.'.join(fields)} of type {schema.go_name}"
    )


def _steps(way: _Way) -> list[Any]:
    steps: list[Any] = []
    while way is not None:
        way, step = way
        steps.append(step)
    return steps[::-1]


def _path(way: _Way) -> str:
    path = ""
    for step in _steps(way):
        path = f"{path}[{step}]" if isinstance(step, int) else _joined(path, step)
    return path


def field_problems(unknown: list[str], duplicates: list[str]) -> list[str]:
    """Return what `fieldValidation` tells, as an error or as warnings."""
    told = [f'unknown field "{path}"' for path in unknown]
    return told + [f'duplicate field "{path}"' for path in duplicates]
