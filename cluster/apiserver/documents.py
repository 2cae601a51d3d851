"""What is read of the server itself: version, health, discovery, OpenAPI."""

import platform
from http import HTTPStatus

from aiohttp import web

from cluster.apiserver import discovery
from cluster.apiserver.answers import answer, answer_object, answer_text, not_found_text
from cluster.apiserver.config import MAJOR, MINOR, VERSION
from cluster.apiserver.routes import RequestInfo
from cluster.apiserver.services import Services
from cluster.apiserver.wire_form import encode
from cluster.kube_api import openapi
from cluster.kube_api.crd import CustomResource
from cluster.kube_api.errors import method_not_allowed
from cluster.kube_api.objects import JsonObject

HEALTH_PATHS = ("healthz", "livez", "readyz")
_HASH_CHARS = 32


class Documents:
    """Documents, made when they are first asked for, and again when what is served changes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._made: dict[tuple[str, ...], bytes] = {}
        self._generation = services.resources.generation

    def serve(self, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse | None:
        """Return a document, or None if there is none at this path.

        Raises:
            ApiError: 405, 406.
        """
        segments = tuple(segment for segment in info.path.split("/") if segment)
        head = segments[0] if segments else ""
        if head not in {"", "api", "apis", "openapi", "version", *HEALTH_PATHS}:
            return None
        if request.method not in {"GET", "HEAD"}:
            raise method_not_allowed()
        if self._generation != self._services.resources.generation:
            self._made.clear()
            self._generation = self._services.resources.generation
        if head in HEALTH_PATHS:
            return self._health(request, head, segments[1:])
        if head == "openapi":
            return self._openapi(request, segments[1:])
        if head == "version" and len(segments) == 1:
            return answer_object(request, version())
        if not segments:
            return answer_object(request, {"paths": self._paths()})
        return self._discovery(request, segments)

    def _discovery(
        self, request: web.BaseRequest, segments: tuple[str, ...]
    ) -> web.StreamResponse | None:
        resources = self._services.resources
        match segments:
            case ("api",) | ("apis",):
                return self._root(request, segments[0])
            case ("api", name):
                found = discovery.resource_list(resources, "", name)
            case ("apis", group):
                found = discovery.group(resources, group)
            case ("apis", group, name):
                found = discovery.resource_list(resources, group, name)
            case _:
                found = None
        return None if found is None else answer_object(request, found)

    def _openapi(
        self, request: web.BaseRequest, segments: tuple[str, ...]
    ) -> web.StreamResponse | None:
        match segments:
            case ("v2",):
                return self._openapi_v2(request)
            case ("v3",):
                return answer(request, self._document(("index",)))
            case ("v3", *rest):
                return self._openapi_v3(request, "/".join(rest))
            case _:
                return None

    def _paths(self) -> list[str]:
        groups = {(r.group, r.version) for r in self._services.resources if r.group}
        return sorted(
            {"/api", "/api/v1", "/apis", "/healthz", "/livez", "/readyz", "/version"}
            | {"/openapi/v2", "/openapi/v3"}
            | {f"/apis/{group}" for group, _ in groups}
            | {f"/apis/{group}/{name}" for group, name in groups}
        )

    def _root(self, request: web.BaseRequest, head: str) -> web.StreamResponse:
        wanted = discovery.aggregated_version(request.headers.get("Accept", ""))
        resources = self._services.resources
        if wanted is None:
            value = (
                discovery.core_versions(request.host)
                if head == "api"
                else discovery.groups(resources)
            )
            response = answer_object(request, value)
            response.headers["Vary"] = "Accept"
            return response
        key = (head, wanted)
        body = self._made.get(key)
        if body is None:
            value = discovery.aggregated(resources, wanted, is_core=head == "api")
            body = self._made[key] = discovery.document(value)
        content_type = discovery.aggregated_content_type(wanted)
        return _cached(request, body, content_type)

    def _document(self, key: tuple[str, ...]) -> bytes:
        body = self._made.get(key)
        if body is None:
            body = self._made[key] = self._make(key)
        return body

    def _make(self, key: tuple[str, ...]) -> bytes:
        if key == ("v2",):
            return encode(openapi.document_v2())
        if key == ("index",):
            served = {(r.group, r.version) for r in self._services.resources}
            paths = {}
            for group, name in sorted(served):
                path = openapi.group_version_path(group, name)
                paths[path] = {
                    "serverRelativeURL": f"/openapi/v3/{path}?hash={self._hash(group, name)}"
                }
            return encode({"paths": paths})
        _, group, name = key
        members = [r for r in self._services.resources if (r.group, r.version) == (group, name)]
        schemas = {r.plural: r.open_api for r in members if isinstance(r, CustomResource)}
        return encode(openapi.document_v3(members, schemas))

    def _hash(self, group: str, name: str) -> str:
        """Return a text that changes with the document; the document itself need not be made."""
        members = [
            str(r) for r in self._services.resources if (r.group, r.version) == (group, name)
        ]
        text = f"{VERSION} {sorted(members)}"
        return discovery.etag(text.encode()).strip('"')[:_HASH_CHARS]

    def _openapi_v3(self, request: web.BaseRequest, path: str) -> web.StreamResponse | None:
        for resource in self._services.resources:
            group, name = resource.group, resource.version
            if openapi.group_version_path(group, name) != path:
                continue
            current = self._hash(group, name)
            asked = request.query.get("hash")
            if asked not in (None, current):
                where = f"/openapi/v3/{path}?hash={current}"
                return web.Response(
                    status=HTTPStatus.MOVED_PERMANENTLY, headers={"Location": where}
                )
            return _cached(request, self._document(("v3", group, name)), "application/json")
        return not_found_text()

    def _openapi_v2(self, request: web.BaseRequest) -> web.StreamResponse:
        accept = request.headers.get("Accept", "")
        if "protobuf" in accept and "application/json" not in accept:
            # An empty document of protobuf: what of v2 anybody still asks for is in v3.
            return web.Response(body=b"", content_type=openapi.V2_PROTOBUF)
        return _cached(request, self._document(("v2",)), "application/json")

    def _health(
        self, request: web.BaseRequest, kind: str, names: tuple[str, ...]
    ) -> web.StreamResponse | None:
        checks = {"ping": True, "etcd": self._services.cache.is_ready.is_set()}
        if names:
            if len(names) > 1 or names[0] not in checks:
                return not_found_text()
            checks = {names[0]: checks[names[0]]}
        excluded = request.query.getall("exclude", [])
        failed = [name for name, is_well in checks.items() if not is_well and name not in excluded]
        if not failed and "verbose" not in request.query:
            return answer_text("ok")
        lines = [
            f"[+]{name} excluded: ok" if name in excluded
            else f"[+]{name} ok" if is_well
            else f"[-]{name} failed: reason withheld"
            for name, is_well in checks.items()
        ]  # fmt: skip
        lines.append(f"{kind} check {'failed' if failed else 'passed'}\n")
        code = HTTPStatus.INTERNAL_SERVER_ERROR if failed else HTTPStatus.OK
        return answer_text("\n".join(lines), code=code)


def _cached(request: web.BaseRequest, body: bytes, content_type: str) -> web.Response:
    """Return a document that clients keep, and ask again for by its tag."""
    tag = discovery.etag(body)
    headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "public"}
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return web.Response(body=body, headers=headers | {"Content-Type": content_type})


def version() -> JsonObject:
    """Return what `/version` says."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": str(int(MINOR) - 1),
        "gitVersion": f"{VERSION}+kvstore",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{machine}",
    }
