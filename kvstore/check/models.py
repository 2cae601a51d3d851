"""Models of small objects: registers, lists, locks. `etcd_model` has the store's own."""

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from kvstore.check.components import components
from kvstore.check.history import Operation, Outcome
from kvstore.check.json_value import MalformedHistory, frozen
from kvstore.check.linearizability import Call, Part
from kvstore.check.micro_operations import MicroOperation, micro_operations
from kvstore.check.persistent_map import PersistentMap

Boxed: TypeAlias = tuple[object]
"""A register's value, boxed: a register that holds null has a state, too."""
Lists: TypeAlias = PersistentMap[tuple[object, ...]]
Holder: TypeAlias = str
"""The client that holds a mutex; empty when it is free."""

State = TypeVar("State")


def key_of(operation: Operation) -> str:
    """Return the name of the object that an operation is about; there may be just one, unnamed."""
    key = operation.arguments.get("key", "")
    return key if isinstance(key, str) else repr(key)


class RegisterModel:
    """Registers with `read`, `write` and `cas`, one per key; each begins as null."""

    name = "register"

    def parts(self, operations: Sequence[Operation]) -> list[Part[Boxed]]:
        """Cut by key."""
        return [
            Part(
                _named("register", key), (None,), tuple(_call(o, _register_step(o)) for o in group)
            )
            for key, group in components(operations, lambda o: (key_of(o),))
        ]

    def describe(self, state: Boxed) -> str:
        """Return the value."""
        return f"value {state[0]!r}"


def _register_step(operation: Operation) -> Callable[[Boxed], Boxed | None]:
    arguments = operation.arguments
    is_known = operation.outcome is Outcome.OK
    match operation.kind:
        case "read":
            seen = (frozen(operation.result),)
            return lambda state: state if not is_known or state == seen else None
        case "write":
            written = (frozen(arguments.get("value")),)
            return lambda _state: written
        case "cas":
            old, new = (frozen(arguments.get("old")),), (frozen(arguments.get("new")),)
            said = operation.result if is_known else None

            def step(state: Boxed) -> Boxed | None:
                fits = state == old
                if isinstance(said, bool) and said is not fits:
                    return None
                return new if fits else state

            return step
        case other:
            raise MalformedHistory(f"operation {operation.index}: a register has no {other!r}")


class ListAppendModel:
    """Transactions that append to and read lists, all at one instant (`transaction`)."""

    name = "list-append"

    def parts(self, operations: Sequence[Operation]) -> list[Part[Lists]]:
        """Cut into sets of keys that no transaction connects."""
        micro = {operation.index: micro_operations(operation) for operation in operations}
        groups = components(operations, lambda o: [m.key for m in micro[o.index]])
        return [
            Part(
                _named("list", key),
                PersistentMap(),
                tuple(_call(o, _lists_step(o, micro[o.index])) for o in group),
            )
            for key, group in groups
        ]

    def describe(self, state: Lists) -> str:
        """Return the lists."""
        return ", ".join(f"{key}: {list(values)}" for key, values in sorted(state.items()))


def _lists_step(
    operation: Operation, micro: Sequence[MicroOperation]
) -> Callable[[Lists], Lists | None]:
    is_known = operation.outcome is Outcome.OK

    def step(state: Lists) -> Lists | None:
        for part in micro:
            values = state.get(part.key) or ()
            if part.is_read:
                if is_known and (part.value or ()) != values:
                    return None
            else:
                state = state.with_item(part.key, (*values, part.value))
        return state

    return step


class MutexModel:
    """Locks with `acquire` and `release`, one per key; who holds one must not acquire it again."""

    name = "mutex"

    def parts(self, operations: Sequence[Operation]) -> list[Part[Holder]]:
        """Cut by key."""
        return [
            Part(_named("lock", key), "", tuple(_call(o, _mutex_step(o)) for o in group))
            for key, group in components(operations, lambda o: (key_of(o),))
        ]

    def describe(self, state: Holder) -> str:
        """Return who holds it."""
        return f"held by {state}" if state else "free"


def _mutex_step(operation: Operation) -> Callable[[Holder], Holder | None]:
    # The box of a client's name: the free state, "", is no client.
    client = f"client {operation.client}"
    match operation.kind:
        case "acquire":
            return lambda holder: None if holder else client
        case "release":
            return lambda holder: "" if holder == client else None
        case other:
            raise MalformedHistory(f"operation {operation.index}: a mutex has no {other!r}")


def _call(operation: Operation, step: Callable[[State], State | None]) -> Call[State]:
    return Call(operation.index, operation.invoked, operation.completed, step)


def _named(kind: str, key: str) -> str:
    return f"{kind} {key!r}" if key else f"the {kind}"
