"""Walks along a schema: what an object sets, how two differ, what merging and removing leaves.

Objects and maps are granular unless their schema says atomic. Lists are atomic unless it says `map`
(elements by their keys) or `set` (elements by their value). What the schema does not know is
granular as an object and atomic as a list.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.kube_api.apply import paths
from cluster.kube_api.apply.paths import Path, PathSet
from cluster.kube_api.objects import JsonObject, JsonValue, same
from cluster.kube_api.schema import ANYTHING, Form, Schema


class StructureError(ValueError):
    """An object does not have the structure that its schema says; the message names the path."""


class _Absent:
    """Nothing is there: not even null."""


ABSENT = _Absent()
_KEY_DEFAULTS: Mapping[str, JsonValue] = {"protocol": "TCP"}
"""Keys of lists that authors leave out. OpenAPI does not tell these defaults."""


def child_schema(schema: Schema, name: str) -> Schema:
    """Return the schema of a field or of a key's value."""
    if "properties" in schema.raw:
        found = schema.properties.get(name)
        if found is not None:
            return found
    return schema.values if schema.raw.get("additionalProperties") else ANYTHING


def is_granular_object(value: object, schema: Schema) -> bool:
    """Whether the fields of an object are owned one by one."""
    return isinstance(value, dict) and not schema.is_atomic and not _is_opaque(schema)


def _is_opaque(schema: Schema) -> bool:
    """Quantities and the like are scalars, raw JSON of built-in kinds is one value."""
    return bool(schema.name) and schema.form is Form.RAW


def is_granular_list(value: object, schema: Schema) -> bool:
    """Whether the elements of a list are owned one by one."""
    return isinstance(value, list) and schema.list_type in ("map", "set")


def elements(items: Iterable[JsonValue], schema: Schema, path: Path) -> Iterator[tuple[str, Any]]:
    """Return (path element, item) of a granular list.

    Raises:
        StructureError: an item lacks a key.
    """
    for index, item in enumerate(items):
        if schema.list_type == "set":
            yield paths.value(item), item
            continue
        values = {}
        for name in schema.list_keys:
            found = item.get(name) if isinstance(item, dict) else None
            if found is None:
                found = _key_default(schema, name)
            if found is None:
                raise StructureError(
                    f"{paths.text(path)}: element {index}: associative list with keys has an"
                    f' element that omits key field "{name}" (and doesn\'t have default value)'
                )
            values[name] = found
        yield paths.key(values), item


def _key_default(schema: Schema, name: str) -> JsonValue:
    declared = schema.items.properties.get(name)
    default = declared.raw.get("default") if declared is not None else None
    return default if default is not None else _KEY_DEFAULTS.get(name)


def field_set(value: JsonObject, schema: Schema) -> PathSet:
    """Return what an object sets: its leaves, and the elements of its granular lists.

    Raises:
        StructureError: two elements of a list have the same keys, or one lacks a key.
    """
    found: set[Path] = set()
    _collect(value, schema, (), found)
    return frozenset(found)


def _collect(value: JsonValue, schema: Schema, path: Path, found: set[Path]) -> None:
    if is_granular_object(value, schema):
        for name, one in value.items():
            inner = (*path, paths.field(name))
            is_named = name in schema.raw.get("properties", ())
            if one is None or one == {} or not is_named:
                found.add(inner)
            _collect(one, child_schema(schema, name), inner, found)
    elif is_granular_list(value, schema):
        if not value:
            found.add(path)  # who applies an empty list wants it there
        seen: set[str] = set()
        for element, item in elements(value, schema, path):
            if element in seen:
                keys = paths.text((element,))[1:-1].removeprefix("=")
                raise StructureError(f"{paths.text(path)}: duplicate entries for key [{keys}]")
            seen.add(element)
            inner = (*path, element)
            found.add(inner)
            _collect(item, schema.items, inner, found)
    elif path:
        found.add(path)


@dataclass(slots=True)
class Difference:
    """The paths at which two objects differ."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)

    @property
    def taken(self) -> set[Path]:
        """What the writer of the newer object set."""
        return self.added | self.modified


def difference(old: JsonObject, new: JsonObject, schema: Schema) -> Difference:
    """Return how `new` differs from `old`. What is added or removed counts with all its parts."""
    found = Difference()
    _compare(old, new, schema, (), found)
    return found


def _compare(
    old: JsonValue | _Absent, new: JsonValue | _Absent, schema: Schema, path: Path, to: Difference
) -> None:
    is_object = is_granular_object(new, schema) or is_granular_object(old, schema)
    is_list = is_granular_list(new, schema) or is_granular_list(old, schema)
    empty: JsonValue = {} if is_object else []
    if is_object or is_list:  # null is there, and holds nothing
        old, new = (empty if one is None else one for one in (old, new))
    fits = all(
        one is ABSENT or (isinstance(one, dict) if is_object else isinstance(one, list))
        for one in (old, new)
    )
    if not (is_object or is_list) or not fits:
        _compare_leaves(old, new, path, to)
        return
    if path:
        if old is ABSENT:
            to.added.add(path)
        elif new is ABSENT:
            to.removed.add(path)
    if is_object:
        _compare_objects(old, new, schema, path, to)
    else:
        _compare_lists(old, new, schema, path, to)


def _compare_leaves(old: object, new: object, path: Path, to: Difference) -> None:
    if old is ABSENT:
        to.added.add(path)
    elif new is ABSENT:
        to.removed.add(path)
    elif not same(old, new):
        to.modified.add(path)


def _compare_objects(old: Any, new: Any, schema: Schema, path: Path, to: Difference) -> None:
    before = {} if old is ABSENT else old
    after = {} if new is ABSENT else new
    if before is after:
        return
    for name in before.keys() | after.keys():
        left, right = before.get(name, ABSENT), after.get(name, ABSENT)
        if left is not right:
            _compare(left, right, child_schema(schema, name), (*path, paths.field(name)), to)


def _compare_lists(old: Any, new: Any, schema: Schema, path: Path, to: Difference) -> None:
    before = _by_element([] if old is ABSENT else old, schema, path)
    after = _by_element([] if new is ABSENT else new, schema, path)
    for element in before.keys() | after.keys():
        left, right = before.get(element, []), after.get(element, [])
        inner = (*path, element)
        if len(left) > 1 or len(right) > 1:  # twice there, by a writer who is not held to keys
            _compare_leaves(left or ABSENT, right or ABSENT, inner, to)
            continue
        _compare(
            left[0] if left else ABSENT, right[0] if right else ABSENT, schema.items, inner, to
        )


def _by_element(items: list[Any], schema: Schema, path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for index, item in enumerate(items):
        try:
            ((element, _),) = elements([item], schema, path)
        except StructureError:
            element = f"i:{index}"
        found.setdefault(element, []).append(item)
    return found


def merged(live: JsonValue, config: JsonValue, schema: Schema) -> JsonValue:
    """Return `live` with what `config` says put over it."""
    if isinstance(live, dict) and is_granular_object(config, schema):
        result = dict(live)
        for name, one in config.items():
            inner = child_schema(schema, name)
            result[name] = merged(live[name], one, inner) if name in live else one
        return result
    if isinstance(live, list) and is_granular_list(config, schema):
        return _merged_list(live, config, schema)
    return config


def _merged_list(live: list[Any], config: list[Any], schema: Schema) -> list[Any]:
    """Merge two lists: the order is that of `config`; what only `live` has keeps its place."""
    mine = list(elements(config, schema, ()))
    wanted = {element for element, _ in mine}
    present = {element: items[0] for element, items in _by_element(live, schema, ()).items()}
    result: list[Any] = []
    waiting = iter(mine)
    done: set[str] = set()
    for element, items in _by_element(live, schema, ()).items():
        if element not in wanted:
            result += items
            continue
        while element not in done:
            other, item = next(waiting)
            result.append(_joined(present.get(other, ABSENT), item, schema))
            done.add(other)
    result += [_joined(present.get(one, ABSENT), item, schema) for one, item in waiting]
    return result


def _joined(live: Any, item: Any, schema: Schema) -> Any:
    return item if live is ABSENT else merged(live, item, schema.items)


def removed(value: JsonValue, gone: set[Path], schema: Schema, path: Path = ()) -> JsonValue:
    """Return `value` without the fields and elements at `gone`."""
    if not gone:
        return value
    if is_granular_object(value, schema):
        return {
            name: removed(one, gone, child_schema(schema, name), (*path, paths.field(name)))
            for name, one in value.items()
            if (*path, paths.field(name)) not in gone
        }
    if is_granular_list(value, schema):
        kept = []
        for element, items in _by_element(value, schema, path).items():
            inner = (*path, element)
            if inner not in gone:
                kept += [removed(item, gone, schema.items, inner) for item in items]
        return kept
    return value
