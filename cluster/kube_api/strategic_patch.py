"""Strategic merge patch: a merge patch that knows which lists are sets of named things.

Follows Kubernetes' `strategicpatch` package, order of elements included. Lists that the schema
gives the strategy `merge` are merged by their merge key, or, if they hold scalars, united; other
lists are replaced. Directives stand in the patch: `$patch`, `$retainKeys`,
`$deleteFromPrimitiveList/FIELD`, `$setElementOrder/FIELD`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.kube_api.errors import ApiError, bad_request
from cluster.kube_api.objects import JsonObject, JsonValue, compact, same
from cluster.kube_api.schema import ANYTHING, Form, Schema

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic_merge_patch(target: Mapping[str, Any], patch: object, schema: Schema) -> JsonObject:
    """Return `target`, of the kind that `schema` describes, changed by `patch`.

    Raises:
        ApiError: 400; the patch is no object, or a directive does not make sense.
    """
    if not isinstance(patch, dict):
        raise bad_request("json: cannot unmarshal into Go value of type map[string]interface {}")
    return _merged_object(dict(target), patch, schema)


def _field_schema(schema: Schema, name: str) -> Schema:
    if schema.form is Form.STRUCT:
        return schema.properties.get(name, ANYTHING)
    return schema.values if schema.form is Form.MAP else ANYTHING


def _merged_object(target: JsonObject, patch: JsonObject, schema: Schema) -> JsonObject:
    directive = patch.get(_PATCH)
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != _PATCH}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"unknown patch type found: {directive}")
    merged = _retained(target, patch)
    _obey_list_directives(merged, patch, schema)
    for name, value in patch.items():
        if name.startswith("$") or f"{_ORDER}{name}" in patch:
            continue
        if value is None:
            merged.pop(name, None)
        elif name not in merged:
            merged[name] = _without_directives(value)
        else:
            merged[name] = _merged(merged[name], value, _field_schema(schema, name))
    return merged


def _obey_list_directives(merged: JsonObject, patch: JsonObject, schema: Schema) -> None:
    for name, value in patch.items():
        if name.startswith(_DELETE):
            field = name.removeprefix(_DELETE)
            if field in merged:
                merged[field] = _without_scalars(merged[field], value)
        elif name.startswith(_ORDER):
            field = name.removeprefix(_ORDER)
            _put_in_order(merged, field, patch.get(field), value, _field_schema(schema, field))


def _merged(target: JsonValue, patch: JsonValue, schema: Schema) -> JsonValue:
    if isinstance(target, dict) and isinstance(patch, dict):
        if "replace" in schema.patch_strategies:
            return _without_directives(patch)
        return _merged_object(target, patch, schema)
    if isinstance(target, list) and isinstance(patch, list):
        if "merge" in schema.patch_strategies:
            return _merged_list(target, patch, schema)
        return _without_directives(patch)
    return _without_directives(patch)


def _retained(target: JsonObject, patch: JsonObject) -> JsonObject:
    """Return a copy of `target` with only the keys that `$retainKeys` names, if it does."""
    retained = patch.get(_RETAIN)
    if retained is None:
        return dict(target)
    if not isinstance(retained, list):
        raise bad_request("invalid patch format of retainKeys")
    for name, value in patch.items():
        if value is not None and not name.startswith("$") and name not in retained:
            raise bad_request("invalid patch format of retainKeys")
    return {name: value for name, value in target.items() if name in retained}


def _without_directives(value: JsonValue) -> JsonValue:
    """Return what a patch adds where nothing was: without directives and nulls."""
    if isinstance(value, dict):
        return {
            name: _without_directives(one)
            for name, one in value.items()
            if one is not None and not name.startswith((_PATCH, _RETAIN, _DELETE, _ORDER))
        }
    if isinstance(value, list):
        kept = [one for one in value if not (isinstance(one, dict) and one.get(_PATCH) == "delete")]
        kept = [one for one in kept if not (isinstance(one, dict) and set(one) == {_PATCH})]
        return [_without_directives(one) for one in kept]
    return value


def _without_scalars(target: JsonValue, gone: JsonValue) -> JsonValue:
    if not isinstance(target, list) or not isinstance(gone, list):
        raise bad_request("invalid patch format of primitive list")
    return [one for one in target if not any(same(one, other) for other in gone)]


def _merged_list(
    target: list[JsonValue], patch: list[JsonValue], schema: Schema
) -> list[JsonValue]:
    if any(isinstance(one, list) for one in (*target, *patch)):
        raise ApiError(422, "Invalid", "lists of lists are not supported")
    if not any(isinstance(one, dict) for one in (*target, *patch)):
        return _in_order(_united(target, patch), patch, target, "")
    key = schema.merge_key
    if not key:
        raise bad_request(f"cannot merge lists without merge key for {schema.items.go_name}")
    target, patch = _with_directives_done(target, patch, key)
    merged = list(target)
    for one in patch:
        _key_of(one, key)
        at = _index(merged, one, key)
        if at is None:
            merged.append(_without_directives(one))
        else:
            merged[at] = _merged_object(merged[at], one, schema.items)
    return _in_order(merged, patch, target, key)


def _with_directives_done(
    target: list[JsonValue], patch: list[JsonValue], key: str
) -> tuple[list[JsonValue], list[JsonValue]]:
    """Return both lists after the elements of the patch that are directives."""
    kept = list(target)
    rest: list[JsonValue] = []
    replaces = False
    for one in patch:
        directive = one.get(_PATCH) if isinstance(one, dict) else None
        if directive == "delete":
            wanted = _key_of(one, key)
            kept = [other for other in kept if not same(_key_of(other, key), wanted)]
        elif directive == "replace":
            replaces = True
            rest += [{name: value for name, value in one.items() if name != _PATCH}]
        elif directive not in (None, "merge"):
            raise bad_request(f"unknown patch type found: {directive}")
        else:
            rest.append(one)
    if replaces:
        return [], [one for one in rest if one]
    return kept, rest


def _key_of(element: JsonValue, key: str) -> JsonValue:
    if not isinstance(element, dict) or key not in element:
        raise bad_request(f"map: {compact(element)} does not contain declared merge key: {key}")
    return element[key]


def _identity(element: JsonValue, key: str) -> JsonValue:
    return element.get(key) if key and isinstance(element, dict) else element


def _index(elements: Sequence[JsonValue], wanted: JsonValue, key: str) -> int | None:
    identity = _identity(wanted, key)
    for at, one in enumerate(elements):
        if same(_identity(one, key), identity):
            return at
    return None


def _united(target: list[JsonValue], patch: list[JsonValue]) -> list[JsonValue]:
    united: list[JsonValue] = []
    for one in (*target, *patch):
        if _index(united, one, "") is None:
            united.append(one)
    return united


def _put_in_order(
    merged: JsonObject, field: str, patch: JsonValue, order: JsonValue, schema: Schema
) -> None:
    """Do the patch of one list, and bring it into the order that `$setElementOrder` gives."""
    if not isinstance(order, list) or not isinstance(patch, list | None):
        raise bad_request("invalid patch format of setElementOrder list")
    target = merged.get(field)
    key = schema.merge_key if any(isinstance(one, dict) for one in order) else ""
    if patch is not None:
        _check_order(patch, order, key)
    if isinstance(target, list):
        elements = target if patch is None else _merged(target, patch, schema)
    elif patch is not None:
        target, elements = [], _without_directives(patch)
    else:
        return
    merged[field] = _in_order(elements, order, target, key)


def _check_order(patch: list[JsonValue], order: list[JsonValue], key: str) -> None:
    at = -1
    for one in patch:
        if isinstance(one, dict) and _PATCH in one:
            continue
        found = _index(order, one, key)
        if found is None or found < at:
            raise bad_request(
                f"The order in patch list:\n{compact(patch)}\n doesn't match"
                f" $setElementOrder list:\n{compact(order)}\n"
            )
        at = found


def _in_order(
    elements: list[JsonValue], order: list[JsonValue], live: list[JsonValue], key: str
) -> list[JsonValue]:
    """Return `elements` so that those in `order` follow it, and the others keep their place.

    Where the two orders do not say which of two comes first, the ordered one does.
    """
    ordered = sorted(
        (one for one in elements if _index(order, one, key) is not None),
        key=lambda one: _index(order, one, key) or 0,
    )
    others = [one for one in elements if _index(order, one, key) is None]
    others.sort(key=lambda one: _place(live, one, key))
    result: list[JsonValue] = []
    while others and ordered:
        left, right = _index(live, others[0], key), _index(live, ordered[0], key)
        is_left_first = left is not None and right is not None and left < right
        result.append(others.pop(0) if is_left_first else ordered.pop(0))
    return result + ordered + others


def _place(live: list[JsonValue], element: JsonValue, key: str) -> int:
    found = _index(live, element, key)
    return len(live) if found is None else found
