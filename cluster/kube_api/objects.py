"""JSON values, and how this package reads them.

A function that takes an object trusts its *shape* only as far as the schema was checked before
(`schema`, `crd.validation`); the readers below answer with something empty where a part is missing.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# JSON has no static type worth its casts: what a field holds is said by the schema, at run time.
JsonValue = Any
JsonObject = dict[str, Any]


def member(value: object, *path: str) -> JsonValue:
    """Return what lies at `path`, or None where any part of the way is missing or no object."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def object_at(value: object, *path: str) -> JsonObject:
    """Return the object at `path`, or an empty one."""
    found = member(value, *path)
    return found if isinstance(found, dict) else {}


def list_at(value: object, *path: str) -> list[JsonValue]:
    """Return the list at `path`, or an empty one."""
    found = member(value, *path)
    return found if isinstance(found, list) else []


def string_at(value: object, *path: str) -> str:
    """Return the string at `path`, or an empty one."""
    found = member(value, *path)
    return found if isinstance(found, str) else ""


def integer_at(value: object, *path: str, default: int = 0) -> int:
    """Return the whole number at `path`, or `default`."""
    found = member(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else default


def with_member(value: Mapping[str, Any], path: Sequence[str], new: JsonValue) -> JsonObject:
    """Return `value` with `new` at `path`; objects that are missing on the way are made."""
    head, *rest = path
    changed = dict(value)
    changed[head] = with_member(object_at(value, head), rest, new) if rest else new
    return changed


def without_member(value: Mapping[str, Any], path: Sequence[str]) -> JsonObject:
    """Return `value` without what lies at `path`."""
    head, *rest = path
    changed = dict(value)
    if not rest:
        changed.pop(head, None)
    elif isinstance(changed.get(head), dict):
        changed[head] = without_member(changed[head], rest)
    return changed


def copied(value: JsonValue) -> JsonValue:
    """Return a copy that shares no object and no list with `value`."""
    if isinstance(value, dict):
        return {name: copied(one) for name, one in value.items()}
    if isinstance(value, list):
        return [copied(one) for one in value]
    return value


def same(left: object, right: object) -> bool:
    """Say whether two JSON values are equal. Unlike `==`, `True` is not `1`; `1` is `1.0`."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def compact(value: object) -> str:
    """Return `value` as JSON in one line, keys in order, as Go prints it in messages."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def quoted(text: str) -> str:
    """Return `text` in double quotes, escaped, as Go's %q does for what is printable."""
    return json.dumps(text, ensure_ascii=False)


def joined_quoted(texts: Iterable[str]) -> str:
    """Return `"a", "b"`."""
    return ", ".join(quoted(text) for text in texts)
