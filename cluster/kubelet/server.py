"""What a kubelet serves to the API server: health, pods, logs, conversations with containers.

Over TLS only who shows a certificate of the cluster's authority gets in, and of these only who is
of the group `system:masters`, as the API server is: it has asked already whether its client may.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from cluster.kube_api.objects import string_at
from cluster.kubelet.kubelet import Kubelet
from cluster.kubelet.logs import BadLogOptions, lines, read_options
from cluster.kubelet.pod_worker import PodWorker
from cluster.kubelet.runtime import ContainerId, Phase, Run, Runtime
from cluster.kubelet.streaming_server import (
    read_wanted,
    serve_conversation,
    serve_port_forward,
)
from kvstore.base.clock import Clock

_ALLOWED = "system:masters"


@dataclass(frozen=True, slots=True)
class ServingFiles:
    """PEM files of a kubelet's server."""

    certificate: Path
    key: Path
    client_ca: Path


class KubeletServer:
    """Serves one kubelet at its node's address."""

    def __init__(  # noqa: PLR0913 - one of each
        self,
        kubelet: Kubelet,
        runtime: Runtime,
        clock: Clock,
        *,
        address: str,
        port: int,
        files: ServingFiles | None,
    ) -> None:
        self._kubelet = kubelet
        self._runtime = runtime
        self._clock = clock
        self._address = address
        self._port = port
        self._files = files
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is taken, or a file cannot be read.
        """
        app = web.Application(middlewares=[_authorized] if self._files is not None else [])
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/pods", self._pods)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        for method in ("GET", "POST"):
            add = app.router.add_route
            add(method, "/exec/{namespace}/{pod}/{container}", self._exec)
            add(method, "/attach/{namespace}/{pod}/{container}", self._attach)
            add(method, "/portForward/{namespace}/{pod}", self._port_forward)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        tls = None if self._files is None else _tls(self._files)
        await web.TCPSite(self._runner, self._address, self._port, ssl_context=tls).start()

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _pods(self, _: web.Request) -> web.Response:
        document = {"kind": "PodList", "apiVersion": "v1", "metadata": {}}
        return web.json_response({**document, "items": self._kubelet.pods()})

    def _worker(self, request: web.Request) -> PodWorker:
        parts = request.match_info
        worker = self._kubelet.worker(f"{parts['namespace']}/{parts['pod']}")
        if worker is None:
            raise web.HTTPNotFound(text=f'pod "{parts["pod"]}" does not exist')
        return worker

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        wanted = read_wanted(request)
        run = self._running(request)
        argv = request.query.getall("command", [])
        if not argv:
            raise web.HTTPBadRequest(text="no command was given")
        process = await self._runtime.command(run.id, argv, hears=wanted.stdin, tty=wanted.tty)
        if process is None:
            raise self._not_running(request)
        return await serve_conversation(request, wanted, process)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        wanted = read_wanted(request)
        process = await self._runtime.attach(self._running(request).id)
        if process is None:
            raise self._not_running(request)
        return await serve_conversation(request, wanted, process)

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        worker = self._worker(request)
        return await serve_port_forward(
            request, worker.pod_ip, string_at(worker.pod, "metadata", "uid")
        )

    def _running(self, request: web.Request) -> Run:
        worker = self._worker(request)
        uid = string_at(worker.pod, "metadata", "uid")
        run = self._run(uid, request.match_info["container"])
        if run is None or run.phase is not Phase.RUNNING:
            raise self._not_running(request)
        return run

    def _not_running(self, request: web.Request) -> web.HTTPNotFound:
        return web.HTTPNotFound(text=f'container not found ("{request.match_info["container"]}")')

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        parts = request.match_info
        worker = self._worker(request)
        uid = string_at(worker.pod, "metadata", "uid")
        run = self._run(uid, parts["container"])
        if run is None:
            text = f'container "{parts["container"]}" in pod "{parts["pod"]}" is not available'
            raise web.HTTPBadRequest(text=text)
        try:
            options = read_options(request.query, self._clock.unix())
        except BadLogOptions as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        wanted = run.id
        if request.query.get("previous") in ("true", "1"):
            wanted = ContainerId(uid, run.id.name, run.id.attempt - 1)
            if wanted.attempt < 0:
                what = f'previous terminated container "{run.id.name}"'
                raise web.HTTPBadRequest(text=f'{what} in pod "{parts["pod"]}" not found')

        def is_running() -> bool:
            latest = self._run(uid, wanted.name)
            return latest is not None and latest.id == wanted and latest.phase is not Phase.EXITED

        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        path = self._runtime.log_path(wanted)
        if path.exists():
            async for line in lines(path, options, is_running):
                await answer.write(line)
        return answer

    def _run(self, uid: str, name: str) -> Run | None:
        found: Iterator[Run] = (run for run in self._runtime.runs(uid) if run.id.name == name)
        return next(found, None)


def _tls(files: ServingFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.client_ca)
    context.load_cert_chain(files.certificate, files.key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@web.middleware
async def _authorized(request: web.Request, handler: Any) -> web.StreamResponse:
    certificate = request.get_extra_info("peercert") or {}
    groups = {
        value
        for part in certificate.get("subject", ())
        for name, value in part
        if name == "organizationName"
    }
    if _ALLOWED not in groups:
        raise web.HTTPForbidden(text="Forbidden")
    answer = await handler(request)
    assert isinstance(answer, web.StreamResponse), "what handlers return"
    return answer
