"""The guarantees of a watch, by the names of docs/guarantees.md, against the replayed history.

Where the operations could not be replayed, the watches are held against each other: what one was
told of a revision, every other that covers the key must have been told, too. A replay that stopped
is certain up to there, since each of its steps was the only one possible.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from kvstore.base.key_range import KeyRange
from kvstore.check.history import Event, History, Outcome, ResponseKind, Watch, WatchResponse
from kvstore.check.json_value import Fields
from kvstore.check.keyspace import Effect, KeyValue, agrees, key_range
from kvstore.check.revisions import Replay
from kvstore.check.verdict import Finding, Verdict

Problem: TypeAlias = tuple[str, ...]
"""What is wrong; then why, a line each."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What happened, revision by revision, as far as it is known."""

    events: Mapping[int, Mapping[str, Event]]
    """By revision and key, in the order in which a watch shows them."""
    revisions: tuple[int, ...]
    """The revisions in `events`, ascending."""
    replayed_until: int
    """Up to here (inclusive) it comes from the operations: nothing is missing, and the order and
    previous versions are known. What is later comes from the watches themselves."""
    is_compacted: bool
    """Whether previous versions may be gone."""

    def replayed(self, event: Event) -> Event | None:
        """Return what the operations say of an event; None if they do not tell, or deny it."""
        if event.revision > self.replayed_until:
            return None
        return self.events.get(event.revision, {}).get(event.key)


@dataclass(frozen=True, slots=True)
class _Told:
    """A watch, with its responses joined from their fragments."""

    watch: Watch
    keys: KeyRange
    first: int
    """The first revision that it may be told of."""
    responses: tuple[WatchResponse, ...]

    @property
    def events(self) -> Iterator[Event]:
        return (event for response in self.responses for event in response.events)

    def wants(self, event: Event) -> bool:
        return (
            event.revision >= self.first
            and event.key.encode("utf-8", "surrogateescape") in self.keys
            and not (self.watch.no_delete if event.is_delete else self.watch.no_put)
        )

    def missing(self, truth: Truth, first: int, last: int) -> Event | None:
        """Return a wanted event of the revisions from `first` to `last` that it was not told of."""
        seen = {(event.revision, event.key) for event in self.events}
        for revision in truth.revisions:
            if first <= revision <= last:
                for event in truth.events[revision].values():
                    if (revision, event.key) not in seen and self.wants(event):
                        return event
        return None


def check_watches(history: History, replay: Replay | None) -> list[Finding]:
    """Judge every guarantee over all watches: one finding each, on the first watch that breaks it.

    `replay` is None where the operations do not tell what happened.
    """
    truth = _truth(history, replay)
    told = [_joined(watch) for watch in history.watches]
    findings = []
    for guarantee, check in _CHECKS.items():
        broken = (
            _finding(guarantee, one.watch, problem)
            for one in told
            if (problem := check(one, truth)) is not None
        )
        holds = Finding(
            guarantee=f"watch: {guarantee}",
            verdict=Verdict.HOLDS,
            summary=f"on {len(told)} watches",
        )
        findings.append(next(broken, holds))
    return findings


def _finding(guarantee: str, watch: Watch, problem: Problem) -> Finding:
    return Finding(
        guarantee=f"watch: {guarantee}",
        verdict=Verdict.VIOLATED,
        summary=f"watch {watch.name} of {watch.client} {problem[0]}",
        watch=watch.name,
        steps=problem[1:],
    )


def _joined(watch: Watch) -> _Told:
    created = watch.created_revision
    first = watch.start_revision or (0 if created is None else created + 1)
    keys = key_range({"key": watch.key, "range_end": watch.range_end})
    joined: list[WatchResponse] = []
    for response in watch.responses:
        if joined and joined[-1].is_fragment:
            joined[-1] = replace(response, events=joined[-1].events + response.events)
        else:
            joined.append(response)
    return _Told(watch, keys, first, tuple(joined))


# --- what happened


def _truth(history: History, replay: Replay | None) -> Truth:
    until = 0 if replay is None else replay.last
    events: dict[int, dict[str, Event]] = {}
    for revision, effects in replay.effects.items() if replay is not None else ():
        events[revision] = {effect.key: _event(revision, effect) for effect in effects}
    for watch in history.watches:
        for event in watch.events:
            if event.revision > until:
                events.setdefault(event.revision, {}).setdefault(event.key, event)
    compacted = any(
        o.kind == "compact" and o.outcome is not Outcome.REFUSED for o in history.operations
    )
    return Truth(events, tuple(sorted(events)), until, is_compacted=compacted)


def _event(revision: int, effect: Effect) -> Event:
    before = None if effect.before is None else _previous(effect.before)
    if effect.after is None:
        return Event(key=effect.key, revision=revision, is_delete=True, previous=before)
    return Event(
        key=effect.key,
        revision=revision,
        value=effect.after.value,
        create_revision=effect.after.create_revision,
        version=effect.after.version,
        lease=effect.after.lease,
        previous=before,
    )


def _previous(before: KeyValue) -> Fields:
    return {
        "value": before.value,
        "create_revision": before.create_revision,
        "mod_revision": before.mod_revision,
        "version": before.version,
    }


# --- the guarantees


def _filter(told: _Told, _truth: Truth) -> Problem | None:
    for event in told.events:
        if not told.wants(event):
            return (
                f"was told of {_name(event)}, which it did not ask for",
                f"it asked for keys from {told.watch.key!r} to {told.watch.range_end!r} "
                f"from revision {told.first} on",
            )
    return None


def _ordered(told: _Told, truth: Truth) -> Problem | None:
    before: Event | None = None
    for event in told.events:
        if before is not None and event.revision < before.revision:
            return (f"was told of {_name(event)} after {_name(before)}",)
        if before is not None and before.revision == event.revision <= truth.replayed_until:
            order = list(truth.events.get(event.revision, {}))
            if {event.key, before.key} <= set(order) and order.index(event.key) < order.index(
                before.key
            ):
                return (
                    f"was told of {_name(event)} after {_name(before)}",
                    f"the request changed them in the order {order}",
                )
        before = event
    return None


def _unique(told: _Told, _truth: Truth) -> Problem | None:
    seen = set()
    for event in told.events:
        if (event.revision, event.key) in seen:
            return (f"was told twice of {_name(event)}",)
        seen.add((event.revision, event.key))
    return None


def _atomic(told: _Told, _truth: Truth) -> Problem | None:
    place_of: dict[int, int] = {}
    for place, response in enumerate(told.responses):
        for event in response.events:
            if place_of.setdefault(event.revision, place) != place:
                return (f"was told of revision {event.revision} in two responses",)
    return None


def _reliable(told: _Told, truth: Truth) -> Problem | None:
    events = list(told.events)
    if not events:
        return None
    first, last = events[0].revision, max(event.revision for event in events)
    missed = told.missing(truth, first, last)
    if missed is not None:
        return (
            f"was not told of {_name(missed)}",
            f"it was told of revisions {first} to {last}",
        )
    for event in events:
        true = truth.events.get(event.revision, {}).get(event.key)
        if true is None:
            return (f"was told of {_name(event)}, which did not happen",)
        if (event.is_delete, event.value) != (true.is_delete, true.value):
            return (
                f"was told of {_name(event)} with {_content(event)}",
                f"what happened is {_content(true)}",
            )
    return None


def _resumable(told: _Told, truth: Truth) -> Problem | None:
    first = next((event.revision for event in told.events), None)
    if first is None or not told.first:
        return None
    missed = told.missing(truth, told.first, first - 1)
    if missed is None:
        return None
    return (
        f"began with revision {first}, and was not told of {_name(missed)}",
        f"it starts at revision {told.first}",
    )


def _bookmarkable(told: _Told, truth: Truth) -> Problem | None:
    progress, highest = 0, 0
    for response in told.responses:
        for event in response.events:
            if event.revision <= progress:
                return (f"was told of {_name(event)} after progress at revision {progress}",)
            highest = max(highest, event.revision)
        if response.events and response.revision < highest:
            return (
                f"was told of revision {highest} under a header of revision {response.revision}",
            )
        if response.kind is ResponseKind.PROGRESS:
            if response.revision < progress:
                return (f"was told progress {response.revision} after progress {progress}",)
            progress = response.revision
            if progress < told.first - 1:
                return (f"was told progress {progress} before its start at {told.first}",)
    missed = told.missing(truth, told.first, progress) if told.first else None
    if missed is not None:
        return (f"was told progress {progress}, and never of {_name(missed)}",)
    return None


def _is_create(told: _Told, truth: Truth) -> Problem | None:
    for event in told.events:
        true = truth.replayed(event)
        if true is None or event.is_delete or not event.create_revision:
            continue
        if event.create_revision != true.create_revision:
            return (
                f"was told of {_name(event)} with create revision {event.create_revision}",
                f"the key was created at revision {true.create_revision}",
            )
    return None


def _prev_kv(told: _Told, truth: Truth) -> Problem | None:
    for event in told.events if told.watch.wants_previous else ():
        true = truth.replayed(event)
        if true is None or (event.previous is None and truth.is_compacted):
            continue
        fits = (
            event.previous == true.previous
            if event.previous is None or true.previous is None
            else agrees(event.previous, true.previous)
        )
        if not fits:
            return (
                f"was told of {_name(event)} with previous {event.previous}",
                f"what was there before is {true.previous}",
            )
    return None


_CHECKS: dict[str, Callable[[_Told, Truth], Problem | None]] = {
    "Filter": _filter,
    "Ordered": _ordered,
    "Unique": _unique,
    "Atomic": _atomic,
    "Reliable": _reliable,
    "Resumable": _resumable,
    "Bookmarkable": _bookmarkable,
    "IsCreate": _is_create,
    "PrevKV": _prev_kv,
}


def _name(event: Event) -> str:
    kind = "delete" if event.is_delete else "put"
    return f"the {kind} of {event.key!r} at revision {event.revision}"


def _content(event: Event) -> str:
    return "a delete" if event.is_delete else f"value {event.value!r}"
