"""Lock safety: two clients never hold one lock at once, and its tokens only grow.

A client holds a lock for certain from the return of `lock` until it invokes `unlock`, or until the
time promised for its lease has passed, whichever is first. After that it may still believe to hold
it; that is no fault of the store, and what the token (the lock's revision) is for.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from kvstore.check.components import components
from kvstore.check.history import FOREVER, History, Operation, Outcome
from kvstore.check.json_value import integer, text
from kvstore.check.verdict import Finding, Verdict
from kvstore.check.wording import operation_text

GUARANTEE = "lock safety"


@dataclass(frozen=True, slots=True)
class _Hold:
    lock: Operation
    until: float
    """Up to here (exclusive) it is held for certain."""
    token: int | None
    key: str


def check_locks(history: History) -> Finding:
    """Judge all locks by `lock` and `unlock`."""
    taken = [o for o in history.operations if o.kind == "lock" and o.outcome is Outcome.OK]
    lets_go = _Releases(history)
    groups = components(taken, lambda o: (text(o.arguments, "name"),))
    for name, locks in groups:
        holds = [lets_go.hold(lock) for lock in locks]
        for problem in (_overlap(name, holds), _token(name, holds)):
            if problem is not None:
                return problem
    return Finding(
        guarantee=GUARANTEE,
        verdict=Verdict.HOLDS,
        summary=f"{len(taken)} acquisitions of {len(groups)} locks",
    )


class _Releases:
    """What ends the holding of locks."""

    def __init__(self, history: History) -> None:
        self._unlocked: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self._promised: dict[int, float] = {}
        self._revoked: dict[int, float] = {}
        for operation in sorted(history.operations, key=lambda o: o.invoked):
            if operation.outcome is Outcome.REFUSED:
                continue
            match operation.kind:
                case "unlock":
                    self._unlocked[_lock_of(operation)].append(operation.invoked)
                case "revoke":
                    lease = integer(operation.arguments, "id")
                    self._revoked.setdefault(lease, operation.invoked)
                case "grant" | "keep_alive" if operation.outcome is Outcome.OK:
                    lease = integer(operation.arguments, "id")
                    ttl = operation.fields.get("ttl", operation.arguments.get("ttl"))
                    # A keep-alive that finds the lease dead says so by a time of 0.
                    if isinstance(ttl, int | float) and ttl > 0:
                        end = operation.invoked + ttl
                        self._promised[lease] = max(end, self._promised.get(lease, 0.0))
                case _:
                    pass

    def hold(self, lock: Operation) -> _Hold:
        """Return until when a lock is held for certain."""
        key, token = lock.fields.get("key"), lock.fields.get("revision")
        name = text(lock.arguments, "name")
        until = FOREVER
        for ended in ((str(key),), (lock.client, name)):
            times = self._unlocked.get(ended, [])
            place = bisect_left(times, lock.returned)
            if place < len(times):
                until = min(until, times[place])
        if lease := integer(lock.arguments, "lease", 0):
            promised = self._promised.get(lease, lock.returned)
            until = min(until, promised, self._revoked.get(lease, FOREVER))
        return _Hold(
            lock,
            until,
            token if isinstance(token, int) else None,
            key if isinstance(key, str) else "",
        )


def _lock_of(unlock: Operation) -> tuple[str, ...]:
    """Return what an `unlock` lets go: a lock's key, or its client's lock of a name."""
    if "key" in unlock.arguments:
        return (text(unlock.arguments, "key"),)
    return (unlock.client, text(unlock.arguments, "name"))


def _overlap(name: str, holds: Sequence[_Hold]) -> Finding | None:
    held: list[_Hold] = []
    for other in sorted(holds, key=lambda hold: hold.lock.returned):
        now = other.lock.returned
        held = [one for one in held if one.until > now]
        for one in held:
            if other.until > now and not _is_same(one, other):
                return _violation(
                    f"lock {name!r} is held by {one.lock.client} and {other.lock.client} at once, "
                    f"from {now:.6f} s",
                    one,
                    other,
                    f"#{one.lock.index} holds it until {_instant(one.until)} at least",
                )
        held.append(other)
    return None


def _token(name: str, holds: Sequence[_Hold]) -> Finding | None:
    """Check that a lock acquired after another was given up has the higher token."""
    with_token = [(hold, hold.token) for hold in holds if hold.token is not None]
    returned = sorted(with_token, key=lambda pair: pair[0].lock.returned)
    highest: tuple[_Hold, int] | None = None
    place = 0
    for hold, token in sorted(with_token, key=lambda pair: pair[0].lock.invoked):
        while place < len(returned) and returned[place][0].lock.returned < hold.lock.invoked:
            if highest is None or returned[place][1] > highest[1]:
                highest = returned[place]
            place += 1
        if highest is not None and token <= highest[1] and not _is_same(hold, highest[0]):
            return _violation(
                f"lock {name!r} was given the token {token} after the token {highest[1]}",
                highest[0],
                hold,
                "a token must be higher than all before it, or it fences nobody off",
            )
    return None


def _is_same(one: _Hold, other: _Hold) -> bool:
    """Whether a client was only told again that it holds the lock."""
    return bool(one.key) and one.key == other.key and one.lock.client == other.lock.client


def _instant(time: float) -> str:
    return "the end" if time == FOREVER else f"{time:.6f} s"


def _violation(summary: str, one: _Hold, other: _Hold, why: str) -> Finding:
    return Finding(
        guarantee=GUARANTEE,
        verdict=Verdict.VIOLATED,
        summary=summary,
        operations=(one.lock.index, other.lock.index),
        steps=(operation_text(one.lock), operation_text(other.lock), why),
    )
