"""The store as the dullest possible program: a map, a revision, a set of leases.

Requests are those of docs/formats/history.md. A keyspace never changes; `apply` returns another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from kvstore.base.key_range import KeyRange
from kvstore.check.json_value import (
    Fields,
    Json,
    MalformedHistory,
    flag,
    integer,
    items,
    mapping,
    text,
)
from kvstore.check.persistent_map import PersistentMap


class KeyValue(NamedTuple):
    """A key's newest version (kv.proto KeyValue)."""

    value: str
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class Effect(NamedTuple):
    """One change of one key: `after` is None for a delete, `before` for a create."""

    key: str
    before: KeyValue | None
    after: KeyValue | None


def key_range(fields: Fields) -> KeyRange:
    """Return the keys that a request or a watch is about."""
    return KeyRange.of(_bytes(text(fields, "key")), _bytes(text(fields, "range_end", "")))


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The whole state. Hashable."""

    revision: int = 1
    compact_revision: int = -1
    keys: PersistentMap[KeyValue] = field(default_factory=PersistentMap)
    leases: frozenset[int] = frozenset()

    def select(self, keys: KeyRange) -> list[tuple[str, KeyValue]]:
        """Return what lies in the range, in the order of the keys' bytes."""
        if keys.is_single:
            key = keys.start.decode("utf-8", "surrogateescape")
            found = self.keys.get(key)
            return [] if found is None else [(key, found)]
        inside = [(_bytes(key), key, value) for key, value in self.keys.items()]
        return [(key, value) for raw, key, value in sorted(inside) if raw in keys]


class Applied(NamedTuple):
    """What a request did."""

    keyspace: Keyspace
    response: Fields
    effects: tuple[Effect, ...]


def apply(keyspace: Keyspace, kind: str, arguments: Fields) -> Applied | None:
    """Carry out a request; None if a correct store would refuse it in this state.

    Raises:
        MalformedHistory: there is no such request.
    """
    match kind:
        case "compact":
            revision = integer(arguments, "revision")
            if not keyspace.compact_revision < revision <= keyspace.revision:
                return None
            compacted = replace(keyspace, compact_revision=revision)
            return Applied(compacted, {"revision": keyspace.revision}, ())
        case "grant":
            lease = integer(arguments, "id")
            if lease in keyspace.leases:
                return None
            granted = replace(keyspace, leases=keyspace.leases | {lease})
            return Applied(granted, {"revision": keyspace.revision, "id": lease}, ())
        case "revoke":
            return _revoke(keyspace, integer(arguments, "id"))
        case _:
            turn = _Turn(keyspace)
            response = turn.request(kind, arguments)
            return None if response is None else turn.applied(response)


def attached(keyspace: Keyspace, lease: int) -> list[str]:
    """Return the keys attached to a lease."""
    return sorted(key for key, value in keyspace.keys.items() if value.lease == lease)


def _revoke(keyspace: Keyspace, lease: int) -> Applied | None:
    if lease not in keyspace.leases:
        return None
    turn = _Turn(replace(keyspace, leases=keyspace.leases - {lease}))
    for key in attached(keyspace, lease):
        turn.delete(key)
    return turn.applied({})


class _Turn:
    """One request on its way: reads see its own writes, which share one revision."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._next = keyspace.revision + 1
        self._effects: list[Effect] = []

    def applied(self, response: Fields) -> Applied:
        keyspace = self._keyspace
        if self._effects:
            keyspace = replace(keyspace, revision=self._next)
        return Applied(keyspace, {**response, "revision": keyspace.revision}, tuple(self._effects))

    def request(self, kind: str, arguments: Fields) -> dict[str, Json] | None:
        match kind:
            case "put":
                return self._put(arguments)
            case "get":
                return self._get(arguments)
            case "delete":
                deleted = self._keyspace.select(key_range(arguments))
                for key, _ in deleted:
                    self.delete(key)
                previous = [_record(key, value) for key, value in deleted]
                return {"deleted": len(deleted), "prev_kvs": previous}
            case "txn":
                return self._txn(arguments)
            case other:
                raise MalformedHistory(f"the store has no {other!r}")

    def delete(self, key: str) -> None:
        before = self._keyspace.keys.get(key)
        self._keyspace = replace(self._keyspace, keys=self._keyspace.keys.without(key))
        self._effects.append(Effect(key, before, None))

    def _put(self, arguments: Fields) -> dict[str, Json] | None:
        key, lease = text(arguments, "key"), integer(arguments, "lease", 0)
        if lease and lease not in self._keyspace.leases:
            return None
        before = self._keyspace.keys.get(key)
        after = KeyValue(
            text(arguments, "value", ""),
            before.create_revision if before else self._next,
            self._next,
            before.version + 1 if before else 1,
            lease,
        )
        self._keyspace = replace(self._keyspace, keys=self._keyspace.keys.with_item(key, after))
        self._effects.append(Effect(key, before, after))
        return {"prev_kv": _record(key, before) if before else None}

    def _get(self, arguments: Fields) -> dict[str, Json]:
        """Read the present; the content of a read of the past is not this state's to know."""
        if integer(arguments, "revision", 0) > 0:
            return {}
        found = self._keyspace.select(key_range(arguments))
        limit = integer(arguments, "limit", 0)
        page = found[:limit] if limit > 0 else found
        response: dict[str, Json] = {"count": len(found), "more": len(page) < len(found)}
        if not flag(arguments, "count_only"):
            keys_only = flag(arguments, "keys_only")
            response["kvs"] = [_record(key, value, keys_only=keys_only) for key, value in page]
        return response

    def _txn(self, arguments: Fields) -> dict[str, Json] | None:
        succeeded = all(
            self._holds(mapping(compare, "a compare")) for compare in items(arguments, "compare")
        )
        responses: list[Json] = []
        for item in items(arguments, "success" if succeeded else "failure"):
            request = mapping(item, "a request of a txn")
            response = self.request(text(request, "kind"), request)
            if response is None:
                return None
            responses.append(response)
        return {"succeeded": succeeded, "responses": responses}

    def _holds(self, compare: Fields) -> bool:
        found = self._keyspace.select(key_range(compare))
        if not found and not text(compare, "range_end", ""):
            # etcd compares an absent key as zeros, but holds no value equal to one (apply_txn.go).
            if text(compare, "target") == "value":
                return False
            found = [(text(compare, "key"), KeyValue("", 0, 0, 0, 0))]
        return all(_compares(compare, value) for _, value in found)


def _compares(compare: Fields, found: KeyValue) -> bool:
    target, wanted = text(compare, "target"), compare.get("value")
    actual: int | str
    match target:
        case "value":
            actual = found.value
        case "version":
            actual = found.version
        case "create_revision":
            actual = found.create_revision
        case "mod_revision":
            actual = found.mod_revision
        case "lease":
            actual = found.lease
        case other:
            raise MalformedHistory(f"a compare has no target {other!r}")
    return _stands(actual, text(compare, "operator", "="), wanted)


def _stands(actual: int | str, operator: str, wanted: Json) -> bool:
    if operator == "=":
        return actual == wanted
    if operator == "!=":
        return actual != wanted
    if isinstance(actual, str) and isinstance(wanted, str):
        less, greater = _bytes(actual) < _bytes(wanted), _bytes(actual) > _bytes(wanted)
    elif isinstance(actual, int) and isinstance(wanted, int):
        less, greater = actual < wanted, actual > wanted
    else:
        raise MalformedHistory(f"{actual!r} {operator} {wanted!r} cannot be compared")
    if operator not in {"<", ">"}:
        raise MalformedHistory(f"a compare has no operator {operator!r}")
    return less if operator == "<" else greater


def _record(key: str, value: KeyValue, *, keys_only: bool = False) -> Fields:
    return {
        "key": key,
        "value": "" if keys_only else value.value,
        "create_revision": value.create_revision,
        "mod_revision": value.mod_revision,
        "version": value.version,
        "lease": value.lease,
    }


def agrees(recorded: Json, computed: Json) -> bool:
    """Whether all that was recorded is as computed; what was not recorded may be anything."""
    if isinstance(recorded, Mapping):
        return isinstance(computed, Mapping) and all(
            name not in computed or agrees(value, computed[name])
            for name, value in recorded.items()
        )
    if isinstance(recorded, Sequence) and not isinstance(recorded, str):
        return (
            isinstance(computed, Sequence)
            and not isinstance(computed, str)
            and len(recorded) == len(computed)
            and all(map(agrees, recorded, computed))
        )
    return recorded == computed
