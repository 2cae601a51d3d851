"""When a container counts as started, ready and alive: counting is pure, asking is not."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import grpc
from grpc import aio

from cluster.kube_api.objects import (
    JsonObject,
    JsonValue,
    integer_at,
    list_at,
    member,
    object_at,
    string_at,
)
from cluster.kubelet.pod_lifecycle import Health

_HTTP_OK = range(200, 400)
_USER_AGENT = "kube-probe/1.33"
_GRPC_METHOD = "/grpc.health.v1.Health/Check"
_GRPC_SERVICE_BYTES_MAX = 127
_SERVING = b"\x08\x01"


@dataclass(frozen=True, slots=True)
class Probe:
    """How often to ask, for how long to wait, and how many answers in a row count."""

    spec: JsonObject
    delay_s: int
    period_s: int
    timeout_s: int
    successes: int
    failures: int


def probe_of(container: JsonObject, kind: str) -> Probe | None:
    """Read `startupProbe`, `readinessProbe` or `livenessProbe`."""
    spec = member(container, kind)
    if not isinstance(spec, dict):
        return None
    return Probe(
        spec,
        integer_at(spec, "initialDelaySeconds"),
        integer_at(spec, "periodSeconds", default=10) or 10,
        integer_at(spec, "timeoutSeconds", default=1) or 1,
        integer_at(spec, "successThreshold", default=1) or 1,
        integer_at(spec, "failureThreshold", default=3) or 3,
    )


class Tally:
    """Counts answers of one probe; `is_good` turns only after enough of a kind in a row."""

    def __init__(self, probe: Probe, *, is_good: bool) -> None:
        self._probe = probe
        self._successes = 0
        self._failures = 0
        self.is_good = is_good
        self.has_failed = False
        """Whether it ever failed often enough in a row."""

    def count(self, *, succeeded: bool) -> None:
        """Take one answer."""
        self._successes = self._successes + 1 if succeeded else 0
        self._failures = 0 if succeeded else self._failures + 1
        if self._successes >= self._probe.successes:
            self.is_good = True
        if self._failures >= self._probe.failures:
            self.is_good = False
            self.has_failed = True


class Prober(Protocol):
    """Asks a container; a text says why it failed, None that it did not."""

    async def ask(self, probe: Probe) -> str | None:
        """Ask once, for `probe.timeout_s` at most."""
        ...


class ContainerHealth:
    """The probes of one run of a container, from its start to its end."""

    def __init__(
        self,
        container: JsonObject,
        prober: Prober,
        changed: Callable[[], None],
        failed: Callable[[str, str], None],
    ) -> None:
        self._prober = prober
        self._changed = changed
        self._failed = failed
        self._container = container
        startup = probe_of(container, "startupProbe")
        readiness = probe_of(container, "readinessProbe")
        liveness = probe_of(container, "livenessProbe")
        self._startup = Tally(startup, is_good=False) if startup else None
        self._readiness = Tally(readiness, is_good=False) if readiness else None
        self._liveness = Tally(liveness, is_good=True) if liveness else None
        self._loops = [
            (kind, probe, tally)
            for kind, probe, tally in (
                ("Readiness", readiness, self._readiness),
                ("Liveness", liveness, self._liveness),
            )
            if probe is not None and tally is not None
        ]
        self._startup_probe = startup

    @property
    def health(self) -> Health:
        """What they say now."""
        is_started = self._startup is None or self._startup.is_good
        gave_up = self._startup is not None and self._startup.has_failed
        died = self._liveness is not None and not self._liveness.is_good
        is_ready = is_started and (self._readiness is None or self._readiness.is_good)
        return Health(is_started, is_ready, gave_up or died)

    async def run(self) -> None:
        """Ask until cancelled; the startup probe first, the others when it is content."""
        if self._startup_probe is not None and self._startup is not None:
            await self._loop("Startup", self._startup_probe, self._startup, until_good=True)
        async with asyncio.TaskGroup() as tasks:
            for kind, probe, tally in self._loops:
                tasks.create_task(self._loop(kind, probe, tally))

    async def _loop(
        self, kind: str, probe: Probe, tally: Tally, *, until_good: bool = False
    ) -> None:
        await asyncio.sleep(probe.delay_s)
        while True:
            before = self.health
            why = await self._prober.ask(probe)
            tally.count(succeeded=why is None)
            if why is not None:
                self._failed(kind, why)
            if self.health != before:
                self._changed()
            if until_good and (tally.is_good or tally.has_failed):
                return
            await asyncio.sleep(probe.period_s)


Exec = Callable[[list[str], float], Awaitable[tuple[int, str]]]
"""Runs a command in the container; returns its exit code and output."""


class NetworkProber:
    """Asks over the network, or by a command in the container."""

    def __init__(self, pod_ip: str, container: JsonObject, execute: Exec) -> None:
        self._pod_ip = pod_ip
        self._container = container
        self._execute = execute

    async def ask(self, probe: Probe) -> str | None:
        """Ask once."""
        try:
            async with asyncio.timeout(probe.timeout_s):
                return await self._ask(probe)
        except TimeoutError:
            return f"timed out after {probe.timeout_s}s"
        except aiohttp.ClientConnectorError as error:
            return str(error.os_error)
        except (OSError, aiohttp.ClientError) as error:
            return str(error) or type(error).__name__

    async def _ask(self, probe: Probe) -> str | None:
        if action := object_at(probe.spec, "exec"):
            command = [str(one) for one in list_at(action, "command")]
            code, output = await self._execute(command, probe.timeout_s)
            return None if code == 0 else output or f"exit code {code}"
        if action := object_at(probe.spec, "httpGet"):
            return await http_get(action, self._host(action), self._port(action))
        if action := object_at(probe.spec, "tcpSocket"):
            _, writer = await asyncio.open_connection(self._host(action), self._port(action))
            writer.close()
            return None
        action = object_at(probe.spec, "grpc")
        return await _grpc_check(
            f"{self._pod_ip}:{self._port(action)}", string_at(action, "service")
        )

    def _host(self, action: JsonObject) -> str:
        return string_at(action, "host") or self._pod_ip

    def _port(self, action: JsonObject) -> int:
        wanted: JsonValue = action.get("port")
        if isinstance(wanted, int):
            return wanted
        for port in list_at(self._container, "ports"):
            if string_at(port, "name") == wanted:
                return integer_at(port, "containerPort")
        raise OSError(f"couldn't find port {wanted}")


async def http_get(action: JsonObject, host: str, port: int) -> str | None:
    """GET, as a probe or a hook does; a certificate is not looked at."""
    scheme = (string_at(action, "scheme") or "HTTP").lower()
    path = string_at(action, "path") or "/"
    headers = {
        string_at(one, "name"): string_at(one, "value") for one in list_at(action, "httpHeaders")
    }
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(
            connector=connector, headers={"User-Agent": "kube-probe/1.33"}
        ) as http,
        http.get(
            f"{scheme}://{host}:{port}{path if path.startswith('/') else '/' + path}",
            headers=headers,
            allow_redirects=False,
        ) as answer,
    ):
        if answer.status in _HTTP_OK:
            return None
        return f"HTTP probe failed with statuscode: {answer.status}"


async def _grpc_check(address: str, service: str) -> str | None:
    """Call grpc.health.v1.Health/Check; its messages are small enough to be written by hand."""
    if len(service.encode()) > _GRPC_SERVICE_BYTES_MAX:
        return f"the name of the service has more than {_GRPC_SERVICE_BYTES_MAX} bytes"
    request = b"\x0a" + bytes([len(service.encode())]) + service.encode() if service else b""
    async with aio.insecure_channel(address) as channel:
        check: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_GRPC_METHOD)
        try:
            answer = await check(request)
        except grpc.RpcError as error:
            return str(error)
    return None if answer == _SERVING else "service unhealthy (responded with NOT_SERVING)"
