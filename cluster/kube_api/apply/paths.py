"""Paths of fields, and sets of them.

An element of a path is written as in FieldsV1: `f:NAME` a field or a key of a map, `k:{...}` an
element of a list by its keys, `v:VALUE` an element of a set. A set is just a set of paths.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from cluster.kube_api.objects import JsonObject, JsonValue

Path = tuple[str, ...]
PathSet = frozenset[Path]

_SELF = "."
_LEVELS_MAX = 200


def field(name: str) -> str:
    """Return the element of a named field."""
    return f"f:{name}"


def key(values: Mapping[str, JsonValue]) -> str:
    """Return the element of an item of a list that has keys."""
    return f"k:{json.dumps(dict(sorted(values.items())), separators=(',', ':'))}"


def value(item: JsonValue) -> str:
    """Return the element of an item of a set."""
    return f"v:{json.dumps(item, separators=(',', ':'))}"


def fields_v1(paths: Iterable[Path]) -> JsonObject:
    """Return the FieldsV1 form of a set."""
    root: JsonObject = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node[_SELF] = {}
    return {name: _trimmed(child) for name, child in root.items() if name != _SELF}


def _trimmed(node: JsonObject) -> JsonObject:
    """Leave out the mark of a node without anything below it: it is a member in any case."""
    if node.keys() == {_SELF}:
        return {}
    return {name: child if name == _SELF else _trimmed(child) for name, child in node.items()}


def paths_of(fields: object) -> PathSet:
    """Read a FieldsV1 object.

    Raises:
        ValueError: it is none.
    """
    found: set[Path] = set()
    _collect(fields, (), found)
    return frozenset(found)


def _collect(node: object, path: Path, found: set[Path]) -> None:
    if not isinstance(node, dict) or len(path) > _LEVELS_MAX:
        raise ValueError("no FieldsV1 object")
    if not node and path:
        found.add(path)
    for name, child in node.items():
        if name == _SELF:
            found.add(path)
        elif name[:2] in ("f:", "k:", "v:", "i:"):
            _collect(child, (*path, name), found)
        else:
            raise ValueError(f"no path element: {name!r}")


def text(path: Path) -> str:
    """Return a path as messages show it: `.spec.containers[name="c"].image`."""
    return "".join(map(_element_text, path))


def _element_text(element: str) -> str:
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "k:":
        keys: dict[str, Any] = json.loads(rest)
        pairs = (f"{name}={json.dumps(one, ensure_ascii=False)}" for name, one in keys.items())
        return f"[{','.join(pairs)}]"
    return f"[={rest}]" if kind == "v:" else f"[{rest}]"


def with_named_parents(paths: Iterable[Path]) -> set[Path]:
    """Return `paths` and the named fields that they lie in."""
    found: set[Path] = set()
    for path in paths:
        found.add(path)
        for length in range(1, len(path)):
            if path[length - 1].startswith("f:"):
                found.add(path[:length])
    return found


def with_all_parents(paths: Iterable[Path]) -> set[Path]:
    """Return `paths` and everything that they lie in."""
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}


def without(paths: PathSet, removed: PathSet) -> PathSet:
    """Return `paths` without those that are, or lie in, one of `removed`."""
    return frozenset(
        path
        for path in paths
        if not any(path[:length] in removed for length in range(1, len(path) + 1))
    )
