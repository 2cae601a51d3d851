"""What the API server has to know about a resource to serve it, built in or custom."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.kube_api.names import NameRule, dns_subdomain

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind by its full name."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        """As Go prints it in messages."""
        return f"{self.api_version}, Kind={self.kind}"


@dataclass(frozen=True, slots=True)
class Subresource:
    """A part of an object, or a deed on it, under a URL of its own."""

    name: str
    verbs: tuple[str, ...]
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of one group version."""

    group: str
    version: str
    kind: str
    plural: str
    is_namespaced: bool = True
    verbs: tuple[str, ...] = ALL_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    singular: str = ""
    list_kind: str = ""

    definition: str = ""
    """The name of its schema among the OpenAPI definitions; empty for custom resources."""
    key_prefix: str = ""
    """What keys of the store begin with, after `/registry/`: `pods`, `services/specs`."""
    name_rule: NameRule = dns_subdomain
    fields: Mapping[str, str] = field(default_factory=dict)
    """Fields that lists select by, beside metadata's, each with its path in the object."""
    renamed_fields: Mapping[str, str] = field(default_factory=dict)
    tracks_generation: bool = False
    """Whether `metadata.generation` counts the changes outside of metadata and status."""
    needs_resource_version: bool = False
    """Whether an update must say which version it changes."""
    creates_on_update: bool = False
    """Whether a PUT to a name that is free creates."""

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def gvk(self) -> Kind:
        """The kind of its objects."""
        return Kind(self.group, self.version, self.kind)

    @property
    def is_custom(self) -> bool:
        """Whether a CustomResourceDefinition made it."""
        return not self.definition

    @property
    def has_status(self) -> bool:
        """Whether status has a URL of its own, and is ignored on the main one."""
        return self.subresource("status") is not None

    def subresource(self, name: str) -> Subresource | None:
        """Return one of its subresources."""
        return next((sub for sub in self.subresources if sub.name == name), None)
