"""The store as a model for the search: one keyspace with revisions, or keys where none are told.

Used where `kvstore.check.revisions` cannot decide: results without revisions, or revisions that
several operations of unknown outcome may have made.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from kvstore.check.components import components
from kvstore.check.history import FOREVER, History, Operation, Outcome
from kvstore.check.json_value import Fields, items, text
from kvstore.check.keyspace import Applied, Keyspace, agrees, apply
from kvstore.check.linearizability import Call, Part
from kvstore.check.store_evidence import (
    Seen,
    contents,
    expiries,
    is_replayed,
    mentions,
    revision_of,
    sightings,
)

_REVISIONED = frozenset({"revision", "mod_revision", "create_revision", "range_end", "lease"})


class EtcdModel:
    """Put, get, delete, txn, compact, grant and revoke on one keyspace."""

    name = "etcd"

    def __init__(self, history: History) -> None:
        self._start_revision = history.start_revision
        self._contents = contents(history)
        self._last_revision = max((sighting.revision for sighting in sightings(history)), default=0)

    def parts(self, operations: Sequence[Operation]) -> list[Part[Keyspace]]:
        """Cut by key if nothing in the history ties keys together: no revision, range or lease."""
        replayed = [operation for operation in operations if is_replayed(operation)]
        initial = Keyspace(revision=self._start_revision)
        if all(_is_about_values_only(operation) for operation in replayed):
            return [
                Part(f"key {key!r}", initial, tuple(_required(o) for o in group))
                for key, group in components(replayed, keys_of)
            ]
        return [Part("the keyspace", initial, tuple(self._calls(replayed)))] if replayed else []

    def describe(self, state: Keyspace) -> str:
        """Return revision and keys."""
        keys = (
            f"{key}={value.value!r}@{value.mod_revision}"
            for key, value in sorted(state.keys.items())
        )
        return f"revision {state.revision}, {', '.join(keys) or 'no keys'}"

    def _calls(self, operations: Sequence[Operation]) -> Iterator[Call[Keyspace]]:
        known = [revision_of(o) for o in operations if o.outcome is Outcome.OK]
        taken = frozenset(
            revision
            for operation in operations
            if operation.kind == "put" and (revision := revision_of(operation)) is not None
        )
        # Once all that is known to have happened is placed, nobody sees what else may have.
        last = self._last_revision if None not in known else None
        for operation in operations:
            if operation.outcome is Outcome.OK:
                yield _required(operation)
            else:
                yield Call(
                    operation.index,
                    operation.invoked,
                    FOREVER,
                    self._unknown_step(operation.kind, operation.arguments, taken, last),
                )
        for expiry in expiries(operations):
            step = self._unknown_step("revoke", {"id": expiry.lease}, taken, last)
            yield Call(None, expiry.invoked, FOREVER, step, f"lease {expiry.lease} expires")

    def _unknown_step(
        self, kind: str, arguments: Fields, taken: frozenset[int], last: int | None
    ) -> Callable[[Keyspace], Keyspace | None]:
        """Return a step that makes no revision which another is known to have made."""

        def step(state: Keyspace) -> Keyspace | None:
            applied = apply(state, kind, arguments)
            if applied is None:
                return None
            if applied.effects:
                revision = applied.keyspace.revision
                if revision in taken or (last is not None and revision > last):
                    return None
                if not explains(applied, self._contents.get(revision, {})):
                    return None
            return applied.keyspace

        return step


def explains(applied: Applied, seen: Mapping[str, Sequence[Seen]]) -> bool:
    """Whether the effects include everything that was seen of their revision."""
    after = {effect.key: effect.after and effect.after.value for effect in applied.effects}
    return all(
        key in after and all(sight.value == after[key] for sight in sights)
        for key, sights in seen.items()
    )


def _required(operation: Operation) -> Call[Keyspace]:
    kind, arguments = operation.kind, operation.arguments
    result = operation.fields if operation.outcome is Outcome.OK else {}

    def step(state: Keyspace) -> Keyspace | None:
        applied = apply(state, kind, arguments)
        if applied is None or not agrees(result, applied.response):
            return None
        return applied.keyspace

    return Call(operation.index, operation.invoked, operation.completed, step)


def _is_about_values_only(operation: Operation) -> bool:
    if operation.kind not in {"put", "get", "delete", "txn"}:
        return False
    targets = {
        compare.get("target")
        for compare in items(operation.arguments, "compare")
        if isinstance(compare, Mapping)
    }
    return (
        not targets & {"mod_revision", "create_revision"}
        and not mentions(operation.arguments, _REVISIONED)
        and not mentions(operation.result, _REVISIONED)
    )


def keys_of(operation: Operation) -> Iterable[str]:
    """Return the keys that a put, get, delete or txn on single keys names."""
    if operation.kind != "txn":
        return [text(operation.arguments, "key")]
    return _keys_of_txn(operation.arguments)


def _keys_of_txn(arguments: Fields) -> list[str]:
    found = []
    for part in ("compare", "success", "failure"):
        for item in items(arguments, part):
            if isinstance(item, Mapping):
                found += [text(item, "key")] if "key" in item else _keys_of_txn(item)
    return found
