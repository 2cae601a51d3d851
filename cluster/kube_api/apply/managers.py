"""The entries of `metadata.managedFields`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cluster.kube_api.apply.paths import PathSet, fields_v1, paths_of
from cluster.kube_api.objects import JsonObject, quoted, string_at

APPLY, UPDATE = "Apply", "Update"
UPDATE_MANAGERS_MAX = 10
ANCIENT = "ancient-changes"
MANAGER_CHARS_MAX = 128


@dataclass(frozen=True, slots=True, order=True)
class Manager:
    """Who owns fields: the same name is another manager in another way of writing."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def __str__(self) -> str:
        """As a conflict names it."""
        shown = quoted(self.name)
        if self.subresource:
            shown += f" with subresource {quoted(self.subresource)}"
        return f"{shown} using {self.api_version}" if self.operation == UPDATE else shown


@dataclass(frozen=True, slots=True)
class Owned:
    """What a manager owns, and when it took some of it last."""

    paths: PathSet
    time: str = ""


Managers = dict[Manager, Owned]


class ManagedFieldsError(ValueError):
    """Entries that a client sent are none."""


def read(entries: object) -> Managers:
    """Return the managers of an object.

    Raises:
        ManagedFieldsError: an entry is malformed.
    """
    managers: Managers = {}
    for entry in entries if isinstance(entries, list) else ():
        manager = Manager(
            string_at(entry, "manager"),
            string_at(entry, "operation"),
            string_at(entry, "apiVersion"),
            string_at(entry, "subresource"),
        )
        if manager.operation not in (APPLY, UPDATE):
            raise ManagedFieldsError(f"operation {manager.operation!r}")
        try:
            found = paths_of(entry.get("fieldsV1") or {})
        except ValueError as error:
            raise ManagedFieldsError(str(error)) from None
        managers[manager] = Owned(found, string_at(entry, "time"))
    return managers


def is_reset(entries: object) -> bool:
    """Whether a client asks to forget who owns what: by `[]`, or by one empty entry."""
    if not isinstance(entries, list):
        return False
    return not entries or (len(entries) == 1 and not any((entries[0] or {}).values()))


def written(managers: Mapping[Manager, Owned]) -> list[JsonObject]:
    """Return the entries, in Kubernetes' order: appliers first, then by time and name."""
    in_order = sorted(
        managers.items(),
        key=lambda one: (one[0].operation, one[1].time, one[0].name, one[0]),
    )
    return [_entry(manager, owned) for manager, owned in in_order if owned.paths]


def _entry(manager: Manager, owned: Owned) -> JsonObject:
    entry: dict[str, Any] = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
    }
    if owned.time:
        entry["time"] = owned.time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": fields_v1(owned.paths)}
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def capped(managers: Managers) -> Managers:
    """Return at most so many managers of updates: the oldest become one, by version."""
    updaters = [one for one in managers.items() if one[0].operation == UPDATE]
    surplus = len(updaters) - UPDATE_MANAGERS_MAX
    if surplus <= 0:
        return managers
    kept = dict(managers)
    updaters.sort(key=lambda one: (one[1].time, one[0]))
    for manager, owned in updaters[: surplus + 1]:
        del kept[manager]
        ancient = replace(manager, name=ANCIENT, subresource="")
        before = kept.get(ancient, Owned(frozenset()))
        kept[ancient] = Owned(before.paths | owned.paths, max(before.time, owned.time))
    return kept


def union(owned: Iterable[Owned]) -> set[tuple[str, ...]]:
    """Return all that anybody owns."""
    found: set[tuple[str, ...]] = set()
    for one in owned:
        found |= one.paths
    return found
