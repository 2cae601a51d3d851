"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386).

Strategic merge patch and server-side apply are `strategic_patch` and `apply`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from cluster.kube_api.errors import ApiError, bad_request, unprocessable
from cluster.kube_api.objects import JsonObject, JsonValue, same

OPERATIONS_MAX = 10_000
COPIED_VALUES_MAX = 100_000


def merge_patch(target: JsonValue, patch: JsonValue) -> JsonValue:
    """Return `target` changed by `patch`: objects merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def json_patch(target: JsonValue, patch: object) -> JsonValue:
    """Return `target` after all operations of `patch`.

    Raises:
        ApiError: 400 if `patch` is none, 413 if it is too long or copies too much, 422 if a test
            fails or a path leads nowhere.
    """
    if not isinstance(patch, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(patch) > OPERATIONS_MAX:
        raise ApiError(
            413,
            "RequestEntityTooLarge",
            f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(patch)}",
        )
    copied = 0
    for operation in patch:
        name, apply = _operation(operation)
        if name == "copy":
            copied += _size(_found(target, _tokens(operation, "from")))
            if copied > COPIED_VALUES_MAX:
                raise ApiError(413, "RequestEntityTooLarge", "the patch copies too much")
        target = apply(target, operation)
    return target


def _operation(operation: object) -> tuple[str, Callable[[JsonValue, JsonObject], JsonValue]]:
    if not isinstance(operation, dict):
        raise bad_request("json: cannot unmarshal into Go value of type jsonpatch.Operation")
    name = operation.get("op")
    apply = _OPERATIONS.get(name) if isinstance(name, str) else None
    if apply is None or not isinstance(name, str):
        raise unprocessable()
    return name, apply


def _size(value: JsonValue) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    return 1


def _tokens(operation: JsonObject, member: str) -> list[str]:
    pointer = operation.get(member)
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise unprocessable()
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _index(token: str, length: int) -> int:
    """Return an index of a list; negative ones count from the end, as Go's library has it."""
    if re.fullmatch(r"-?[0-9]{1,9}", token) is None:
        raise unprocessable()
    index = int(token)
    if not -length <= index < length:
        raise unprocessable()
    return index % length if length else 0


def _found(target: JsonValue, tokens: Sequence[str]) -> JsonValue:
    for token in tokens:
        if isinstance(target, dict):
            if token not in target:
                raise unprocessable()
            target = target[token]
        elif isinstance(target, list):
            target = target[_index(token, len(target))]
        else:
            raise unprocessable()
    return target


Edit = Callable[[Any, str], None]


def _edited(target: JsonValue, tokens: Sequence[str], edit: Edit) -> JsonValue:
    """Return a copy of the way down to the last token, with `edit` done to a copy of its parent."""
    if not isinstance(target, dict | list):
        raise unprocessable()
    changed: Any = dict(target) if isinstance(target, dict) else list(target)
    head, *rest = tokens
    if not rest:
        edit(changed, head)
    elif isinstance(changed, dict):
        if head not in changed:
            raise unprocessable()
        changed[head] = _edited(changed[head], rest, edit)
    else:
        index = _index(head, len(changed))
        changed[index] = _edited(changed[index], rest, edit)
    return changed


def _value(operation: JsonObject) -> JsonValue:
    if "value" not in operation:
        raise unprocessable()
    return operation["value"]


def _added(target: JsonValue, tokens: Sequence[str], value: JsonValue) -> JsonValue:
    def edit(parent: Any, token: str) -> None:
        if isinstance(parent, dict):
            parent[token] = value
        elif token == "-":  # noqa: S105
            parent.append(value)
        else:
            parent.insert(_index(token, len(parent) + 1), value)

    return _edited(target, tokens, edit) if tokens else value


def _removed(target: JsonValue, tokens: Sequence[str]) -> JsonValue:
    def edit(parent: Any, token: str) -> None:
        if isinstance(parent, list):
            del parent[_index(token, len(parent))]
        elif token in parent:
            del parent[token]
        else:
            raise unprocessable()

    return _edited(target, tokens, edit) if tokens else None


def _add(target: JsonValue, operation: JsonObject) -> JsonValue:
    return _added(target, _tokens(operation, "path"), _value(operation))


def _remove(target: JsonValue, operation: JsonObject) -> JsonValue:
    return _removed(target, _tokens(operation, "path"))


def _replace(target: JsonValue, operation: JsonObject) -> JsonValue:
    tokens = _tokens(operation, "path")
    value = _value(operation)
    _found(target, tokens)

    def edit(parent: Any, token: str) -> None:
        parent[_index(token, len(parent)) if isinstance(parent, list) else token] = value

    return _edited(target, tokens, edit) if tokens else value


def _move(target: JsonValue, operation: JsonObject) -> JsonValue:
    source, path = _tokens(operation, "from"), _tokens(operation, "path")
    if path[: len(source)] == source and path != source:
        raise unprocessable()
    value = _found(target, source)
    return _added(_removed(target, source), path, value)


def _copy(target: JsonValue, operation: JsonObject) -> JsonValue:
    value = _found(target, _tokens(operation, "from"))
    return _added(target, _tokens(operation, "path"), value)


def _test(target: JsonValue, operation: JsonObject) -> JsonValue:
    tokens = _tokens(operation, "path")
    expected = operation.get("value")
    try:
        found = _found(target, tokens)
    except ApiError:
        if expected is not None:
            raise
        found = None  # a member that is missing is null, as Go's library has it
    if not same(found, expected):
        raise unprocessable()
    return target


_OPERATIONS: dict[str, Callable[[JsonValue, JsonObject], JsonValue]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}
