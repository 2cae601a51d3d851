"""Bytes of a request to an object: JSON, YAML or protobuf, checked against the kind's schema."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from cluster.apiserver.negotiation import JSON, PROTOBUF, YAML
from cluster.kube_api import protobuf
from cluster.kube_api.decoding import field_problems, parse_json
from cluster.kube_api.errors import (
    bad_request,
    strict_decoding,
    too_large,
    undecodable,
    unrecognized,
    unsupported_media_type,
)
from cluster.kube_api.objects import JsonObject
from cluster.kube_api.resource import Kind
from cluster.kube_api.schema import schema_of

__all__ = [
    "BODY_BYTES_MAX",
    "Parsed",
    "checked_type",
    "parse",
    "parse_yaml",
    "report",
    "too_large",
    "typed",
]

BODY_BYTES_MAX = 3 * 1024 * 1024
YAML_NODES_MAX = 200_000
"""Of a YAML body with its aliases written out."""
WARNINGS_MAX = 20


class _Loader(yaml.CSafeLoader):
    """YAML as JSON has it: what looks like a date is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


Shape = Callable[[JsonObject], tuple[JsonObject, list[str]]]
"""From a body to an object in the form of its kind, and the fields that it does not know."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A body, before its kind is known to fit."""

    value: JsonObject
    duplicates: tuple[str, ...] = ()
    """The paths of the fields that came twice."""


def parse(body: bytes, media_type: str, kind: Kind) -> Parsed:
    """Return the object that the bytes say; `kind` is what the URL expects.

    Raises:
        ApiError: 400, it is none; 415, no such type is read.
    """
    if media_type == PROTOBUF:
        return Parsed(_from_protobuf(body, kind))
    if media_type == YAML:
        return Parsed(parse_yaml(body, kind.kind))
    if media_type != JSON:
        raise unsupported_media_type([JSON, YAML, PROTOBUF])
    value, duplicates = parse_json(body, kind.kind)
    return Parsed(value, tuple(duplicates))


def parse_yaml(body: bytes, kind: str) -> JsonObject:
    """Return the object that YAML says; JSON is YAML.

    Raises:
        ApiError: 400.
    """
    try:
        value = yaml.load(body, _Loader)  # noqa: S506  a safe loader, without dates
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise unrecognized(kind, f"error converting YAML to JSON: {error}") from None
    _check_yaml(value)
    if not isinstance(value, dict):
        raise unrecognized(kind, "cannot unmarshal a value that is no object")
    return value


def _check_yaml(value: Any) -> None:
    """Refuse what is no JSON: keys that are no strings, and aliases that multiply."""
    waiting, count = [value], 0
    while waiting:
        one = waiting.pop()
        count += 1
        if count > YAML_NODES_MAX:
            raise bad_request("yaml: document contains excessive aliasing")
        if isinstance(one, dict):
            if not all(isinstance(key, str) for key in one):
                raise bad_request("error converting YAML to JSON: a key is not a string")
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif not (one is None or isinstance(one, str | int | float | bool)):
            raise bad_request(f"error converting YAML to JSON: unsupported {type(one).__name__}")


def _from_protobuf(body: bytes, kind: Kind) -> JsonObject:
    try:
        envelope = protobuf.opened(body)
        group, _, version = envelope.api_version.rpartition("/")
        sent = Kind(group, version, envelope.kind) if envelope.kind else kind
        schema = schema_of(sent)
        if schema is None:
            raise bad_request(
                f'no kind "{sent.kind}" is registered for version "{sent.api_version}"'
            )
        value = protobuf.decode(envelope.raw, schema)
    except protobuf.ProtobufError as error:
        raise bad_request(f"{kind.kind} could not be decoded: {error}") from None
    return {"apiVersion": sent.api_version, "kind": sent.kind} | value


def checked_type(value: JsonObject, kind: Kind) -> None:
    """Refuse an object of another kind than the URL says; without one it is the URL's.

    Raises:
        ApiError: 400.
    """
    api_version, name = value.get("apiVersion") or "", value.get("kind") or ""
    if api_version and api_version != kind.api_version:
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version"
            f" ({kind.api_version})"
        )
    if name and name != kind.kind:
        why = f"converting ({name}) to ({kind.kind}): unknown conversion"
        raise undecodable(name, kind.version, why)


def typed(
    parsed: Parsed, kind: Kind, *, shape: Shape, field_validation: str, warnings: list[str]
) -> JsonObject:
    """Return the object in the form of its kind; tell of unknown and duplicate fields as asked.

    Raises:
        ApiError: 400: another kind, a wrong type, or (Strict) a field that should not be there.
    """
    checked_type(parsed.value, kind)
    obj, unknown = shape(parsed.value)
    report(unknown, parsed.duplicates, kind, field_validation=field_validation, warnings=warnings)
    return obj


def report(
    unknown: list[str],
    duplicates: tuple[str, ...],
    kind: Kind,
    *,
    field_validation: str,
    warnings: list[str],
) -> None:
    """Tell of fields that should not be there, as `fieldValidation` asks.

    Raises:
        ApiError: 400, for Strict.
    """
    problems = field_problems(unknown, list(duplicates))
    if problems and field_validation == "Strict":
        raise strict_decoding(kind.kind, kind.version, problems)
    if problems and field_validation == "Warn":
        warnings += problems[:WARNINGS_MAX]
