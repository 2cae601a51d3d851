"""The plain HTTP side of the client port: /health, /version, /metrics, as probes expect them."""

import json
from collections.abc import Callable
from urllib.parse import parse_qs

from kvstore.base.errors import RpcError
from kvstore.member import Member
from kvstore.rpc.call import HttpRequest, HttpResponse
from kvstore.rpc.maintenance import ALARM_NAMES, SERVER_VERSION, STORAGE_VERSION

Respond = Callable[[HttpResponse], None]


class HttpRoutes:
    """One route table for HTTP/1.1 and HTTP/2."""

    def __init__(self, member: Member, metrics: Callable[[], bytes]) -> None:
        self._member = member
        self._metrics = metrics
        self._routes: dict[str, Callable[[HttpRequest, Respond], None]] = {
            "/health": self._health,
            "/version": self._version,
            "/metrics": self._serve_metrics,
        }

    def handle(self, request: HttpRequest, respond: Respond) -> None:
        """Answer one request, now or later."""
        route = self._routes.get(request.path)
        if route is None:
            respond(HttpResponse(status=404, body=b"404 page not found\n"))
        elif request.method not in ("GET", "HEAD"):
            respond(
                HttpResponse(status=405, body=b"Method Not Allowed\n", headers={"Allow": "GET"})
            )
        else:
            route(request, respond)

    def _health(self, request: HttpRequest, respond: Respond) -> None:
        parameters = parse_qs(request.query)
        excluded = parameters.get("exclude", [])
        for _, alarm in self._member.machine.alarms.raised():
            if ALARM_NAMES[alarm] not in excluded:
                respond(_health_response(f"ALARM {ALARM_NAMES[alarm]}"))
                return
        if parameters.get("serializable") == ["true"]:
            respond(_health_response(""))
            return
        if self._member.consensus.leader is None:
            respond(_health_response("RAFT NO LEADER"))
            return

        def confirmed(error: RpcError | None) -> None:
            respond(_health_response("" if error is None else f"RANGE ERROR:{error.message}"))

        self._member.read(confirmed)

    def _version(self, _: HttpRequest, respond: Respond) -> None:
        versions = {
            "etcdserver": SERVER_VERSION,
            "etcdcluster": STORAGE_VERSION,
            "storage": STORAGE_VERSION,
        }
        respond(_json_response(200, versions))

    def _serve_metrics(self, _: HttpRequest, respond: Respond) -> None:
        respond(
            HttpResponse(
                status=200,
                body=self._metrics(),
                content_type="text/plain; version=0.0.4; charset=utf-8",
            )
        )


def _health_response(problem: str) -> HttpResponse:
    healthy = "false" if problem else "true"
    return _json_response(503 if problem else 200, {"health": healthy, "reason": problem})


def _json_response(status: int, content: dict[str, str]) -> HttpResponse:
    body = json.dumps(content, separators=(",", ":")).encode()
    return HttpResponse(status=status, body=body, content_type="application/json")
