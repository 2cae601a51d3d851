"""One request on one resource, as the verbs see it."""

from dataclasses import dataclass, field

from cluster.apiserver.admission.plugin import Attributes, Operation
from cluster.apiserver.options import DeleteOptions, WriteOptions
from cluster.apiserver.services import Services
from cluster.apiserver.users import User
from cluster.kube_api.errors import ApiError, conflict, not_found
from cluster.kube_api.objects import JsonObject
from cluster.kube_api.resource import Resource


@dataclass(slots=True, kw_only=True)
class Call:
    """Which object, who asks, and how."""

    services: Services
    resource: Resource
    user: User
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    options: WriteOptions = field(default_factory=WriteOptions)
    manager: str = "unknown"
    """Who owns the fields that this request sets."""
    warnings: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The object's key in the store."""
        return self.services.key(self.resource, self.namespace, self.name)

    def not_found(self) -> ApiError:
        """Return the error that there is no such object."""
        return not_found(self.resource.plural, self.resource.group, self.name)

    def conflict(self, *why: str) -> ApiError:
        """Return the error that the object is not as the request needs it."""
        return conflict(self.resource.plural, self.resource.group, self.name, *why)

    def attributes(
        self,
        operation: Operation,
        obj: JsonObject | None,
        old: JsonObject | None = None,
        *,
        options: DeleteOptions | None = None,
    ) -> Attributes:
        """Return what admission is told."""
        return Attributes(
            operation=operation,
            resource=self.resource,
            namespace=self.namespace,
            name=self.name,
            user=self.user,
            subresource=self.subresource,
            obj=obj,
            old=old,
            options=options or self.options,
            warnings=self.warnings,
        )
