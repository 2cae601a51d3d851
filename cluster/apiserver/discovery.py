"""What is served, told in the three forms that clients ask for."""

import base64
import hashlib
from collections.abc import Iterable

from cluster.apiserver.negotiation import media_types
from cluster.apiserver.wire_form import encode
from cluster.kube_api.objects import JsonObject
from cluster.kube_api.resource import Resource, Subresource

AGGREGATED_GROUP = "apidiscovery.k8s.io"
AGGREGATED_VERSIONS = ("v2", "v2beta1")
_CORE = ""


def aggregated_version(accept: str) -> str | None:
    """Return the version of aggregated discovery that is preferred; None for the plain form."""
    for media_type in media_types(accept):
        parameters = media_type.parameters
        if media_type.name in {"application/json", "*/*"} and "as" not in parameters:
            return None
        if (
            parameters.get("as") == "APIGroupDiscoveryList"
            and parameters.get("g") == AGGREGATED_GROUP
            and parameters.get("v") in AGGREGATED_VERSIONS
        ):
            return parameters["v"]
    return None


def aggregated(resources: Iterable[Resource], version: str, *, is_core: bool) -> JsonObject:
    """Return the APIGroupDiscoveryList of `/api` (the core group) or `/apis` (all others)."""
    items = []
    for group, versions in _by_group(resources).items():
        if (group == _CORE) != is_core:
            continue
        items.append(
            {
                "metadata": {"name": group, "creationTimestamp": None}
                if group
                else {"creationTimestamp": None},
                "versions": [
                    {
                        "version": name,
                        "resources": [_aggregated_resource(resource) for resource in members],
                        "freshness": "Current",
                    }
                    for name, members in versions.items()
                ],
            }
        )
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{AGGREGATED_GROUP}/{version}",
        "metadata": {},
        "items": items,
    }


def aggregated_content_type(version: str) -> str:
    """Return the media type by which clients choose the parser."""
    return f"application/json;g={AGGREGATED_GROUP};v={version};as=APIGroupDiscoveryList"


def _aggregated_resource(resource: Resource) -> JsonObject:
    entry: JsonObject = {
        "resource": resource.plural,
        "responseKind": {"group": "", "version": "", "kind": resource.kind},
        "scope": "Namespaced" if resource.is_namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {
                    "group": sub.kind.group if _is_foreign(resource, sub) else "",
                    "version": sub.kind.version if _is_foreign(resource, sub) else "",
                    "kind": sub.kind.kind,
                },
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources
        ]
    return entry


def core_versions(address: str) -> JsonObject:
    """Return the APIVersions of `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def groups(resources: Iterable[Resource]) -> JsonObject:
    """Return the APIGroupList of `/apis`."""
    found = [
        _group(name, list(versions)) for name, versions in _by_group(resources).items() if name
    ]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(resources: Iterable[Resource], name: str) -> JsonObject | None:
    """Return the APIGroup of `/apis/NAME`; None if there is no such group."""
    versions = _by_group(resources).get(name)
    if versions is None:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, list(versions))


def _group(name: str, versions: list[str]) -> JsonObject:
    told = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": told, "preferredVersion": told[0]}


def resource_list(
    resources: Iterable[Resource], group_name: str, version: str
) -> JsonObject | None:
    """Return the APIResourceList of a group version; None if there is no such one."""
    members = _by_group(resources).get(group_name, {}).get(version)
    if members is None:
        return None
    told = []
    for resource in members:
        told.append(_resource(resource))
        told += [_subresource(resource, sub) for sub in resource.subresources]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group_name}/{version}" if group_name else version,
        "resources": told,
    }


def _resource(resource: Resource) -> JsonObject:
    entry: JsonObject = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.is_namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "list" in resource.verbs:
        entry["storageVersionHash"] = _storage_version_hash(resource)
    return entry


def _subresource(resource: Resource, sub: Subresource) -> JsonObject:
    entry: JsonObject = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.is_namespaced,
    }
    if _is_foreign(resource, sub):
        entry |= {"group": sub.kind.group, "version": sub.kind.version}
    return entry | {"kind": sub.kind.kind, "verbs": list(sub.verbs)}


def _is_foreign(resource: Resource, sub: Subresource) -> bool:
    return (sub.kind.group, sub.kind.version) != (resource.group, resource.version)


def _storage_version_hash(resource: Resource) -> str:
    """Return a text that differs when the version changes in which objects are stored."""
    text = f"{resource.group}/{resource.version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _by_group(resources: Iterable[Resource]) -> dict[str, dict[str, list[Resource]]]:
    found: dict[str, dict[str, list[Resource]]] = {}
    for resource in resources:
        found.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
    return found


def etag(body: bytes) -> str:
    """Return the quoted hash of a body."""
    return f'"{hashlib.sha256(body).hexdigest().upper()}"'


def document(value: JsonObject) -> bytes:
    """Return a document as it is sent."""
    return encode(value) + b"\n"
