"""The data plane of a machine without privileges: sockets that listen for services and pass on.

Sockets are opened for sharing (SO_REUSEPORT): the proxies of several nodes on one machine all
listen on a service's address, and the kernel gives each connection to one that lives.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cluster.kube_proxy.rules import Backend, Frontend, Rule
from kvstore.base.clock import Clock
from kvstore.base.entropy import Entropy

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 2.0
_CHUNK_BYTES = 64 * 1024
_CLIENTS_MAX = 10_000
"""Clients whose backend is remembered per frontend; beyond it the oldest is forgotten."""
_UDP_IDLE_S = 60.0
_UDP_CLIENTS_MAX = 1024


class Chooser:
    """Chooses a backend for a client: the one it had, or the next in turn. Pure, but for dice."""

    def __init__(self, entropy: Entropy) -> None:
        self._turn = entropy.bits(16)
        self._sticky: dict[str, tuple[Backend, float]] = {}

    def order(self, rule: Rule, client: str, now: float) -> list[Backend]:
        """Return all backends, the one to try first in front."""
        backends = list(rule.backends)
        if not backends:
            return []
        self._turn += 1
        start = self._turn % len(backends)
        ordered = backends[start:] + backends[:start]
        known = self._sticky.get(client) if rule.affinity_s else None
        if known is not None and known[1] > now and known[0] in backends:
            ordered.remove(known[0])
            ordered.insert(0, known[0])
        return ordered

    def chosen(self, rule: Rule, client: str, backend: Backend, now: float) -> None:
        """Remember where a client went, if it is to come back there."""
        if not rule.affinity_s:
            return
        self._sticky.pop(client, None)
        self._sticky[client] = (backend, now + rule.affinity_s)
        if len(self._sticky) > _CLIENTS_MAX:
            del self._sticky[next(iter(self._sticky))]


class Relay:
    """Listens on every frontend that has a rule; `apply` brings it to other rules."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._rules: Mapping[Frontend, Rule] = {}
        self._choosers: dict[Frontend, Chooser] = {}
        self._servers: dict[Frontend, asyncio.Server] = {}
        self._udp: dict[Frontend, asyncio.DatagramTransport] = {}
        self._connections: set[asyncio.Task[None]] = set()

    async def apply(self, rules: Mapping[Frontend, Rule]) -> list[str]:
        """Use `rules` from now on; return what could not be listened on, and why."""
        self._rules = rules
        wanted = {frontend for frontend, rule in rules.items() if rule.backends}
        for frontend in set(self._servers) - wanted:
            self._servers.pop(frontend).close()
        for frontend in set(self._udp) - wanted:
            self._udp.pop(frontend).close()
        for frontend in set(self._choosers) - set(rules):
            del self._choosers[frontend]
        failures: list[str] = []
        for frontend in sorted(wanted - set(self._servers) - set(self._udp)):
            self._choosers.setdefault(frontend, Chooser(self._entropy))
            try:
                await self._listen(frontend)
            except OSError as error:
                failures.append(f"{frontend.address}:{frontend.port}: {error}")
        return failures

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        await self.apply({})
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _listen(self, frontend: Frontend) -> None:
        if frontend.protocol == "UDP":
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _UdpFrontend(self, frontend),
                local_addr=(frontend.address, frontend.port),
                reuse_port=True,
            )
            self._udp[frontend] = transport
            return

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._serve(frontend, reader, writer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

        self._servers[frontend] = await asyncio.start_server(
            accepted, frontend.address, frontend.port, reuse_port=True
        )

    def order(self, frontend: Frontend, client: str) -> tuple[Rule | None, list[Backend]]:
        """Return the rule in force for a frontend, and the backends in the order to try them."""
        rule = self._rules.get(frontend)
        if rule is None:
            return None, []
        chooser = self._choosers[frontend]
        return rule, chooser.order(rule, client, self._clock.monotonic())

    def chosen(self, frontend: Frontend, rule: Rule, client: str, backend: Backend) -> None:
        """Note where a client went."""
        chooser = self._choosers.get(frontend)
        if chooser is not None:
            chooser.chosen(rule, client, backend, self._clock.monotonic())

    async def _serve(
        self, frontend: Frontend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry one connection; a backend that does not answer is passed over: nothing was sent."""
        client = str((writer.get_extra_info("peername") or ("",))[0])
        rule, backends = self.order(frontend, client)
        try:
            for backend in backends:
                try:
                    async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                        inner = await asyncio.open_connection(*backend)
                except (OSError, TimeoutError) as error:
                    logger.info("backend passed over", extra={"to": backend, "why": str(error)})
                    continue
                if rule is not None:
                    self.chosen(frontend, rule, client, backend)
                await _join((reader, writer), inner)
                return
        finally:
            writer.close()


async def _join(
    outer: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    inner: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    try:
        await asyncio.gather(_copy(outer[0], inner[1]), _copy(inner[0], outer[1]))
    finally:
        inner[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until their end; a half that is closed is closed on the other side, too."""
    with suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class _UdpFrontend(asyncio.DatagramProtocol):
    """Passes datagrams on, and answers back to whom they are for."""

    def __init__(self, relay: Relay, frontend: Frontend) -> None:
        self._relay = relay
        self._frontend = frontend
        self._transport: asyncio.DatagramTransport | None = None
        self._clients: dict[Any, asyncio.DatagramTransport] = {}
        self._waiting: dict[Any, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        assert isinstance(transport, asyncio.DatagramTransport), "a datagram endpoint"
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Close what was opened for clients."""
        for inner in self._clients.values():
            inner.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Pass a datagram on; the first of a client chooses its backend."""
        inner = self._clients.get(addr)
        if inner is not None:
            inner.sendto(data)
        elif addr in self._waiting:
            self._waiting[addr].append(data)
        elif len(self._clients) + len(self._waiting) < _UDP_CLIENTS_MAX:
            self._waiting[addr] = [data]
            task = asyncio.ensure_future(self._open(addr))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, addr: Any) -> None:
        rule, backends = self._relay.order(self._frontend, str(addr[0]))
        first = self._waiting.pop(addr, [])
        if rule is None or not backends or self._transport is None:
            return
        loop = asyncio.get_running_loop()
        outer = self._transport
        inner, _ = await loop.create_datagram_endpoint(
            lambda: _UdpBackend(outer, addr), remote_addr=backends[0]
        )
        self._relay.chosen(self._frontend, rule, str(addr[0]), backends[0])
        self._clients[addr] = inner
        for data in first:
            inner.sendto(data)
        loop.call_later(_UDP_IDLE_S, self._forget, addr)

    def _forget(self, addr: Any) -> None:
        inner = self._clients.pop(addr, None)
        if inner is not None:
            inner.close()


class _UdpBackend(asyncio.DatagramProtocol):
    """Answers of a backend to one client."""

    def __init__(self, outer: asyncio.DatagramTransport, client: Any) -> None:
        self._outer = outer
        self._client = client

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Pass an answer back."""
        self._outer.sendto(data, self._client)
