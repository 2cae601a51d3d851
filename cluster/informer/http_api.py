"""The port to an API server, over HTTP."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self
from urllib.parse import quote

import aiohttp
import msgspec

from cluster.informer.api import (
    ANYHOW,
    ApiError,
    DeleteOptions,
    ObjectList,
    PatchKind,
    Ref,
    Unreachable,
    WatchEvent,
    WatchEventType,
    ref_to,
)
from cluster.informer.connection import Connection
from cluster.kube_api.objects import (
    JsonObject,
    JsonValue,
    integer_at,
    list_at,
    member,
    object_at,
    string_at,
)
from cluster.kube_api.resource import Resource

_LINE_BYTES_MAX = 16 << 20
_CONNECTIONS_MAX = 100
_REQUEST_TIMEOUT_S = 60
_WATCH_TIMEOUT_S = 300
_decode = msgspec.json.decode
_encode = msgspec.json.encode


class HttpApi:
    """Speaks to one API server; `async with` closes its connections.

    `field_manager` is written into managedFields as the owner of what this client changes.
    """

    def __init__(self, connection: Connection, *, field_manager: str) -> None:
        self._connection = connection
        self._manager = field_manager
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS_MAX, ssl=self._connection.tls or True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S),
            read_bufsize=_LINE_BYTES_MAX,
            headers={"User-Agent": self._manager},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, ref: Ref) -> JsonObject:
        """Return one object."""
        return await self._call("GET", path_of(*ref))

    async def list(
        self, resource: Resource, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> ObjectList:
        """Return a whole collection; items say their kind, which the server leaves out."""
        query = _without_empty(labelSelector=labels, fieldSelector=fields)
        found = await self._call("GET", path_of(resource, namespace), query)
        named = {"apiVersion": resource.api_version, "kind": resource.kind}
        items = [named | item for item in list_at(found, "items")]
        return ObjectList(items, string_at(found, "metadata", "resourceVersion"))

    async def watch(
        self, resource: Resource, *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        """Yield changes after `resource_version`, until the server ends it."""
        query = _without_empty(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            labelSelector=labels,
            fieldSelector=fields,
            timeoutSeconds=str(_WATCH_TIMEOUT_S),
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_read=_WATCH_TIMEOUT_S + 30)
        try:
            async with self._open().get(
                self._url(path_of(resource)), params=query, headers=self._headers(), timeout=timeout
            ) as answer:
                if answer.status >= 400:  # noqa: PLR2004 - HTTP
                    raise _error(answer.status, await answer.read())
                async for line in answer.content:
                    yield _event(line)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unreachable(f"watch of {resource.plural}: {error!r}") from error

    async def create(self, resource: Resource, body: JsonObject) -> JsonObject:
        """Create an object in the namespace that it names."""
        path = path_of(resource, string_at(body, "metadata", "namespace"))
        return await self._call("POST", path, self._owned(), body)

    async def post(self, ref: Ref, subresource: str, body: JsonObject) -> JsonObject:
        """Ask a subresource for a deed."""
        return await self._call("POST", path_of(*ref, subresource), self._owned(), body)

    async def update(
        self, resource: Resource, body: JsonObject, *, subresource: str = ""
    ) -> JsonObject:
        """Replace the object that `body` names."""
        path = path_of(*ref_to(resource, body), subresource)
        return await self._call("PUT", path, self._owned(), body)

    async def patch(
        self,
        ref: Ref,
        patch: JsonValue,
        *,
        kind: PatchKind = PatchKind.STRATEGIC,
        subresource: str = "",
    ) -> JsonObject:
        """Change a part of an object."""
        path = path_of(*ref, subresource)
        return await self._call("PATCH", path, self._owned(), patch, media_type=kind.value)

    async def delete(self, ref: Ref, options: DeleteOptions = ANYHOW) -> None:
        """Ask for an object's end."""
        body: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions"}
        preconditions = _without_empty(uid=options.uid, resourceVersion=options.resource_version)
        if preconditions:
            body["preconditions"] = preconditions
        if options.propagation:
            body["propagationPolicy"] = options.propagation
        if options.grace_s is not None:
            body["gracePeriodSeconds"] = options.grace_s
        await self._call("DELETE", path_of(*ref), {}, body)

    async def delete_collection(self, resource: Resource, namespace: str) -> None:
        """Ask for the end of all objects of a namespace."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        await self._call("DELETE", path_of(resource, namespace), {}, body)

    async def raw(self, path: str) -> JsonObject:
        """GET a path that is no resource: discovery, versions."""
        return await self._call("GET", path)

    async def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: JsonValue = None,
        *,
        media_type: str = "application/json",
    ) -> JsonObject:
        try:
            async with self._open().request(
                method,
                self._url(path),
                params=query,
                data=None if body is None else _encode(body),
                headers=self._headers() | {"Content-Type": media_type},
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"{method} {path}: {error!r}") from error
        if answer.status >= 400:  # noqa: PLR2004 - HTTP
            raise _error(answer.status, content)
        try:
            decoded = _decode(content)
        except msgspec.DecodeError as error:
            raise Unreachable(f"{method} {path}: no JSON in the answer") from error
        return decoded if isinstance(decoded, dict) else {}

    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "used outside of `async with`"
        return self._session

    def _url(self, path: str) -> str:
        return self._connection.server + path

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if authorization := self._connection.authorization():
            headers["Authorization"] = authorization
        return headers

    def _owned(self) -> dict[str, str]:
        return {"fieldManager": self._manager}


def path_of(resource: Resource, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Return the URL path of a collection, an object or a subresource."""
    parts = ["apis", resource.group] if resource.group else ["api"]
    parts.append(resource.version)
    if namespace and resource.is_namespaced:
        parts += ["namespaces", namespace]
    parts += [part for part in (resource.plural, name, subresource) if part]
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _without_empty(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _event(line: bytes) -> WatchEvent:
    """Read one line of a watch.

    Raises:
        ApiError: the server says in it why the watch ends.
        ValueError: it is no event.
    """
    decoded = _decode(line)
    if string_at(decoded, "type") == "ERROR":
        raise _status_error(object_at(decoded, "object"), 500)
    return WatchEvent(WatchEventType(member(decoded, "type")), object_at(decoded, "object"))


def _error(code: int, content: bytes) -> ApiError:
    try:
        status = _decode(content)
    except msgspec.DecodeError:
        return ApiError(code, "", content[:200].decode(errors="replace"))
    return _status_error(status, code)


def _status_error(status: JsonValue, code: int) -> ApiError:
    return ApiError(
        integer_at(status, "code", default=code),
        string_at(status, "reason"),
        string_at(status, "message"),
        details=object_at(status, "details") or None,
    )
