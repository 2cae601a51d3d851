"""JSON as a type, and the reading of its fields with errors that name the place."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from kvstore.base.errors import KvstoreError

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Fields: TypeAlias = Mapping[str, Json]


class MalformedHistory(KvstoreError):
    """The history cannot be read: nothing was judged. The text says where and why."""


def number(fields: Fields, name: str) -> float:
    """Return the number in `fields[name]`."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedHistory(f"{name!r} must be a number, not {value!r}")
    return float(value)


def integer(fields: Fields, name: str, default: int | None = None) -> int:
    """Return the integer in `fields[name]`, or `default` where it is absent."""
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedHistory(f"{name!r} must be an integer, not {value!r}")
    return value


def text(fields: Fields, name: str, default: str | None = None) -> str:
    """Return the string in `fields[name]`, or `default` where it is absent."""
    value = fields.get(name, default)
    if not isinstance(value, str):
        raise MalformedHistory(f"{name!r} must be a string, not {value!r}")
    return value


def flag(fields: Fields, name: str) -> bool:
    """Return the boolean in `fields[name]`; absent is false."""
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise MalformedHistory(f"{name!r} must be true or false, not {value!r}")
    return value


def items(fields: Fields, name: str) -> Sequence[Json]:
    """Return the array in `fields[name]`; absent is empty."""
    value = fields.get(name, ())
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise MalformedHistory(f"{name!r} must be an array, not {value!r}")
    return value


def mapping(value: Json, what: str) -> Fields:
    """Return `value`, which must be an object."""
    if not isinstance(value, Mapping):
        raise MalformedHistory(f"{what} must be an object, not {value!r}")
    return value


def frozen(value: Json) -> object:
    """Return an equal, hashable form of `value`: tuples for arrays, sorted pairs for objects.

    True and 1, which Python holds equal, stay different.
    """
    if isinstance(value, Mapping):
        return ("object", tuple(sorted((name, frozen(item)) for name, item in value.items())))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(frozen(item) for item in value)
    return ("bool", value) if isinstance(value, bool) else value
