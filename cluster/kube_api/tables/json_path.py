"""The JSON paths of printer columns and scale subresources: `.spec.replicas`, filters included.

What custom resources use of kubectl's JSONPath: fields, indexes, `*`, and filters that compare a
field with a literal, as `.status.conditions[?(@.type=="Ready")].status`.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.kube_api.objects import JsonObject, JsonValue, compact, same

_STEP = re.compile(
    r"""\.(?P<field>[\w$@-]+(?:\\\.[\w$@-]+)*)
    |\[['"](?P<quoted>[^'"]+)['"]\]
    |\[(?P<index>-?\d+)\]
    |(?P<all>\[\*\]|\.\*)
    |\[\?\(\s*@(?P<path>(?:\.[\w-]+)+)\s*(?P<operator>==|!=)\s*(?P<literal>"[^"]*"|'[^']*'|[\w.+-]+)\s*\)\]
    """,
    re.VERBOSE,
)


class PathSyntaxError(ValueError):
    """The text is no path that is understood here."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a field, an index, all elements, or those whose `field` (not) is `literal`."""

    field: str = ""
    index: int | None = None
    is_all: bool = False
    literal: JsonValue = None
    is_equal: bool | None = None


def parse_path(text: str) -> tuple[Step, ...]:
    """Read a path; a leading dot may be missing, and braces may stand around it.

    Raises:
        PathSyntaxError: it is none.
    """
    rest = text.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if rest and rest[0] not in ".[":
        rest = f".{rest}"
    steps, at = [], 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None:
            raise PathSyntaxError(f"unrecognized character in {text!r} at {rest[at:]!r}")
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    if found["index"] is not None:
        return Step(index=int(found["index"]))
    if found["all"] is not None:
        return Step(is_all=True)
    if found["path"] is not None:
        text = found["literal"]
        literal = text[1:-1] if text[0] in "\"'" else _literal(text)
        return Step(found["path"][1:], literal=literal, is_equal=found["operator"] == "==")
    return Step((found["field"] or found["quoted"]).replace("\\.", "."))


def _literal(text: str) -> JsonValue:
    try:
        return json.loads(text)
    except ValueError:
        return text


def found_at(value: JsonValue, steps: Sequence[Step]) -> list[JsonValue]:
    """Return all values that a path leads to."""
    values = [value]
    for step in steps:
        values = [inner for one in values for inner in _followed(one, step)]
    return values


def _followed(value: JsonValue, step: Step) -> list[JsonValue]:
    if step.is_equal is not None:
        elements = value if isinstance(value, list) else []
        return [one for one in elements if _passes(one, step)]
    if step.is_all:
        if isinstance(value, dict):
            return list(value.values())
        return value if isinstance(value, list) else []
    if step.index is not None:
        inside = isinstance(value, list) and -len(value) <= step.index < len(value)
        return [value[step.index]] if inside else []
    return [value[step.field]] if isinstance(value, dict) and step.field in value else []


def _passes(value: JsonValue, step: Step) -> bool:
    for name in step.field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return same(value, step.literal) == step.is_equal


def cell(obj: JsonObject, steps: Sequence[Step], kind: str) -> JsonValue:
    """Return the cell of a printer column; None where the path leads nowhere."""
    values = found_at(obj, steps)
    if not values:
        return None
    if kind in ("integer", "number", "boolean", "date"):
        return values[0]
    texts = [one if isinstance(one, str) else compact(one) for one in values]
    return ",".join(texts)
