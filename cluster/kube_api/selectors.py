"""Label selectors: the text of a query, and the object of a spec, as the same requirements.

The grammar and its complaints are those of Kubernetes' `labels.Parse`; clients show them to people.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cluster.kube_api import names
from cluster.kube_api.field_errors import FieldError, Printed, invalid
from cluster.kube_api.objects import list_at, member, object_at

SELECTOR_CHARS_MAX = 64 * 1024


class Operator(Enum):
    """What a requirement asks of a label."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    DOES_NOT_EXIST = "!"
    GREATER_THAN = "gt"
    LESS_THAN = "lt"


class SelectorSyntaxError(ValueError):
    """The text of a selector cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `values` are sorted and each there once."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, Any]) -> bool:
        """Say whether `labels` fulfil this. A label that is absent fulfils `!=` and `notin`."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value is not None and value in self.values
            case Operator.NOT_IN:
                return value is None or value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None
            case Operator.GREATER_THAN:
                number = _integer(value)
                return number is not None and number > int(self.values[0])
            case Operator.LESS_THAN:
                number = _integer(value)
                return number is not None and number < int(self.values[0])

    def __str__(self) -> str:
        symbol = _SYMBOLS.get((self.operator, len(self.values)))
        if symbol is not None:
            return f"{self.key}{symbol}{self.values[0]}"
        match self.operator:
            case Operator.EXISTS:
                return self.key
            case Operator.DOES_NOT_EXIST:
                return f"!{self.key}"
            case _:
                return f"{self.key} {self.operator.value} ({','.join(self.values)})"


_SYMBOLS = {
    (Operator.IN, 1): "=",
    (Operator.NOT_IN, 1): "!=",
    (Operator.GREATER_THAN, 1): ">",
    (Operator.LESS_THAN, 1): "<",
}


def _integer(value: object) -> int | None:
    text = value if isinstance(value, str) else ""
    if re.fullmatch(r"[+-]?[0-9]{1,19}", text) is None:
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Conditions that all have to hold; without any, everything matches."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, Any]) -> bool:
        """Say whether `labels` fulfil every requirement."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def is_everything(self) -> bool:
        """Whether no condition is made."""
        return not self.requirements

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING = LabelSelector()


class Nothing(LabelSelector):
    """What a spec without a selector selects."""

    __slots__ = ()

    def matches(self, labels: Mapping[str, Any]) -> bool:
        """Say no."""
        return False


NOTHING = Nothing()

_TOKEN = re.compile(r"[ \t\n\r]*(?:(==|!=|[=!<>(),])|([^=!<>(), \t\n\r]+))")
_BINARY = {
    "in": Operator.IN,
    "notin": Operator.NOT_IN,
    "=": Operator.IN,
    "==": Operator.IN,
    "!=": Operator.NOT_IN,
    ">": Operator.GREATER_THAN,
    "<": Operator.LESS_THAN,
}
_BINARY_TEXT = "in, notin, =, ==, !=, gt, lt"


def parse_label_selector(text: str) -> LabelSelector:
    """Read a selector as `app=web,tier in (a, b),!old`.

    Raises:
        SelectorSyntaxError: `text` is none.
    """
    if len(text) > SELECTOR_CHARS_MAX:
        raise SelectorSyntaxError(f"selector is longer than {SELECTOR_CHARS_MAX} characters")
    return LabelSelector(tuple(_Parser(text).selector()))


class _Parser:
    """Reads tokens, each (is a symbol, text), from left to right; the end is an empty symbol."""

    def __init__(self, text: str) -> None:
        self._tokens = [(bool(symbol), symbol or word) for symbol, word in _TOKEN.findall(text)]
        self._tokens.append((True, ""))
        self._at = 0

    @property
    def _next(self) -> tuple[bool, str]:
        return self._tokens[self._at]

    def _take(self) -> tuple[bool, str]:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def selector(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while self._next != (True, ""):
            is_symbol, text = self._next
            if is_symbol and text != "!":
                raise _found(text, ", expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self._requirement())
            except SelectorSyntaxError as error:
                raise SelectorSyntaxError(f"unable to parse requirement: {error}") from None
            is_symbol, text = self._take()
            if not is_symbol or text not in ("", ","):
                raise _found(text, ", expected: ',' or 'end of string'")
            if text == ",":
                is_symbol, text = self._next
                if is_symbol and text != "!":
                    raise _found(text, ", expected: identifier after ','")
        return sorted(requirements, key=lambda requirement: requirement.key)

    def _requirement(self) -> Requirement:
        negated = self._next == (True, "!")
        if negated:
            self._take()
        is_symbol, key = self._take()
        if is_symbol:
            raise _found(key, ", expected: identifier")
        _check(_key_errors("key", key))
        if negated:
            return Requirement(key, Operator.DOES_NOT_EXIST)
        if self._next in ((True, ""), (True, ",")):
            return Requirement(key, Operator.EXISTS)
        _, text = self._take()
        operator = _BINARY.get(text)
        if operator is None:
            raise _found(text, f", expected: {_BINARY_TEXT}")
        values = self._values() if text in ("in", "notin") else [self._exact_value()]
        return _checked(Requirement(key, operator, tuple(sorted(set(values)))))

    def _exact_value(self) -> str:
        if self._next in ((True, ""), (True, ",")):
            return ""
        is_symbol, text = self._take()
        if is_symbol:
            raise _found(text, ", expected: identifier")
        return text

    def _values(self) -> list[str]:
        opening = self._take()
        if opening != (True, "("):
            raise _found(opening[1], " expected: '('")
        values: list[str] = []
        value: str | None = None
        while True:
            is_symbol, text = self._take()
            if not is_symbol:
                if value is not None:
                    raise _found(text, ", expected: ',' or ')'")
                value = text
            elif text == ",":
                values.append(value or "")
                value = None
            elif text == ")":
                if values or value is not None:
                    values.append(value or "")
                return values
            else:
                raise _found(text, ", expected: ',', ')' or identifier")


def _found(text: str, expected: str) -> SelectorSyntaxError:
    return SelectorSyntaxError(f"found '{text}'{expected}")


def _check(errors: Sequence[FieldError]) -> None:
    if errors:
        raise SelectorSyntaxError(str(errors[0]))


def _key_errors(path: str, key: str) -> list[FieldError]:
    problems = names.qualified_name(key)
    return [invalid(path, key, "; ".join(problems))] if problems else []


def _value_errors(path: str, value: str) -> list[FieldError]:
    problems = names.label_value(value)
    return [invalid(path, value, "; ".join(problems))] if problems else []


def _checked(requirement: Requirement) -> Requirement:
    values = requirement.values
    path = "values"
    if requirement.operator in (Operator.GREATER_THAN, Operator.LESS_THAN):
        if _integer(values[0]) is None:
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise SelectorSyntaxError(str(invalid(f"{path}[0]", values[0], why)))
    elif not values:
        why = "for 'in', 'notin' operators, values set can't be empty"
        raise SelectorSyntaxError(str(invalid(path, Printed("[]"), why)))
    for index, value in enumerate(values):
        _check(_value_errors(f"{path}[{index}][{requirement.key}]", value))
    return requirement


_OBJECT_OPERATORS = {
    "In": Operator.IN,
    "NotIn": Operator.NOT_IN,
    "Exists": Operator.EXISTS,
    "DoesNotExist": Operator.DOES_NOT_EXIST,
}


def label_selector(spec: Mapping[str, Any] | None) -> LabelSelector:
    """Return the selector of a LabelSelector object; None selects nothing, `{}` everything.

    Raises:
        SelectorSyntaxError: an operator is unknown, or has the wrong values.
    """
    if spec is None:
        return NOTHING
    requirements = [
        Requirement(key, Operator.IN, (str(value),))
        for key, value in object_at(spec, "matchLabels").items()
    ]
    for expression in list_at(spec, "matchExpressions"):
        name = member(expression, "operator")
        operator = _OBJECT_OPERATORS.get(name)
        if operator is None:
            raise SelectorSyntaxError(f'"{name}" is not a valid label selector operator')
        values = tuple(sorted({str(value) for value in list_at(expression, "values")}))
        requirement = Requirement(str(member(expression, "key") or ""), operator, values)
        takes_values = operator in (Operator.IN, Operator.NOT_IN)
        requirements.append(_checked(requirement) if takes_values else requirement)
    return LabelSelector(tuple(sorted(requirements, key=lambda requirement: requirement.key)))


def equality_selector(labels: Mapping[str, Any] | None) -> LabelSelector:
    """Return the selector of a plain map, as Services and ReplicationControllers have.

    An empty map, as none at all, selects nothing.
    """
    if not labels:
        return NOTHING
    requirements = [
        Requirement(key, Operator.IN, (str(value),)) for key, value in sorted(labels.items())
    ]
    return LabelSelector(tuple(requirements))
