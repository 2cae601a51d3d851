"""Who asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.kube_api.objects import JsonObject

ANONYMOUS = "system:anonymous"
UNAUTHENTICATED = "system:unauthenticated"
AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"
SERVICE_ACCOUNTS = "system:serviceaccounts"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class User:
    """A user as authentication found them."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """Return the UserInfo; what is empty is left out, as Go does."""
        info: JsonObject = {
            "username": self.name,
            "uid": self.uid,
            "groups": list(self.groups),
            "extra": {key: list(values) for key, values in self.extra.items()},
        }
        return {key: value for key, value in info.items() if value}


NOBODY = User(ANONYMOUS, (UNAUTHENTICATED,))
ITSELF = User("system:apiserver", (MASTERS, AUTHENTICATED))
"""The server, when it writes on its own behalf."""


def service_account_name(namespace: str, name: str) -> str:
    """Return the user name of a service account."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """Return the groups that every service account of a namespace is in."""
    return (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}")
