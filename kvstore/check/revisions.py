"""Strict serializability in linear time, where the store tells its revisions.

Every change has a revision of its own, so the order of writes is not searched for but given. What
is left to prove: the revisions fit real time; replaying the writes in their order gives every
result; a read shows the state at the revision it names. If all of that holds, the order "by
revision, a write before the reads of its revision" is a linearization.

An operation of unknown outcome is placed where a revision has no other writer, if only it fits
there. Where several differing ones fit, the likeliest is taken: if all else fits, too, that is an
explanation. If it does not, the guess may be to blame, and another is taken; after some tries, the
search has to decide.
"""

from collections.abc import Container
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from kvstore.check.etcd_model import explains, keys_of
from kvstore.check.history import FOREVER, History, Operation, Outcome
from kvstore.check.json_value import Fields, Json, integer, items, mapping
from kvstore.check.keyspace import Applied, Effect, Keyspace, agrees, apply
from kvstore.check.lookahead import Lookahead
from kvstore.check.real_time import Broken, Knowledge, check_floors, check_members, stale
from kvstore.check.silence import Silence
from kvstore.check.store_evidence import (
    REPLAYED,
    WRITES,
    Expiry,
    contents,
    expiries,
    is_replayed,
    is_serializable,
    mentions,
    revision_of,
)
from kvstore.check.verdict import Finding, Verdict
from kvstore.check.wording import call_text, short

GUARANTEE = "strictly serializable (revisions)"
_GUESSES_MAX = 30
"""Guesses that are taken back, each by a new replay, before the search has to decide."""
_ORDER_AT_ONE_REVISION = ("grant", "get", "txn", "delete", "put", "compact", "revoke")
"""What leaves the revision alone is replayed so: a lease is granted before it is used."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The store's changes as the replay found them."""

    effects: dict[int, tuple[Effect, ...]] = field(default_factory=dict)
    """By revision, up to `last` without gaps."""
    last: int = 1
    """Up to here (inclusive) nothing else can have happened."""


class _Undecided(Exception):
    """Revisions alone do not tell."""


class _Misguided(_Undecided):
    """Something does not fit, and a guess may be why."""

    def __init__(self, why: str, key: str | None) -> None:
        super().__init__(f"a guess may be why {why}")
        self.key = key
        """What does not fit; None if it is not about one key."""


class _Guess(NamedTuple):
    """One of several writers of a revision, taken."""

    revision: int
    taken: str
    keys: frozenset[str]
    """What it changes, and what the others would have changed."""


def check_revisions(history: History) -> tuple[Finding, Replay]:
    """Judge the operations on the store, and return the changes as far as they could be replayed.

    Raises:
        MalformedHistory: an operation has no sense.
    """
    check, end = _judged(history)
    match end:
        case Broken():
            finding = Finding(
                guarantee=GUARANTEE,
                verdict=Verdict.VIOLATED,
                summary=end.summary,
                operations=end.operations,
                steps=end.steps,
            )
        case _Undecided():
            finding = Finding(
                guarantee=GUARANTEE,
                verdict=Verdict.UNKNOWN,
                summary=f"revisions do not decide: {end}",
            )
        case _:
            finding = Finding(
                guarantee=GUARANTEE,
                verdict=Verdict.HOLDS,
                summary=f"{check.placed} operations explained, "
                f"replayed up to revision {check.state.revision}",
            )
    certain = {r: effects for r, effects in check.effects.items() if r < check.guessed_from}
    return finding, Replay(certain, max(certain, default=history.start_revision))


def _judged(history: History) -> tuple["_Check", Broken | _Undecided | None]:
    """Return the last replay and what ended it; None if all fits."""
    banned: set[tuple[int, str]] = set()
    tries = _GUESSES_MAX
    while True:
        check = _Check(history, banned)
        try:
            check.run()
        except _Misguided as misguided:
            tries -= 1
            if tries == 0:
                return check, misguided
            guess = check.culprit(misguided.key)
            banned.add((guess.revision, guess.taken))
        except (Broken, _Undecided) as end:
            return check, end
        else:
            return check, None


_Candidates: TypeAlias = "list[tuple[Operation | Expiry, Applied]]"
"""Who may have made a revision, and what each would have done."""


class _Check:
    def __init__(self, history: History, banned: Container[tuple[int, str]]) -> None:
        """Take a history, and the guesses (revision, writer) that did not fit before."""
        self._history = history
        self._banned = banned
        self._guesses: list[_Guess] = []
        self._contents = contents(history)
        self._knowledge = Knowledge(history)
        self._replayed = [o for o in history.operations if is_replayed(o)]
        self._unknown = [
            o for o in self._replayed if o.outcome is Outcome.UNKNOWN and o.kind in WRITES
        ]
        self._expiries = expiries(self._replayed)
        self._at: dict[int, list[Operation]] = {}
        """By the revision of their answer, what is about the present."""
        self._about: dict[int, list[Operation]] = {}
        """By the revision asked for, what is about the past."""
        # A lease whose grant is unknown may exist from the start: nobody can tell the difference.
        maybe = (o for o in self._replayed if o.kind == "grant" and o.outcome is Outcome.UNKNOWN)
        self.state = Keyspace(
            revision=history.start_revision,
            leases=frozenset(integer(o.arguments, "id") for o in maybe),
        )
        self.effects: dict[int, tuple[Effect, ...]] = {}
        self.placed = 0
        self.guessed_from = FOREVER
        """The first revision whose writer is a guess."""
        self._lookahead: Lookahead | None = None
        self._silence = Silence(history)
        self._touched = _touched_by(self._unknown, self._expiries)

    def run(self) -> None:
        """Check everything.

        Raises:
            Broken: something does not hold.
            _Undecided: a search is needed.
        """
        self._check_contents()
        check_floors(self._history, self._knowledge)
        check_members(self._history)
        self._group_by_revision()
        for revision, at in sorted(self._at.items()):
            _check_one_writer(revision, at)
        if not self._history.is_complete:
            raise _Undecided("others wrote to the store, and their writes are not recorded")
        silent = [
            o.index for o in self._replayed if o.outcome is Outcome.OK and revision_of(o) is None
        ]
        if silent:
            raise _Undecided(f"{len(silent)} results name no revision, the first #{silent[0]}")
        self._read_at_this_revision()
        last = max((self._knowledge.last_revision, *self._contents))
        for revision in range(self.state.revision + 1, last + 1):
            applied = self._write(revision)
            self.state = applied.keyspace
            self.effects[revision] = applied.effects
            self._read_at_this_revision()

    def _check_contents(self) -> None:
        for revision, keys in self._contents.items():
            for key, sights in keys.items():
                if len(sights) > 1:
                    one, other = sights[:2]
                    raise Broken(
                        f"revision {revision} of {key!r} was seen with two contents",
                        [one.operation, other.operation],
                        f"{one.value!r} by {one.by}",
                        f"{other.value!r} by {other.by}",
                    )

    def _group_by_revision(self) -> None:
        for operation in self._history.operations:
            revision = revision_of(operation)
            if revision is None or operation.kind not in REPLAYED:
                continue
            past = integer(operation.arguments, "revision", 0) if operation.kind == "get" else 0
            if past > revision:
                raise Broken(
                    f"#{operation.index} was shown revision {past}, when the store was at "
                    f"{revision}",
                    [operation.index],
                )
            group = self._about if past > 0 else self._at
            group.setdefault(past if past > 0 else revision, []).append(operation)

    # --- the writer of a revision

    def _write(self, revision: int) -> Applied:
        """Return what the writer of `revision` did, to the state before it."""
        at = self._at.get(revision, [])
        writers = [o for o in at if has_written(o)]
        if not writers:
            return self._unknown_writer(revision, at)
        writer = writers[0]
        floor = self._knowledge.floor(writer)
        if floor.revision >= revision:
            raise stale(writer, floor, f"wrote revision {revision}")
        applied = apply(self.state, writer.kind, writer.arguments)
        if applied is None or not applied.effects or not agrees(writer.fields, applied.response):
            raise self._unless_guessed(writer, self._disagrees(writer, applied))
        unlike = next(
            (
                (key, sights[0])
                for key, sights in self._contents.get(revision, {}).items()
                if not explains(applied, {key: sights})
            ),
            None,
        )
        if unlike is not None:
            key, sight = unlike
            raise Broken(
                f"revision {revision} was written by #{writer.index}, which did not do to {key!r} "
                f"what {sight.by} saw",
                [writer.index, sight.operation],
                f"#{writer.index}: {call_text(writer)}",
                f"{sight.by} saw: {'deleted' if sight.value is None else repr(sight.value)}",
            )
        at.remove(writer)
        self.placed += 1
        return applied

    def _unknown_writer(self, revision: int, at: list[Operation]) -> Applied:
        """Return the effect of the one operation, or expiry, that can be the writer.

        Candidates are those in `at` whose result does not tell, and those of unknown outcome.
        """
        limit = self._knowledge.first_seen(revision)
        seen = self._contents.get(revision, {})
        silent = [o for o in at if has_written(o) is None]
        candidates: list[Operation | Expiry] = [*silent, *self._unknown, *self._expiries]
        found = [
            (candidate, applied)
            for candidate in candidates
            if candidate.invoked <= limit
            and (applied := self._as_writer(candidate, revision)) is not None
            and explains(applied, seen)
        ]
        if not found and self.guessed_from != FOREVER:
            raise _Misguided(f"nothing can have written {revision=}", next(iter(seen), None))
        if not found:
            witness = self._knowledge.witness(revision)
            raise Broken(
                f"revision {revision} has no writer: no operation that can have made it is left",
                [witness.operation if witness is not None else None],
                *([f"{witness.by} was told revision {witness.revision}"] if witness else []),
                *(f"{sights[0].by} saw it change {key!r}" for key, sights in sorted(seen.items())),
            )
        found = self._undenied(revision, found)
        chosen, applied = found[0]
        if any(not _interchangeable(chosen, other) for other, _ in found[1:]):
            self.guessed_from = min(self.guessed_from, revision)
            self._lookahead = self._lookahead or Lookahead(self._history, has_written)
            rank = self._lookahead.rank
            chosen, applied = min(
                found,
                key=lambda pair: (
                    (revision, _name(pair[0])) in self._banned,
                    rank(revision, pair[1].effects),
                ),
            )
            keys = frozenset(effect.key for _, other in found for effect in other.effects)
            self._guesses.append(_Guess(revision, _name(chosen), keys))
        if isinstance(chosen, Operation):
            (at if chosen in at else self._unknown).remove(chosen)
            self.placed += 1
        return applied

    def _undenied(self, revision: int, found: _Candidates) -> _Candidates:
        """Return the candidates that no watch denies by its silence; the only one is believed.

        Raises:
            Broken: whichever it was, a watch ought to have been told.
        """
        if len(found) == 1:
            return found
        denials = [self._silence.denies(revision, applied.effects) for _, applied in found]
        undenied = [pair for pair, denial in zip(found, denials, strict=True) if denial is None]
        if undenied:
            return undenied
        if self.guessed_from != FOREVER:
            return found
        raise Broken(
            f"watch {denials[0]} was not told of revision {revision}, whoever made it",
            [],
            *(
                f"{_name(candidate)} would have changed {effect.key!r}: watch {denial}"
                for (candidate, applied), denial in zip(found, denials, strict=True)
                for effect in applied.effects
            ),
        )

    def _as_writer(self, candidate: Operation | Expiry, revision: int) -> Applied | None:
        """Return what the candidate would have done; None if it cannot have made `revision`."""
        if isinstance(candidate, Expiry):
            applied = apply(self.state, "revoke", {"id": candidate.lease})
            return applied if applied is not None and applied.effects else None
        if self._knowledge.floor(candidate).revision >= revision:
            return None
        applied = apply(self.state, candidate.kind, candidate.arguments)
        if applied is None or not applied.effects:
            return None
        return applied if agrees(candidate.fields, applied.response) else None

    # --- what leaves the revision alone

    def _read_at_this_revision(self) -> None:
        at = self._at.get(self.state.revision, [])
        at.sort(key=lambda o: (_ORDER_AT_ONE_REVISION.index(o.kind), o.invoked))
        for operation in (*at, *self._about.get(self.state.revision, [])):
            self.placed += 1
            arguments = operation.arguments
            if operation.kind == "get":
                arguments = {n: value for n, value in arguments.items() if n != "revision"}
            applied = apply(self.state, operation.kind, arguments)
            if operation.kind == "compact":
                continue
            if operation.kind in {"grant", "revoke"}:
                if applied is None or applied.effects:
                    why = f"#{operation.index} depends on a lease that may have run out"
                    raise _Misguided(why, None) if self._guesses else _Undecided(why)
                self.state = applied.keyspace
                continue
            response = {} if applied is None else {**applied.response}
            if operation.kind == "get":
                response.pop("revision", None)
            if applied is None or applied.effects or not agrees(operation.fields, response):
                raise self._unless_guessed(operation, self._disagrees(operation, applied))

    def _disagrees(self, operation: Operation, applied: Applied | None) -> Broken:
        revision = revision_of(operation)
        if applied is None:
            why = "a correct store would have refused it then"
        elif operation.kind in WRITES and not applied.effects and has_written(operation):
            why = "there was nothing for it to change then"
        else:
            why = f"a correct store would have answered {short(applied.response)}"
        return Broken(
            f"the result of #{operation.index} ({operation.kind}) does not fit revision {revision}",
            [*self._last_writers(operation), operation.index],
            f"#{operation.index}: {call_text(operation)} -> {short(operation.result)}",
            why,
        )

    def _unless_guessed(self, operation: Operation, broken: Broken) -> Exception:
        """Return what is known of a misfit: nothing, if a guess may be to blame."""
        key = operation.arguments.get("key")
        is_certain = self.guessed_from == FOREVER or (
            operation.kind in {"get", "put"}
            and "range_end" not in operation.arguments
            and self._touched is not None
            and key not in self._touched
        )
        if is_certain:
            return broken
        return _Misguided(broken.summary, key if isinstance(key, str) else None)

    def culprit(self, key: str | None) -> _Guess:
        """Return the latest guess that may be why something about `key` does not fit."""
        about = (guess for guess in reversed(self._guesses) if key in guess.keys)
        return next(about, self._guesses[-1])

    def _last_writers(self, operation: Operation) -> list[int]:
        """Return the operations whose writes the result ought to show."""
        wanted = {
            effect.after.mod_revision
            for effect in self.effects.get(self.state.revision, ())
            if effect.after is not None
        }
        key = operation.arguments.get("key")
        if isinstance(key, str) and (value := self.state.keys.get(key)) is not None:
            wanted = {value.mod_revision}
        return [
            o.index
            for o in self._replayed
            if o.index != operation.index and revision_of(o) in wanted and has_written(o)
        ]


def has_written(operation: Operation) -> bool | None:
    """Whether a write that is ok made its revision; None if its result does not tell."""
    match operation.kind:
        case "put":
            return True
        case "delete":
            deleted = operation.fields.get("deleted")
            return deleted > 0 if isinstance(deleted, int) else None
        case "txn":
            return _txn_has_written(operation.arguments, operation.fields)
        case "revoke":
            return None
        case _:
            return False


def _txn_has_written(arguments: Fields, result: Fields) -> bool | None:
    succeeded = result.get("succeeded")
    if not isinstance(succeeded, bool):
        return None
    requests = [
        mapping(item, "a request of a txn")
        for item in items(arguments, "success" if succeeded else "failure")
    ]
    if any(request.get("kind") == "put" for request in requests):
        return True
    if all(request.get("kind") == "get" for request in requests):
        return False
    responses: list[Json] = [*items(result, "responses")]
    if len(responses) != len(requests):
        return None
    verdicts = []
    for request, response in zip(requests, responses, strict=True):
        fields = mapping(response, "a response of a txn")
        if request.get("kind") == "delete":
            deleted = fields.get("deleted")
            verdicts.append(deleted > 0 if isinstance(deleted, int) else None)
        elif request.get("kind") == "txn":
            verdicts.append(_txn_has_written(request, fields))
    return True if True in verdicts else None if None in verdicts else False


def _check_one_writer(revision: int, operations: list[Operation]) -> None:
    writers = [o for o in operations if has_written(o) and not is_serializable(o)]
    if len(writers) > 1:
        raise Broken(
            f"revision {revision} was given to {len(writers)} writes",
            [o.index for o in writers],
            *(f"#{o.index}: {call_text(o)}" for o in writers),
        )


def _touched_by(unknown: list[Operation], expiries: list[Expiry]) -> set[str] | None:
    """Return the keys that operations of unknown outcome may change; None if they may be any."""
    if expiries or any(
        o.kind == "revoke" or mentions(o.arguments, frozenset({"range_end"})) for o in unknown
    ):
        return None
    return {key for operation in unknown for key in keys_of(operation)}


def _name(candidate: Operation | Expiry) -> str:
    if isinstance(candidate, Expiry):
        return f"expiry of {candidate.lease}"
    return f"#{candidate.index}"


def _interchangeable(one: Operation | Expiry, other: Operation | Expiry) -> bool:
    """Whether it makes no difference, now or later, which of the two took effect."""
    if isinstance(one, Expiry) or isinstance(other, Expiry):
        lease = one.lease if isinstance(one, Expiry) else one.arguments.get("id")
        kinds = {"revoke" if isinstance(x, Expiry) else x.kind for x in (one, other)}
        same = other.lease if isinstance(other, Expiry) else other.arguments.get("id")
        return kinds == {"revoke"} and lease == same
    return one.kind == other.kind and one.arguments == other.arguments
