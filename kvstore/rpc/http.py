"""The plain HTTP side of the client port: health, version, metrics, as probes expect them.

Texts, headers and the order of checks are etcd's: scripts look for them.
"""

import json
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from kvstore.base.errors import RpcError
from kvstore.member import Member
from kvstore.rpc.call import HttpRequest, HttpResponse, Respond
from kvstore.rpc.health_checks import HealthChecks
from kvstore.rpc.maintenance import ALARM_NAMES, SERVER_VERSION, STORAGE_VERSION

Route = Callable[[HttpRequest, Respond], None]

NOT_FOUND = HttpResponse(
    status=404, body=b"404 page not found\n", headers={"x-content-type-options": "nosniff"}
)
_METHOD_NOT_ALLOWED = HttpResponse(
    status=405,
    body=b"Method Not Allowed\n",
    headers={"allow": "GET", "x-content-type-options": "nosniff"},
)


class HttpRoutes:
    """One route table for HTTP/1.1 and HTTP/2."""

    def __init__(
        self,
        member: Member,
        checks: HealthChecks,
        metrics: Callable[[], bytes],
        variables: Callable[[], Mapping[str, object]],
        gateway: Route | None,
    ) -> None:
        """`gateway` serves everything below `/v3/`; None: it is switched off."""
        self._member = member
        self._checks = checks
        self._metrics = metrics
        self._variables = variables
        self._gateway = gateway
        self._probes: dict[str, Route] = {
            "/health": self._health,
            "/metrics": self._serve_metrics,
            **{
                path: self._readiness
                for kind, names in checks.names.items()
                for path in (f"/{kind}", *(f"/{kind}/{name}" for name in names))
            },
        }
        self._routes: dict[str, Route] = {
            **self._probes,
            "/version": self._version,
            "/debug/vars": self._serve_variables,
        }

    def handle(self, request: HttpRequest, respond: Respond) -> None:
        """Answer one request of a client, now or later."""
        if self._gateway is not None and request.path.startswith(("/v3/", "/v3beta/")):
            self._gateway(request, respond)
        else:
            self._dispatch(self._routes, request, respond)

    def handle_probe(self, request: HttpRequest, respond: Respond) -> None:
        """Answer one request on a port that serves metrics and health only."""
        self._dispatch(self._probes, request, respond)

    @staticmethod
    def refuse(_: HttpRequest, respond: Respond) -> None:
        """Answer a request on a port where only gRPC is spoken."""
        respond(NOT_FOUND)

    def _dispatch(
        self, routes: Mapping[str, Route], request: HttpRequest, respond: Respond
    ) -> None:
        route = routes.get(request.path)
        if route is None:
            respond(NOT_FOUND)
        elif request.method not in ("GET", "HEAD"):
            respond(_METHOD_NOT_ALLOWED)
        else:
            route(request, respond)

    def _health(self, request: HttpRequest, respond: Respond) -> None:
        parameters = parse_qs(request.query)
        excluded = parameters.get("exclude", [])

        def answer(problem: str) -> None:
            self._checks.count_health(is_healthy=not problem)
            respond(_health_response(problem))

        for _, alarm in self._member.machine.alarms.raised():
            if ALARM_NAMES[alarm] not in excluded:
                answer(f"ALARM {ALARM_NAMES[alarm]}")
                return
        if parameters.get("serializable") == ["true"]:
            answer("")
            return
        if self._member.consensus.leader is None:
            answer("RAFT NO LEADER")
            return

        def confirmed(error: RpcError | None) -> None:
            answer("" if error is None else f"RANGE ERROR:{error.message}")

        self._member.read(confirmed)

    def _readiness(self, request: HttpRequest, respond: Respond) -> None:
        """`/livez` and `/readyz`, whole or one check of them."""
        _, kind, *rest = request.path.split("/")
        parameters = parse_qs(request.query, keep_blank_values=True)
        names = rest or [
            name for name in self._checks.names[kind] if name not in parameters.get("exclude", [])
        ]

        def done(lines: list[str], *, has_failed: bool) -> None:
            if has_failed:
                body, status = "".join(lines) + "\n", 503
            else:
                shown = "".join(lines) if "verbose" in parameters else ""
                body, status = f"{shown}ok\n", 200
            headers = {"x-content-type-options": "nosniff"}
            respond(HttpResponse(status=status, body=body.encode(), headers=headers))

        self._checks.run(kind, names, done)

    def _version(self, _: HttpRequest, respond: Respond) -> None:
        versions = {
            "etcdserver": SERVER_VERSION,
            "etcdcluster": STORAGE_VERSION,
            "storage": STORAGE_VERSION,
        }
        body = json.dumps(versions, separators=(",", ":")).encode()
        respond(HttpResponse(status=200, body=body, content_type="application/json"))

    def _serve_metrics(self, _: HttpRequest, respond: Respond) -> None:
        respond(
            HttpResponse(
                status=200,
                body=self._metrics(),
                content_type="text/plain; version=0.0.4; charset=utf-8",
            )
        )

    def _serve_variables(self, _: HttpRequest, respond: Respond) -> None:
        variables = self._variables()
        lines = ",\n".join(
            f"{json.dumps(name)}: {json.dumps(value)}" for name, value in sorted(variables.items())
        )
        body = f"{{\n{lines}\n}}\n".encode()
        respond(HttpResponse(status=200, body=body, content_type="application/json; charset=utf-8"))


def _health_response(problem: str) -> HttpResponse:
    content = {"health": "false" if problem else "true", "reason": problem}
    body = json.dumps(content, separators=(",", ":")).encode()
    if problem:
        headers = {"x-content-type-options": "nosniff"}
        return HttpResponse(status=503, body=body + b"\n", headers=headers)
    return HttpResponse(status=200, body=body)
