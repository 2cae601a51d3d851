"""The parts of a transaction on lists or registers: Jepsen's micro-operations, `[f, k, v]`."""

from collections.abc import Sequence
from typing import NamedTuple

from kvstore.check.history import Operation, Outcome
from kvstore.check.json_value import Json, MalformedHistory, frozen, items


class MicroOperation(NamedTuple):
    """A read of a key, with what was read, or a write or append of a value."""

    function: str
    """`r`, `w` or `append`."""
    key: str
    value: object
    """Hashable. Of a read: None until it is known, and where nothing was there."""

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing."""
        return self.function == "r"


def micro_operations(operation: Operation) -> tuple[MicroOperation, ...]:
    """Return the parts of a `transaction`, from its result where it is known.

    Raises:
        MalformedHistory: it is no such transaction.
    """
    if operation.kind != "transaction":
        raise MalformedHistory(
            f"operation {operation.index}: {operation.kind!r} is no transaction of micro-operations"
        )
    fields = operation.fields if operation.outcome is Outcome.OK else operation.arguments
    try:
        return tuple(_micro_operation(item) for item in items(fields, "ops"))
    except MalformedHistory as problem:
        raise MalformedHistory(f"operation {operation.index}: {problem}") from problem


def _micro_operation(item: Json) -> MicroOperation:
    match item:
        case ["r" | "w" | "append" as function, key, value] if isinstance(function, str):
            name = key if isinstance(key, str) else repr(key)
            if function == "r" and isinstance(value, Sequence) and not isinstance(value, str):
                return MicroOperation(function, name, tuple(frozen(element) for element in value))
            return MicroOperation(function, name, frozen(value))
        case _:
            raise MalformedHistory(f"{item!r} is not [r|w|append, key, value]")
