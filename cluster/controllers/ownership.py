"""Whose is an object? Its controllerRef says it by uid. All is pure, but `claim`."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cluster.controllers.pod_facts import is_deleting
from cluster.informer.api import Api, ApiError, PatchKind, is_not_found, ref_to
from cluster.kube_api.objects import JsonObject, list_at, member, string_at
from cluster.kube_api.resource import Resource
from cluster.kube_api.selectors import LabelSelector


def uid_of(value: JsonObject) -> str:
    """Return what an object is told apart by from all that ever had its name."""
    return string_at(value, "metadata", "uid")


def controller_ref(owner: JsonObject) -> JsonObject:
    """Return the ownerReference by which `owner` controls an object."""
    return {
        "apiVersion": string_at(owner, "apiVersion"),
        "kind": string_at(owner, "kind"),
        "name": string_at(owner, "metadata", "name"),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(value: JsonObject) -> JsonObject | None:
    """Return the ownerReference of the one that controls an object."""
    for owner in list_at(value, "metadata", "ownerReferences"):
        if member(owner, "controller") is True:
            return dict(owner)
    return None


def owner_key(value: JsonObject, kind: str) -> str | None:
    """Return the key of the controller of an object, if it is a `kind`."""
    owner = controller_of(value)
    if owner is None or string_at(owner, "kind") != kind:
        return None
    return f"{string_at(value, 'metadata', 'namespace')}/{string_at(owner, 'name')}"


def controller_uids(value: JsonObject) -> list[str]:
    """Index function: under the uid of its controller; under "" what has none."""
    owner = controller_of(value)
    return [string_at(owner, "uid") if owner is not None else ""]


@dataclass(frozen=True, slots=True)
class Claims:
    """What an owner has, wants and gives up among candidates of its namespace."""

    owned: list[JsonObject] = field(default_factory=list)
    to_adopt: list[JsonObject] = field(default_factory=list)
    to_release: list[JsonObject] = field(default_factory=list)


def claims(owner: JsonObject, selector: LabelSelector, candidates: Iterable[JsonObject]) -> Claims:
    """Sort candidates; what another controls is nobody else's business."""
    found = Claims()
    is_ending = is_deleting(owner)
    for candidate in candidates:
        controller = controller_of(candidate)
        is_wanted = selector.matches(member(candidate, "metadata", "labels") or {})
        if controller is None:
            if is_wanted and not is_ending and not is_deleting(candidate):
                found.to_adopt.append(candidate)
        elif string_at(controller, "uid") == uid_of(owner):
            keep = is_wanted or is_ending or is_deleting(candidate)
            (found.owned if keep else found.to_release).append(candidate)
    return found


async def claim(
    api: Api, owners: Resource, owner: JsonObject, dependents: Resource, found: Claims
) -> list[JsonObject]:
    """Adopt and release; return all that is owned then.

    The store may be behind: before the first adoption the owner is read from the server, and
    nothing is adopted for one that is going or was replaced by another of its name.
    """
    for dependent in found.to_release:
        await _set_owners(api, dependents, dependent, _others(dependent, uid_of(owner)))
    if not found.to_adopt or not await _is_alive(api, owners, owner):
        return found.owned
    adopted: list[JsonObject] = []
    for dependent in found.to_adopt:
        wanted = [*list_at(dependent, "metadata", "ownerReferences"), controller_ref(owner)]
        changed = await _set_owners(api, dependents, dependent, wanted)
        if changed is not None:
            adopted.append(changed)
    return found.owned + adopted


async def _is_alive(api: Api, owners: Resource, owner: JsonObject) -> bool:
    try:
        live = await api.get(ref_to(owners, owner))
    except ApiError as error:
        if is_not_found(error):
            return False
        raise
    return uid_of(live) == uid_of(owner) and not is_deleting(live)


def _others(dependent: JsonObject, uid: str) -> list[JsonObject]:
    owners = list_at(dependent, "metadata", "ownerReferences")
    return [owner for owner in owners if string_at(owner, "uid") != uid]


async def _set_owners(
    api: Api, dependents: Resource, dependent: JsonObject, owners: list[JsonObject]
) -> JsonObject | None:
    """Write ownerReferences, if the object is as it was seen; None if it is gone."""
    metadata = {
        "uid": uid_of(dependent),
        "resourceVersion": string_at(dependent, "metadata", "resourceVersion"),
        "ownerReferences": owners,
    }
    try:
        return await api.patch(
            ref_to(dependents, dependent), {"metadata": metadata}, kind=PatchKind.MERGE
        )
    except ApiError as error:
        if is_not_found(error):
            return None
        raise
