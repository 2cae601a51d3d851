"""CEL rules of custom resources, evaluated by the library common-expression-language.

The library is the language; Kubernetes' own functions that it lacks are in `rule_functions`. A rule
that uses others, or syntax that the library does not know (`?.`), is refused when its definition is
created: a rule is never skipped.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import cel

from cluster.kube_api.crd.rule_functions import FUNCTIONS
from cluster.kube_api.field_errors import FieldError, Problem
from cluster.kube_api.objects import JsonValue, list_at, string_at

_BUILT_IN = frozenset(
    [
        *("size", "contains", "startsWith", "endsWith", "matches", "has", "in"),
        *("all", "exists", "exists_one", "map", "filter"),
        *("int", "uint", "double", "string", "bytes", "bool", "dyn", "type"),
        *("duration", "timestamp", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
        *("getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds"),
    ]
)
_LOOP = re.compile(r"\.(?:all|exists|exists_one|map|filter)\(\s*(\w+)\s*,")
_VARIABLES = frozenset({"self", "oldSelf"})
_REASONS = {
    "FieldValueInvalid": Problem.INVALID,
    "FieldValueForbidden": Problem.FORBIDDEN,
    "FieldValueRequired": Problem.REQUIRED,
    "FieldValueDuplicate": Problem.DUPLICATE,
}


class RuleSyntaxError(ValueError):
    """The text is no rule, or uses what is not known here."""


@lru_cache(maxsize=4096)
def compiled(text: str, variables: frozenset[str] = _VARIABLES) -> "cel.Program":
    """Return the program of an expression about `variables`.

    Raises:
        RuleSyntaxError: it has none.
    """
    try:
        program = cel.compile(text)
    except ValueError as error:
        raise RuleSyntaxError(str(error)) from None
    unknown = (
        {name for name in program.functions() if name[:1].isalpha()} - _BUILT_IN - set(FUNCTIONS)
    )
    if unknown:
        names = ", ".join(sorted(unknown))
        raise RuleSyntaxError(f"undeclared reference to '{names}' (in container '')")
    strangers = set(program.variables()) - variables - _TYPES - set(_LOOP.findall(text))
    if strangers:
        names = ", ".join(sorted(strangers))
        raise RuleSyntaxError(f"undeclared reference to '{names}' (in container '')")
    return program


_TYPES = frozenset(
    {"int", "uint", "double", "string", "bytes", "bool", "list", "map", "null_type", "type"}
)


FAILURES = (ValueError, TypeError, KeyError, RuntimeError, ArithmeticError)
"""What evaluating a rule may raise: a field that is missing, an overload that is not there."""


def evaluated(text: str, variables: Mapping[str, JsonValue]) -> Any:
    """Return the value of an expression.

    Raises:
        RuleSyntaxError: it is none.
        FAILURES: it has no value for these variables.
    """
    context = cel.Context()
    for name, function in FUNCTIONS.items():
        context.add_function(name, function)
    for name, value in variables.items():
        context.add_variable(name, value)
    return compiled(text, _VARIABLES.union(variables)).execute(context)


_NO_OLD = object()


def rule_errors(
    schema: Mapping[str, Any], path: str, value: JsonValue, old: object = _NO_OLD
) -> list[FieldError]:
    """Return the rules of one node that `value` breaks; without `old` not those about changes."""
    errors = []
    for rule in list_at(schema, "x-kubernetes-validations"):
        text = string_at(rule, "rule")
        variables = {"self": value}
        if "oldSelf" in compiled(text).variables():
            if old is _NO_OLD:
                continue
            variables["oldSelf"] = old
        try:
            is_kept = evaluated(text, variables) is True
            message = "" if is_kept else _message(rule, variables)
        except FAILURES as error:
            is_kept, message = False, f"rule evaluation error: {error}"
        if not is_kept:
            problem = _REASONS.get(string_at(rule, "reason"), Problem.INVALID)
            kind = string_at(schema, "type") or "object"
            errors.append(
                FieldError(problem, f"{path}{string_at(rule, 'fieldPath')}", kind, message)
            )
    return errors


def _message(rule: Mapping[str, Any], variables: Mapping[str, JsonValue]) -> str:
    expression = string_at(rule, "messageExpression")
    if expression:
        try:
            text = evaluated(expression, variables)
        except FAILURES:
            text = ""  # Kubernetes falls back to the message, and only logs that
        if isinstance(text, str) and text.strip():
            return text
    return string_at(rule, "message") or f"failed rule: {string_at(rule, 'rule').strip()}"
