"""Conditions of a status: what is said of an object, and since when. Pure."""

from collections.abc import Iterable

from cluster.informer.times import timestamp
from cluster.kube_api.objects import JsonObject, string_at


def turned(new: JsonObject, old: JsonObject | None, now: float) -> JsonObject:
    """Return `new` with its `lastTransitionTime`: that of `old` while the status is the same."""
    is_same = old is not None and string_at(old, "status") == string_at(new, "status")
    since = string_at(old or {}, "lastTransitionTime") if is_same else ""
    return {**new, "lastTransitionTime": since or timestamp(now)}


def with_conditions(
    before: Iterable[JsonObject], news: Iterable[JsonObject], now: float
) -> list[JsonObject]:
    """Return all conditions after some of them were said anew; those stay where they stood."""
    found = {string_at(one, "type"): one for one in before}
    for new in news:
        kind = string_at(new, "type")
        found[kind] = turned(new, found.get(kind), now)
    return list(found.values())
