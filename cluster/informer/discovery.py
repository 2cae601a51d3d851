"""Which resources a server has: for controllers that look at all of them."""

from typing import Protocol

from cluster.informer.api import ApiError, Unreachable
from cluster.kube_api.objects import JsonObject, list_at, member, string_at
from cluster.kube_api.resource import Resource


class RawReader(Protocol):
    """Reads paths that are no resources."""

    async def raw(self, path: str) -> JsonObject:
        """GET a path."""
        ...


class IncompleteDiscovery(Exception):
    """Some group versions could not be read; `found` are the resources of the others."""

    def __init__(self, found: list[Resource], failed: list[str]) -> None:
        super().__init__(
            f"unable to retrieve the complete list of server APIs: {', '.join(failed)}"
        )
        self.found = found


async def discover(reader: RawReader) -> list[Resource]:
    """Return every resource once, in the preferred version of its group.

    Raises:
        IncompleteDiscovery: of some groups nothing can be told now.
        ApiError, Unreachable: nothing can be told at all.
    """
    groups = await reader.raw("/apis")
    versions = ["v1"]
    for group in list_at(groups, "groups"):
        preferred = string_at(group, "preferredVersion", "groupVersion")
        others = [string_at(one, "groupVersion") for one in list_at(group, "versions")]
        versions += [preferred, *(one for one in others if one != preferred)]
    found: dict[tuple[str, str], Resource] = {}
    failed: list[str] = []
    for version in versions:
        path = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        try:
            document = await reader.raw(path)
        except (ApiError, Unreachable) as error:
            failed.append(f"{version}: {error}")
            continue
        for one in list_at(document, "resources"):
            if "/" not in string_at(one, "name"):
                resource = _resource(version, one)
                found.setdefault((resource.group, resource.plural), resource)
    if failed:
        raise IncompleteDiscovery(list(found.values()), failed)
    return list(found.values())


def _resource(group_version: str, one: JsonObject) -> Resource:
    group, _, version = group_version.rpartition("/")
    return Resource(
        group=group,
        version=version,
        kind=string_at(one, "kind"),
        plural=string_at(one, "name"),
        is_namespaced=member(one, "namespaced") is True,
        verbs=tuple(str(verb) for verb in list_at(one, "verbs")),
    )
