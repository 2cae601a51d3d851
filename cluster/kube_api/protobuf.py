"""Kubernetes' protobuf bodies to JSON and back, driven by the schemas: no generated code.

A body is `k8s`, a NUL and a `runtime.Unknown` that names the kind and holds the object. Numbers of
fields are in `data/go_fields.txt`, what they hold is in the schema. Go writes every scalar that is
no pointer, zero or not; `decoding.decoded` afterwards drops what Go's JSON would not print.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any

from cluster.kube_api.go_fields import go_fields
from cluster.kube_api.objects import JsonObject, JsonValue
from cluster.kube_api.schema import Form, Schema

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
_DEPTH_MAX = 100
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SEVEN_BITS, _VARINT_SHIFT_MAX = 0x7F, 63
_KEY, _VALUE = 1, 2
_DOUBLE = Struct("<d")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ProtobufError(ValueError):
    """The bytes are not what they should be; the message says why."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a body says of itself, and the bytes of the object."""

    api_version: str
    kind: str
    raw: bytes


def opened(body: bytes) -> Envelope:
    """Return the envelope of a body.

    Raises:
        ProtobufError: it is none, or its content is not protobuf.
    """
    if not body.startswith(MAGIC):
        raise ProtobufError(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    parts = {number: value for number, _, value in _fields(body[len(MAGIC) :])}
    names = {number: value for number, _, value in _fields(_bytes(parts.get(1, b"")))}
    content_type = _text(parts.get(4, b""))
    if _text(parts.get(3, b"")) or content_type not in ("", MEDIA_TYPE):
        raise ProtobufError(f"unsupported content type {content_type!r} in a protobuf envelope")
    return Envelope(_text(names.get(1, b"")), _text(names.get(2, b"")), _bytes(parts.get(2, b"")))


def sealed(envelope: Envelope) -> bytes:
    """Return the body of an envelope."""
    names = _field(1, envelope.api_version.encode()) + _field(2, envelope.kind.encode())
    rest = _field(3, b"") + _field(4, b"")
    return MAGIC + _field(1, names) + _field(2, envelope.raw) + rest


def decode(raw: bytes, schema: Schema) -> JsonObject:
    """Return the object of a kind as JSON, with the zeros that Go wrote.

    Raises:
        ProtobufError: the bytes are cut short, or a field has another form than the schema says.
    """
    made: JsonObject = {}
    _read_message(raw, _table(schema), made, _DEPTH_MAX)
    return made


def encode(value: Mapping[str, Any], schema: Schema) -> bytes:
    """Return the message of an object, byte for byte as Go writes it."""
    return _message(value, _table(schema))


@dataclass(slots=True)
class _Field:
    """A field of a message: a schema's, or (`embedded`) a struct whose fields are the parent's."""

    name: str
    schema: Schema
    is_pointer: bool = False
    embedded: "dict[int, _Field]" = field(default_factory=dict)


def _table(schema: Schema) -> dict[int, _Field]:
    """Return the fields of a struct by number."""
    found: dict[int, _Field] | None = schema.__dict__.get("_protobuf_table")
    if found is None:
        found = schema.__dict__["_protobuf_table"] = _made_table(schema)
    return found


def _made_table(schema: Schema) -> dict[int, _Field]:
    table: dict[int, _Field] = {}
    for go in go_fields(schema.name).values():
        held = schema.properties.get(go.name)
        if held is None:
            continue
        at = table
        for number in go.numbers[:-1]:
            at = at.setdefault(number, _Field("", held)).embedded
        at[go.numbers[-1]] = _Field(go.name, held, go.is_pointer)
    if not table:
        raise ProtobufError(f"{schema.name or 'an object'} has no protobuf form here")
    return table


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Return (number, wire type, value) of each field of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ProtobufError("proto: illegal tag 0")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ProtobufError(f"proto: illegal wireType {wire}")
        if at + size > len(data):
            raise ProtobufError("unexpected EOF")
        yield number, wire, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if at >= len(data):
            raise ProtobufError("unexpected EOF")
        byte = data[at]
        at += 1
        result |= (byte & _SEVEN_BITS) << shift
        if byte <= _SEVEN_BITS:
            return result & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > _VARINT_SHIFT_MAX:
            raise ProtobufError("proto: integer overflow")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ProtobufError("proto: wrong wireType = 0 for a field of bytes")
    return value


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ProtobufError("proto: wrong wireType = 2 for a field of integers")
    return _signed(value)


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise ProtobufError("proto: a string field contains invalid UTF-8") from None


def _read_message(data: bytes, table: dict[int, _Field], made: JsonObject, depth: int) -> None:
    if depth == 0:
        raise ProtobufError("exceeded max depth")
    for number, _, value in _fields(data):
        one = table.get(number)
        if one is None:
            continue  # of a later release: unknown fields are dropped, as in JSON
        if one.embedded:
            _read_message(_bytes(value), one.embedded, made, depth - 1)
        elif one.schema.form is Form.LIST:
            made.setdefault(one.name, []).extend(_read_items(value, one.schema.items, depth))
        elif one.schema.form is Form.MAP:
            key, item = _read_entry(_bytes(value), one.schema.values, depth)
            made.setdefault(one.name, {})[key] = item
        else:
            made[one.name] = _read(value, one.schema, depth)


def _read_items(value: int | bytes, schema: Schema, depth: int) -> list[JsonValue]:
    if schema.form is Form.INTEGER and isinstance(value, bytes):  # packed
        items, at = [], 0
        while at < len(value):
            item, at = _varint(value, at)
            items.append(_signed(item))
        return items
    return [_read(value, schema, depth)]


def _read_entry(data: bytes, schema: Schema, depth: int) -> tuple[str, JsonValue]:
    key = ""
    value: int | bytes | None = None
    for number, _, part in _fields(data):
        if number == _KEY:
            key = _text(part)
        elif number == _VALUE:
            value = part
    if value is None:
        value = b"" if schema.form not in (Form.INTEGER, Form.BOOLEAN) else 0
    if schema.form is Form.LIST:  # a list in a map is a message of its own
        items: list[JsonValue] = []
        for _, _, part in _fields(_bytes(value)):
            items += _read_items(part, schema.items, depth)
        return key, items
    return key, _read(value, schema, depth)


def _read(value: int | bytes, schema: Schema, depth: int) -> JsonValue:
    if schema.form is Form.STRUCT:
        made: JsonObject = {}
        _read_message(_bytes(value), _table(schema), made, depth - 1)
        return made
    return _READERS[schema.form](value)


def _read_time(value: int | bytes) -> str | None:
    parts = {number: part for number, _, part in _fields(_bytes(value))}
    if not parts:
        return None
    seconds, nanos = _number(parts.get(1, 0)), _number(parts.get(2, 0))
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise ProtobufError(f"a time is out of range: {seconds} s") from None
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"


def _read_int_or_string(value: int | bytes) -> int | str:
    parts = {number: part for number, _, part in _fields(_bytes(value))}
    if _number(parts.get(1, 0)) == 0:
        return _number(parts.get(2, 0))
    return _text(parts.get(3, b""))


def _read_quantity(value: int | bytes) -> str:
    parts = {number: part for number, _, part in _fields(_bytes(value))}
    return _text(parts.get(1, b"")) or "0"


def _read_raw(value: int | bytes) -> JsonValue:
    parts = {number: part for number, _, part in _fields(_bytes(value))}
    raw = _bytes(parts.get(1, b""))
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        raise ProtobufError("a raw field holds no JSON") from None


def _read_double(value: int | bytes) -> float:
    if not isinstance(value, bytes) or len(value) != _DOUBLE.size:
        raise ProtobufError("proto: wrong wireType for a field of doubles")
    number: float = _DOUBLE.unpack(value)[0]
    return number


_READERS: Mapping[Form, Callable[[int | bytes], JsonValue]] = {
    Form.STRING: _text,
    Form.BYTES: lambda value: base64.b64encode(_bytes(value)).decode(),
    Form.INTEGER: _number,
    Form.NUMBER: _read_double,
    Form.BOOLEAN: lambda value: bool(_number(value)),
    Form.TIME: _read_time,
    Form.MICRO_TIME: _read_time,
    Form.QUANTITY: _read_quantity,
    Form.INT_OR_STRING: _read_int_or_string,
    Form.RAW: _read_raw,
}


def _written_varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > _SEVEN_BITS:
        out.append(value & _SEVEN_BITS | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _written_varint(number << 3 | _VARINT) + _written_varint(value)
    return _written_varint(number << 3 | _BYTES) + _written_varint(len(value)) + value


def _message(value: Mapping[str, Any], table: dict[int, _Field]) -> bytes:
    out = []
    for number, one in sorted(table.items()):
        if one.embedded:
            out.append(_field(number, _message(value, one.embedded)))
            continue
        held = value.get(one.name)
        form = one.schema.form
        if form is Form.LIST:
            out += [_written(number, item, one.schema.items) for item in held or ()]
        elif form is Form.MAP:
            out += [
                _field(number, _entry(key, item, one.schema.values))
                for key, item in sorted((held or {}).items())
            ]
        elif held is not None or (form not in _OMITTED_WHEN_NULL and not one.is_pointer):
            out.append(_written(number, held, one.schema))
    return b"".join(out)


_OMITTED_WHEN_NULL = {Form.BYTES}


def _entry(key: str, value: JsonValue, schema: Schema) -> bytes:
    if schema.form is Form.LIST:
        items = b"".join(_written(1, item, schema.items) for item in value)
        return _field(1, key.encode()) + _field(2, items)
    return _field(1, key.encode()) + _written(2, value, schema)


def _written(number: int, value: JsonValue, schema: Schema) -> bytes:
    if schema.form is Form.NUMBER:
        return _written_varint(number << 3 | _FIXED64) + _DOUBLE.pack(value or 0)
    if schema.form is Form.STRUCT:
        return _field(number, _message(value or {}, _table(schema)))
    return _field(number, _WRITERS[schema.form](value))


def _write_time(value: JsonValue) -> bytes:
    if value is None:
        return b""
    since = datetime.fromisoformat(value) - _EPOCH
    seconds = since.days * 86400 + since.seconds
    return _field(1, seconds) + _field(2, since.microseconds * 1000)


def _write_int_or_string(value: JsonValue) -> bytes:
    is_text = isinstance(value, str)
    number, text = (0, value.encode()) if is_text else (value or 0, b"")
    return _field(1, int(is_text)) + _field(2, number) + _field(3, text)


def _write_raw(value: JsonValue) -> bytes:
    if value is None:
        return b""
    return _field(1, json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


_WRITERS: Mapping[Form, Callable[[JsonValue], int | bytes]] = {
    Form.STRING: lambda value: (value or "").encode(),
    Form.BYTES: lambda value: base64.b64decode(value or ""),
    Form.INTEGER: lambda value: value or 0,
    Form.BOOLEAN: lambda value: int(value or False),
    Form.TIME: _write_time,
    Form.MICRO_TIME: _write_time,
    Form.QUANTITY: lambda value: _field(1, (value or "0").encode()),
    Form.INT_OR_STRING: _write_int_or_string,
    Form.RAW: _write_raw,
}
