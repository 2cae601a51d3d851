"""Lease safety: a lease lives as long as was promised, and stays dead once it is dead.

A renewal took effect at some instant after its invocation, so the lease lives at least until its
time to live has passed since then. Whoever was told otherwise before that instant has seen a lease
cut short, unless somebody revoked it. Clocks of client and store may drift apart; `drift_s` is
forgiven.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from kvstore.check.history import History, Operation, Outcome, WatchResponse
from kvstore.check.json_value import integer
from kvstore.check.revisions import Replay
from kvstore.check.verdict import Finding, Verdict
from kvstore.check.wording import operation_text

GUARANTEE = "lease safety"


@dataclass(slots=True)
class _Lease:
    renewals: list[tuple[Operation, float]] = field(default_factory=list)
    """Each with the seconds it was renewed for."""
    revoked: float = float("inf")
    """From here on a revoke by a client may have taken effect."""
    deaths: list[tuple[float, Operation | None, str]] = field(default_factory=list)
    """When somebody was told that it is dead, who, and how."""
    uses: list[Operation] = field(default_factory=list)
    """What takes effect only while it lives."""


def check_leases(history: History, replay: Replay | None, *, drift_s: float = 0.0) -> Finding:
    """Judge all leases; `replay` adds the deaths that show as deleted keys."""
    leases = _leases(history)
    if replay is not None:
        _add_deleted_keys(leases, history, replay)
    for number, lease in sorted(leases.items()):
        problem = _cut_short(number, lease, drift_s) or _risen(number, lease)
        if problem is not None:
            return problem
    return Finding(guarantee=GUARANTEE, verdict=Verdict.HOLDS, summary=f"on {len(leases)} leases")


def _leases(history: History) -> dict[int, _Lease]:
    leases: dict[int, _Lease] = defaultdict(_Lease)
    for operation in history.operations:
        if operation.outcome is Outcome.REFUSED:
            continue
        match operation.kind:
            case "revoke":
                lease = leases[integer(operation.arguments, "id")]
                lease.revoked = min(lease.revoked, operation.invoked)
                if operation.outcome is Outcome.OK:
                    lease.deaths.append((operation.returned, operation, "its revoke returned"))
            case "grant" | "keep_alive" | "time_to_live" if operation.outcome is Outcome.OK:
                _told(leases[integer(operation.arguments, "id")], operation)
            case "put" if operation.outcome is Outcome.OK:
                if number := integer(operation.arguments, "lease", 0):
                    leases[number].uses.append(operation)
            case _:
                pass
    return leases


def _told(lease: _Lease, operation: Operation) -> None:
    ttl = operation.fields.get("ttl", operation.arguments.get("ttl"))
    if not isinstance(ttl, int | float):
        return
    if operation.kind == "time_to_live":
        if ttl < 0:
            lease.deaths.append((operation.returned, operation, "its time to live was negative"))
        else:
            lease.uses.append(operation)
    elif ttl > 0:
        lease.renewals.append((operation, ttl))
        lease.uses.append(operation)
    else:
        lease.deaths.append((operation.returned, operation, "a keep-alive found it dead"))


def _add_deleted_keys(leases: dict[int, _Lease], history: History, replay: Replay) -> None:
    """Note the revisions that deleted a lease's keys, though no client asked for that."""
    by_clients = {o.fields.get("revision") for o in history.operations if o.kind != "get"}
    told: dict[int, tuple[float, str]] = {}
    for watch in history.watches:
        for response in watch.responses:
            for revision in _revisions(response):
                sighting = (response.time, f"watch {watch.name}")
                told[revision] = min(told.get(revision, sighting), sighting)
    unknown = any(
        o.outcome is Outcome.UNKNOWN and o.kind in {"delete", "txn"} for o in history.operations
    )
    for revision, effects in replay.effects.items():
        if revision in by_clients or revision not in told or unknown:
            continue
        for effect in effects:
            if effect.after is None and effect.before is not None and effect.before.lease:
                time, who = told[revision]
                how = f"{who} saw its key {effect.key!r} deleted at revision {revision}"
                leases[effect.before.lease].deaths.append((time, None, how))


def _revisions(response: WatchResponse) -> Iterator[int]:
    return (event.revision for event in response.events)


def _cut_short(number: int, lease: _Lease, drift_s: float) -> Finding | None:
    for time, witness, how in lease.deaths:
        if lease.revoked < time:
            continue
        for renewal, ttl in lease.renewals:
            promised = renewal.invoked + ttl - drift_s
            # An id that was granted anew lives again: only what came before its death counts.
            if renewal.invoked < time < promised:
                return _violation(
                    f"lease {number} was promised until {promised:.6f} s, and dead at {time:.6f} s",
                    [renewal, witness],
                    how,
                )
    return None


def _risen(number: int, lease: _Lease) -> Finding | None:
    if not lease.deaths:
        return None
    time, witness, how = min(lease.deaths, key=lambda death: death[0])
    for use in lease.uses:
        # An id may be granted anew once the lease is gone.
        if use.kind == "grant" or any(
            renewal.kind == "grant" and time < renewal.returned for renewal, _ in lease.renewals
        ):
            continue
        if use.invoked > time:
            return _violation(
                f"lease {number} was dead at {time:.6f} s, and alive again for #{use.index}",
                [witness, use],
                how,
            )
    return None


def _violation(summary: str, shown: list[Operation | None], how: str) -> Finding:
    operations = [operation for operation in shown if operation is not None]
    return Finding(
        guarantee=GUARANTEE,
        verdict=Verdict.VIOLATED,
        summary=summary,
        operations=tuple(operation.index for operation in operations),
        steps=(how, *(operation_text(operation) for operation in operations)),
    )
