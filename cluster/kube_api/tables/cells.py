"""What cells have in common: columns, ages, lists, selectors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cluster.kube_api.objects import JsonObject, JsonValue, list_at, object_at, string_at

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"
SHOWN_MAX = 3

Cells = list[JsonValue]
Cutter = Callable[[JsonObject, datetime], Cells]
"""Gives the cells of an object at a moment."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `priority` above 0 is shown by `-o wide` only."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0

    def to_json(self) -> JsonObject:
        """Return the column definition of a Table."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Printer:
    """How a kind is printed."""

    columns: tuple[Column, ...]
    cells: Cutter
    conditions: Callable[[JsonObject], list[JsonObject]] | None = None
    """Gives what marks a row, as of a pod that has finished; an empty list for nothing."""


def columns(text: str) -> tuple[Column, ...]:
    """Read columns as `Name, Ready int, Node w`; `w` is wide, `date` an instant."""
    return tuple(_column(word.strip()) for word in text.split(","))


def _column(text: str) -> Column:
    words = text.split()
    is_wide = words[-1] == "w"
    if is_wide:
        words.pop()
    kinds = {"int": "integer", "date": "date", "bool": "boolean"}
    kind = kinds.get(words[-1], "string")
    if words[-1] in kinds:
        words.pop()
    name = " ".join(words)
    return Column(name, kind, "name" if name == "Name" else "", "", int(is_wide))


_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_YEAR = 365 * _DAY


def duration_text(seconds: float) -> str:
    """Return a duration as people say it: two units where they matter (Go's HumanDuration)."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    for limit, unit, name, smaller, smaller_name in _STEPS:
        if whole < limit:
            large, rest = divmod(whole, unit)
            small = rest // smaller if smaller else 0
            return f"{large}{name}" + (f"{small}{smaller_name}" if small else "")
    return f"{whole // _YEAR}y"


# Below the limit in seconds: the unit, its letter, and the smaller unit beside it (0: none).
_STEPS = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)


def instant(text: JsonValue) -> datetime | None:
    """Return the instant that an object carries, if it does."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def since(text: JsonValue, now: datetime) -> str:
    """Return how long ago an instant is."""
    moment = instant(text)
    return UNKNOWN if moment is None else duration_text((now - moment).total_seconds())


def age(obj: JsonObject, now: datetime) -> str:
    """Return the age of an object."""
    return since(object_at(obj, "metadata").get("creationTimestamp"), now)


def name_of(obj: JsonObject) -> str:
    """Return the name of an object."""
    return string_at(obj, "metadata", "name")


def or_none(text: str) -> str:
    """Return `<none>` for an empty text."""
    return text or NONE


def joined(texts: Iterable[str], separator: str = ",") -> str:
    """Return the texts that are not empty, in one."""
    return separator.join(filter(None, texts))


def first_few(texts: Sequence[str], empty: str = NONE, *, shown_max: int = SHOWN_MAX) -> str:
    """Return the first texts, and how many more there are."""
    if not texts:
        return empty
    shown = ",".join(texts[:shown_max])
    rest = len(texts) - shown_max
    return f"{shown} + {rest} more..." if rest > 0 else shown


def labels_text(labels: Mapping[str, Any]) -> str:
    """Return `a=b,c=d`."""
    return or_none(",".join(f"{key}={value}" for key, value in sorted(labels.items())))


_OPERATORS = {"In": "in", "NotIn": "notin"}


def selector_text(selector: object) -> str:
    """Return a LabelSelector object as text."""
    parts = [f"{key}={value}" for key, value in object_at(selector, "matchLabels").items()]
    for expression in list_at(selector, "matchExpressions"):
        key, operator = string_at(expression, "key"), string_at(expression, "operator")
        values = ",".join(map(str, list_at(expression, "values")))
        if operator in _OPERATORS:
            parts.append(f"{key} {_OPERATORS[operator]} ({values})")
        else:
            parts.append(f"!{key}" if operator == "DoesNotExist" else key)
    return or_none(",".join(sorted(parts)))


def containers_and_images(template: JsonObject) -> Cells:
    """Return the names of containers and of their images."""
    containers = list_at(template, "spec", "containers")
    return [
        ",".join(string_at(one, "name") for one in containers),
        ",".join(string_at(one, "image") for one in containers),
    ]


def condition(obj: JsonObject, kind: str) -> JsonObject:
    """Return a condition of the status, or an empty one."""
    for one in list_at(obj, "status", "conditions"):
        if one.get("type") == kind:
            found: JsonObject = one
            return found
    return {}


def is_true(obj: JsonObject, kind: str) -> bool:
    """Say whether a condition is True."""
    return condition(obj, kind).get("status") == "True"
