"""What a plugin is told, and what it has to answer."""

from dataclasses import dataclass, field
from enum import Enum

from cluster.apiserver.options import DeleteOptions, WriteOptions
from cluster.apiserver.users import User
from cluster.kube_api.objects import JsonObject
from cluster.kube_api.resource import Resource


class Operation(Enum):
    """What is done to the object."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


@dataclass(slots=True, kw_only=True)
class Attributes:
    """One request, as admission sees it."""

    operation: Operation
    resource: Resource
    namespace: str
    name: str
    user: User
    subresource: str = ""
    obj: JsonObject | None = None
    """What is to be stored, the request's own copy; None for a delete."""
    old: JsonObject | None = None
    """What is stored; None for a create. Not to be changed."""
    options: WriteOptions | DeleteOptions = field(default_factory=WriteOptions)
    warnings: list[str] = field(default_factory=list)
    """Sent to the client as Warning headers."""

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing may be changed anywhere."""
        return self.options.is_dry_run


class Plugin:
    """Does nothing; a plugin overrides what it is about."""

    async def mutate(self, attributes: Attributes) -> None:
        """Change the object, or raise an `ApiError`."""

    async def validate(self, attributes: Attributes) -> None:
        """Raise an `ApiError` if the request must not go on."""

    async def created(self, attributes: Attributes) -> None:
        """Make what belongs to an object that was just stored. Not called for a dry run."""
