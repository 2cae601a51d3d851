"""Operations in words, the same in every report."""

import json

from kvstore.check.history import FOREVER, Operation, Outcome
from kvstore.check.json_value import Json

_LENGTH_MAX = 120


def short(value: Json) -> str:
    """Return `value` as JSON, cut to one readable length."""
    text = json.dumps(value, default=dict, ensure_ascii=False)
    return text if len(text) <= _LENGTH_MAX else text[: _LENGTH_MAX - 1] + "…"


def printable(text: str) -> str:
    """Return `text` as UTF-8 can hold it: bytes of keys that were none are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def call_text(operation: Operation) -> str:
    """Return what was asked: `put {"key": "a"}`."""
    return f"{operation.kind} {short(operation.arguments)}"


def outcome_text(operation: Operation) -> str:
    """Return what the client was told."""
    match operation.outcome:
        case Outcome.OK:
            return short(operation.result)
        case Outcome.REFUSED:
            return f"refused {operation.error}".rstrip()
        case Outcome.UNKNOWN:
            return f"unknown {operation.error}".rstrip()


def operation_text(operation: Operation) -> str:
    """Return one line about an operation."""
    end = "" if operation.returned == FOREVER else f"{operation.returned:.6f}"
    return (
        f"#{operation.index} [{operation.invoked:.6f} .. {end}] {operation.client}: "
        f"{call_text(operation)} -> {outcome_text(operation)}"
    )
