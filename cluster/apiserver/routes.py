"""A method and a path to what is asked for: verb, resource, namespace, name, subresource.

The same reading decides authorization and dispatch, so that the two cannot disagree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_COLLECTION_VERBS = {"get": "list", "delete": "deletecollection"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInfo:
    """What a request is about. Without a resource, `verb` is the method and `path` all there is."""

    verb: str
    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    rest: tuple[str, ...] = ()
    """What follows the subresource: the path of a proxied request."""

    @property
    def is_resource(self) -> bool:
        """Whether it is about objects."""
        return bool(self.resource)


def read(method: str, raw_path: str, query: Mapping[str, str]) -> RequestInfo:
    """Return what a request is about."""
    segments = [unquote(segment) for segment in raw_path.split("/") if segment]
    if segments[:1] == ["api"] and len(segments) > 2:  # noqa: PLR2004  /api/v1/RESOURCE
        group, version, rest = "", segments[1], segments[2:]
    elif segments[:1] == ["apis"] and len(segments) > 3:  # noqa: PLR2004  /apis/GROUP/VERSION/RESOURCE
        group, version, rest = segments[1], segments[2], segments[3:]
    else:
        return RequestInfo(verb=method.lower(), path=unquote(raw_path))
    is_watch = rest[0] == "watch" and len(rest) > 1
    if is_watch:
        rest = rest[1:]
    namespace, rest = _namespace_and_rest(rest)
    resource, name, subresource, *more = [*rest, "", "", ""]
    return RequestInfo(
        verb=_verb(method, query, has_name=bool(name), is_watch=is_watch),
        path=unquote(raw_path),
        group=group,
        version=version,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
        rest=tuple(more[:-3] if len(rest) > 3 else ()),  # noqa: PLR2004
    )


def _namespace_and_rest(rest: list[str]) -> tuple[str, list[str]]:
    if rest[0] != "namespaces" or len(rest) == 1:
        return "", rest
    if len(rest) == 2 or (len(rest) == 3 and rest[2] in _NAMESPACE_SUBRESOURCES):  # noqa: PLR2004
        return rest[1], rest  # a namespace is in itself, for authorization
    return rest[1], rest[2:]


def _verb(method: str, query: Mapping[str, str], *, has_name: bool, is_watch: bool) -> str:
    verb = _VERBS.get(method, "get" if method in {"GET", "HEAD"} else method.lower())
    if verb == "get" and (is_watch or is_true(query.get("watch", ""))) and not has_name:
        return "watch"
    if verb == "get" and is_watch:
        return "watch"
    return verb if has_name else _COLLECTION_VERBS.get(verb, verb)


def is_true(text: str) -> bool:
    """Say what a boolean query parameter means: present without a value is true."""
    return text.lower() not in {"", "0", "f", "false"} if text else False
