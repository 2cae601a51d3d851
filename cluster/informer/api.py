"""The port to an API server, for controllers: verbs on JSON objects.

Every method raises `ApiError` for an answer that says no, with the server's code and reason, and
`Unreachable` where there was no answer. After `Unreachable` a write may have taken effect.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from cluster.kube_api.errors import ApiError
from cluster.kube_api.objects import JsonObject, JsonValue, object_at, string_at
from cluster.kube_api.resource import Resource

__all__ = [
    "ANYHOW",
    "Api",
    "ApiError",
    "DeleteOptions",
    "ObjectList",
    "PatchKind",
    "Ref",
    "Unreachable",
    "WatchEvent",
    "WatchEventType",
    "delete_if_there",
    "is_already_exists",
    "is_conflict",
    "is_expired",
    "is_not_found",
    "ref_to",
]


class Unreachable(Exception):
    """The server gave no answer; whether a write took effect is unknown."""


class PatchKind(Enum):
    """How a patch is to be read; the value is its media type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class WatchEventType(Enum):
    """What a watch says of an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch. `object` of a bookmark has only a resourceVersion."""

    type: WatchEventType
    object: JsonObject


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A collection as of one resourceVersion."""

    items: list[JsonObject]
    resource_version: str


class Ref(NamedTuple):
    """Which object is meant; `namespace` is empty for what has none."""

    resource: Resource
    namespace: str
    name: str


def ref_to(resource: Resource, value: JsonObject) -> Ref:
    """Return what names an object that was read."""
    metadata = object_at(value, "metadata")
    return Ref(resource, string_at(metadata, "namespace"), string_at(metadata, "name"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """How an object is to end: only if it is still this one, with its dependents or without."""

    uid: str = ""
    resource_version: str = ""
    propagation: str = ""
    grace_s: int | None = None


ANYHOW = DeleteOptions()


class Api(Protocol):
    """An API server, as its client sees it."""

    async def get(self, ref: Ref) -> JsonObject:
        """Return one object."""
        ...

    async def list(
        self, resource: Resource, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> ObjectList:
        """Return a whole collection, as it is now; an empty namespace means all."""
        ...

    def watch(
        self, resource: Resource, *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        """Yield changes after `resource_version` in all namespaces, until the server ends it."""
        ...

    async def create(self, resource: Resource, body: JsonObject) -> JsonObject:
        """Create an object in the namespace that it names; return it."""
        ...

    async def post(self, ref: Ref, subresource: str, body: JsonObject) -> JsonObject:
        """Ask a subresource for a deed: binding, eviction, token."""
        ...

    async def update(
        self, resource: Resource, body: JsonObject, *, subresource: str = ""
    ) -> JsonObject:
        """Replace the object that `body` names, if it still has the resourceVersion of `body`."""
        ...

    async def patch(
        self,
        ref: Ref,
        patch: JsonValue,
        *,
        kind: PatchKind = PatchKind.STRATEGIC,
        subresource: str = "",
    ) -> JsonObject:
        """Change a part of an object; return the whole."""
        ...

    async def delete(self, ref: Ref, options: DeleteOptions = ANYHOW) -> None:
        """Ask for an object's end."""
        ...

    async def delete_collection(self, resource: Resource, namespace: str) -> None:
        """Ask for the end of all objects of a namespace."""
        ...


async def delete_if_there(api: Api, ref: Ref, options: DeleteOptions = ANYHOW) -> bool:
    """Ask for an object's end; return whether it was there."""
    try:
        await api.delete(ref, options)
    except ApiError as error:
        if is_not_found(error):
            return False
        raise
    return True


def is_not_found(error: ApiError) -> bool:
    """Whether there is no such object (or no such resource)."""
    return error.reason == "NotFound"


def is_conflict(error: ApiError) -> bool:
    """Whether the object has changed since it was read."""
    return error.reason == "Conflict"


def is_already_exists(error: ApiError) -> bool:
    """Whether the name is taken."""
    return error.reason == "AlreadyExists"


def is_expired(error: ApiError) -> bool:
    """Whether history up to the asked resourceVersion is gone: list again."""
    return error.code == 410  # noqa: PLR2004 - HTTP 410 Gone, with either reason
