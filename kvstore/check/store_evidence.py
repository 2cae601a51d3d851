"""What a history of the store tells before any replay: who saw which revision, and its content."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kvstore.check.history import History, Operation, Outcome
from kvstore.check.json_value import Fields, Json, flag, integer

REPLAYED = frozenset({"put", "get", "delete", "txn", "compact", "grant", "revoke"})
"""The kinds that the keyspace knows."""
WRITES = frozenset({"put", "delete", "txn", "revoke"})
_TELL_REVISIONS = REPLAYED | {"lock"}


class Seen(NamedTuple):
    """What a revision did to a key, according to one observer."""

    value: str | None
    """None: it was deleted."""
    by: str
    """The observer, in words."""
    operation: int | None
    """The observer, if it is an operation."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """A revoke that the store may decide by itself once the lease was asked for."""

    lease: int
    invoked: float


class Sighting(NamedTuple):
    """Somebody was told a revision."""

    time: float
    revision: int
    operation: int | None
    by: str


def is_serializable(operation: Operation) -> bool:
    """Whether it asked for some past state only."""
    return operation.kind == "get" and flag(operation.arguments, "serializable")


def is_replayed(operation: Operation) -> bool:
    """Whether it may have changed the keyspace, or tells its present state."""
    return (
        operation.kind in REPLAYED
        and operation.outcome is not Outcome.REFUSED
        and not is_serializable(operation)
    )


def revision_of(operation: Operation) -> int | None:
    """Return the header's revision, where it was recorded."""
    revision = operation.fields.get("revision") if operation.outcome is Outcome.OK else None
    return revision if isinstance(revision, int) and not isinstance(revision, bool) else None


def sightings(history: History) -> list[Sighting]:
    """Return who was told which revision and when, in the order of time."""
    found = [
        Sighting(operation.returned, revision, operation.index, f"operation #{operation.index}")
        for operation in history.operations
        if operation.kind in _TELL_REVISIONS and (revision := revision_of(operation)) is not None
    ]
    for watch in history.watches:
        for response in watch.responses:
            # A cancel for compaction carries no revision of the store.
            if response.revision > 0:
                by = f"watch {watch.name}"
                found.append(Sighting(response.time, response.revision, None, by))
    return sorted(found, key=lambda sighting: sighting.time)


def expiries(operations: Iterable[Operation]) -> list[Expiry]:
    """Return the revokes that the store may make because a lease ran out."""
    return [
        Expiry(integer(operation.arguments, "id"), operation.invoked)
        for operation in operations
        if operation.kind == "grant" and operation.outcome is not Outcome.REFUSED
    ]


def contents(history: History) -> dict[int, dict[str, list[Seen]]]:
    """Return what was seen of each revision: by watches, and by reads of keys it wrote."""
    found: dict[int, dict[str, list[Seen]]] = {}

    def note(revision: int, key: str, seen: Seen) -> None:
        known = found.setdefault(revision, {}).setdefault(key, [])
        if all(other.value != seen.value for other in known):
            known.append(seen)

    for watch in history.watches:
        for event in watch.events:
            content = None if event.is_delete else event.value
            note(event.revision, event.key, Seen(content, f"watch {watch.name}", None))
    for operation in history.operations:
        if operation.outcome is Outcome.OK and not mentions(operation.arguments, _VALUELESS):
            for key_value in key_values(operation.fields):
                revision, key = key_value.get("mod_revision"), key_value.get("key")
                value = key_value.get("value")
                if isinstance(revision, int) and isinstance(key, str) and isinstance(value, str):
                    note(
                        revision, key, Seen(value, f"operation #{operation.index}", operation.index)
                    )
    return found


def key_values(fields: Fields) -> Iterator[Fields]:
    """Yield the key-values in a response, those in the responses of a txn included."""
    for name in ("kvs", "prev_kvs"):
        value = fields.get(name)
        if isinstance(value, Sequence) and not isinstance(value, str):
            yield from (item for item in value if isinstance(item, Mapping))
    previous = fields.get("prev_kv")
    if isinstance(previous, Mapping):
        yield previous
    responses = fields.get("responses")
    if isinstance(responses, Sequence) and not isinstance(responses, str):
        for response in responses:
            if isinstance(response, Mapping):
                yield from key_values(response)


_VALUELESS = frozenset({"keys_only"})


def mentions(value: Json, names: frozenset[str]) -> bool:
    """Whether an object somewhere in `value` has a field of one of these names."""
    if isinstance(value, Mapping):
        return any(name in names or mentions(item, names) for name, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(mentions(item, names) for item in value)
    return False
