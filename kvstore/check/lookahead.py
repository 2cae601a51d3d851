"""Which of several operations of unknown outcome was it? What was seen later gives the likeliest.

This is only ever a guess: a replay that succeeds with it is an explanation all the same, and one
that fails with it proves nothing.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from kvstore.check.history import FOREVER, History, Operation
from kvstore.check.json_value import Fields, items, text
from kvstore.check.keyspace import Effect, key_range
from kvstore.check.store_evidence import key_values, revision_of


class _Seen(NamedTuple):
    """A version of a key that somebody saw."""

    mod_revision: int
    create_revision: int
    version: int


class Lookahead:
    """What was seen of each key, in the order of revisions."""

    def __init__(self, history: History, has_written: Callable[[Operation], bool | None]) -> None:
        seen: dict[str, set[_Seen]] = defaultdict(set)
        self._absent: dict[str, list[int]] = defaultdict(list)
        self._put: dict[str, list[int]] = defaultdict(list)
        self._deleted: dict[str, list[int]] = defaultdict(list)
        for operation in history.operations:
            revision = revision_of(operation)
            if revision is not None:
                for fields in key_values(operation.fields):
                    _note(seen, fields)
                self._note_result(operation, revision, is_write=bool(has_written(operation)))
        for watch in history.watches:
            for event in watch.events:
                if event.create_revision and event.version:
                    known = _Seen(event.revision, event.create_revision, event.version)
                    seen[event.key].add(known)
        self._note_absent(history, {*seen, *self._put, *self._deleted})
        self._seen = {key: sorted(versions) for key, versions in seen.items()}
        for revisions in (*self._absent.values(), *self._put.values(), *self._deleted.values()):
            revisions.sort()

    def _note_result(self, operation: Operation, revision: int, *, is_write: bool) -> None:
        if is_write:
            for kind, key in _writes(operation.kind, operation.arguments, operation.fields):
                (self._put if kind == "put" else self._deleted)[key].append(revision)

    def _note_absent(self, history: History, names: set[str]) -> None:
        """Note the keys that a read of the present covered, and did not show."""
        for operation in history.operations:
            revision = revision_of(operation)
            is_whole = not operation.fields.get("more") and "kvs" in operation.fields
            if operation.kind != "get" or revision is None or not is_whole:
                continue
            if operation.arguments.get("revision"):
                continue
            keys = key_range(operation.arguments)
            shown = {fields.get("key") for fields in key_values(operation.fields)}
            covered = [text(operation.arguments, "key")] if keys.is_single else names
            for name in covered:
                if name not in shown and name.encode("utf-8", "surrogateescape") in keys:
                    self._absent[name].append(revision)

    def rank(self, revision: int, effects: Iterable[Effect]) -> tuple[bool, float]:
        """Return what sorts likely writers of `revision` first: those that are missed soonest."""
        wanted = [self._wanted(revision, effect) for effect in effects]
        return None in wanted, min((by for by in wanted if by is not None), default=FOREVER)

    def _wanted(self, revision: int, effect: Effect) -> float | None:
        """Return the revision that shows it to be missing, if it is; None if it cannot be."""
        key = effect.key
        seen = self._seen.get(key, [])
        place = bisect_left(seen, (revision,))
        following = seen[place] if place < len(seen) else None
        absent = _first_from(self._absent[key], revision)
        ends = min(absent, following.mod_revision if following else FOREVER)
        is_deleted_later = _count(self._deleted[key], revision, ends) > 0
        if effect.after is None:
            if following is not None and following.create_revision <= revision:
                return None
            return FOREVER if is_deleted_later else ends
        if absent <= ends:
            return FOREVER if is_deleted_later else None
        if following is None or following.create_revision > revision:
            return FOREVER
        known = _count(self._put[key], revision, following.mod_revision)
        if following.mod_revision not in self._put[key] and following.mod_revision > revision:
            known += 1
        return None if effect.after.version + known > following.version else ends


def _note(seen: Mapping[str, set[_Seen]], fields: Fields) -> None:
    key = fields.get("key")
    numbers = [fields.get(name) for name in ("mod_revision", "create_revision", "version")]
    if isinstance(key, str) and all(isinstance(number, int) for number in numbers):
        mod_revision, create_revision, version = (n for n in numbers if isinstance(n, int))
        seen[key].add(_Seen(mod_revision, create_revision, version))


def _writes(kind: str, arguments: Fields, result: Fields) -> Iterator[tuple[str, str]]:
    """Yield kind and key of each write to one key."""
    if kind == "txn":
        branch = "success" if result.get("succeeded") else "failure"
        for item in items(arguments, branch):
            if isinstance(item, Mapping):
                yield from _writes(str(item.get("kind")), item, {})
    elif kind in {"put", "delete"}:
        yield kind, str(arguments.get("key"))


def _first_from(revisions: list[int], revision: int) -> float:
    place = bisect_left(revisions, revision)
    return revisions[place] if place < len(revisions) else FOREVER


def _count(revisions: list[int], after: int, until: float) -> int:
    """Count the revisions in (after, until]."""
    return bisect_right(revisions, until) - bisect_right(revisions, after)
