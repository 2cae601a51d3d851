"""What is wrong at one path of an object, in the words of Kubernetes' `field.Error`."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from cluster.kube_api.objects import compact, joined_quoted, quoted


class Problem(Enum):
    """The kind of a field error: its text, and the reason of its cause in a Status."""

    NOT_FOUND = ("Not found", "FieldValueNotFound")
    REQUIRED = ("Required value", "FieldValueRequired")
    DUPLICATE = ("Duplicate value", "FieldValueDuplicate")
    INVALID = ("Invalid value", "FieldValueInvalid")
    NOT_SUPPORTED = ("Unsupported value", "FieldValueNotSupported")
    FORBIDDEN = ("Forbidden", "FieldValueForbidden")
    TOO_LONG = ("Too long", "FieldValueTooLong")
    TOO_MANY = ("Too many", "FieldValueTooMany")
    INTERNAL = ("Internal error", "InternalError")
    TYPE_INVALID = ("Invalid value", "FieldValueTypeInvalid")


class Printed(str):
    """A value that messages show as it stands here, without quotes."""

    __slots__ = ()


_OMITTED = Printed("")
_WITHOUT_VALUE = {Problem.REQUIRED, Problem.FORBIDDEN, Problem.TOO_LONG, Problem.INTERNAL}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One problem at one path, as `spec.containers[0].name`."""

    problem: Problem
    path: str
    value: object = _OMITTED
    detail: str = ""

    @property
    def body(self) -> str:
        """What a Status says in the cause of this error: everything but the path."""
        text = self.problem.value[0]
        if self.problem not in _WITHOUT_VALUE and self.value is not _OMITTED:
            text = f"{text}: {_shown(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.path}: {self.body}" if self.path else self.body


def _shown(value: object) -> str:
    if isinstance(value, Printed):
        return str.__str__(value)
    if isinstance(value, str):
        return quoted(value)
    return compact(value)


def required(path: str, detail: str = "") -> FieldError:
    """A value has to be there."""
    return FieldError(Problem.REQUIRED, path, "", detail)


def invalid(path: str, value: object, detail: str) -> FieldError:
    """The value is malformed, or does not fit the others."""
    return FieldError(Problem.INVALID, path, value, detail)


def type_invalid(path: str, value: object, detail: str) -> FieldError:
    """The value has another JSON type than the schema says."""
    return FieldError(Problem.TYPE_INVALID, path, value, detail)


def forbidden(path: str, detail: str) -> FieldError:
    """The value would be well-formed, but must not be there or must not change."""
    return FieldError(Problem.FORBIDDEN, path, "", detail)


def duplicate(path: str, value: object) -> FieldError:
    """Another item has the same key."""
    return FieldError(Problem.DUPLICATE, path, value)


def not_found(path: str, value: object) -> FieldError:
    """What the value names does not exist."""
    return FieldError(Problem.NOT_FOUND, path, value)


def not_supported(path: str, value: object, supported: Iterable[str]) -> FieldError:
    """The value is none of an enumeration."""
    detail = f"supported values: {joined_quoted(supported)}"
    return FieldError(Problem.NOT_SUPPORTED, path, value, detail)


def too_long(path: str, bytes_max: int) -> FieldError:
    """The text is too long."""
    return FieldError(Problem.TOO_LONG, path, "", f"may not be more than {bytes_max} bytes")


def too_many(path: str, actual: int, items_max: int) -> FieldError:
    """The list has too many items."""
    noun = "item" if items_max == 1 else "items"
    return FieldError(Problem.TOO_MANY, path, actual, f"must have at most {items_max} {noun}")


def aggregate(errors: Iterable[FieldError]) -> str:
    """Return the text of all errors, each once: bare if it is one, else `[a, b]`."""
    texts = list(dict.fromkeys(str(error) for error in errors))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
