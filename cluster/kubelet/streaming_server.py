"""exec, attach and port-forward, as a kubelet serves them: over WebSockets, and over SPDY."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from cluster.kubelet.channels import PROTOCOLS, WebSocketChannels, converse
from cluster.kubelet.port_forward import MessageForwarding, forward_streams
from cluster.kubelet.runtime import Conversation
from cluster.kubelet.spdy_connection import (
    EXEC_PROTOCOL,
    FORWARD_PROTOCOL,
    TUNNEL_PROTOCOL,
    SpdyChannels,
    SpdyConnection,
    WebSocketPipe,
)
from cluster.streaming.takeover import Gone, taken_over

_MESSAGE_BYTES_MAX = 4 << 20
_HEARTBEAT_S = 30.0
_PORT_MAX = 65535
_UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    b"X-Stream-Protocol-Version: %b\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a client asked for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    def kinds(self) -> set[str]:
        """Return the streams of SPDY that the client will open."""
        said = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr and not self.tty}
        return {"error"} | {kind for kind, is_wanted in said.items() if is_wanted}


def read_wanted(request: web.Request) -> Wanted:
    """Read a query string, as API servers write it.

    Raises:
        web.HTTPBadRequest: no stream is asked for.
    """
    said = [
        request.query.get(name) in ("1", "true") for name in ("input", "output", "error", "tty")
    ]
    if not any(said[:3]):
        raise web.HTTPBadRequest(text="you must specify at least 1 of stdin, stdout, stderr")
    return Wanted(*said)


async def serve_conversation(
    request: web.Request, wanted: Wanted, process: Conversation
) -> web.StreamResponse:
    """Upgrade, and connect the client with the process."""
    try:
        if _is_websocket(request):
            socket = _socket(request, PROTOCOLS)
            await socket.prepare(request)
            await converse(WebSocketChannels(socket), process, hears=wanted.stdin)
            return socket
        protocol = _spdy_protocol(request, EXEC_PROTOCOL)
        async with taken_over(request) as pipe:
            await pipe.write(_UPGRADED % protocol.encode())
            connection = SpdyConnection(pipe)
            reading = asyncio.ensure_future(connection.run())
            try:
                channels = SpdyChannels(connection, reading)
                if await channels.expect(wanted.kinds() | ({"resize"} if wanted.tty else set())):
                    await converse(channels, process, hears=wanted.stdin)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        return Gone()
    finally:
        process.hang_up()


async def serve_port_forward(request: web.Request, address: str, pod: str) -> web.StreamResponse:
    """Upgrade, and connect the client with ports of a pod."""
    if not _is_websocket(request):
        protocol = _spdy_protocol(request, FORWARD_PROTOCOL)
        async with taken_over(request) as pipe:
            await pipe.write(_UPGRADED % protocol.encode())
            with suppress(ConnectionError):
                await forward_streams(SpdyConnection(pipe), address, pod)
        return Gone()
    offered = _offered(request)
    if TUNNEL_PROTOCOL in offered:
        socket = _socket(request, (TUNNEL_PROTOCOL,))
        await socket.prepare(request)
        with suppress(ConnectionError):
            await forward_streams(SpdyConnection(WebSocketPipe(socket)), address, pod)
        return socket
    ports = _ports(request)
    socket = _socket(request, PROTOCOLS[1:])
    await socket.prepare(request)
    with suppress(ConnectionError):
        await MessageForwarding(socket, ports, address, pod).run()
    return socket


def _ports(request: web.Request) -> list[int]:
    texts = ",".join(request.query.getall("ports", [])).split(",")
    ports = [int(text) for text in texts if text.isdecimal() and 0 < int(text) <= _PORT_MAX]
    if not ports or len(ports) != len(texts):
        raise web.HTTPBadRequest(text='query parameter "ports" must be port numbers')
    return ports


def _is_websocket(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _offered(request: web.Request) -> list[str]:
    names = ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")
    return [name.strip() for name in names if name.strip()]


def _socket(request: web.Request, protocols: Iterable[str]) -> web.WebSocketResponse:
    """Return the WebSocket to prepare; the client's first choice that is served here counts."""
    served = tuple(protocols)
    if not set(served) & set(_offered(request)):
        raise web.HTTPForbidden(text=f"unable to upgrade: served are {', '.join(served)}")
    return web.WebSocketResponse(
        protocols=served, heartbeat=_HEARTBEAT_S, max_msg_size=_MESSAGE_BYTES_MAX, compress=False
    )


def _spdy_protocol(request: web.Request, served: str) -> str:
    if not request.headers.get("Upgrade", "").upper().startswith("SPDY/3.1"):
        raise web.HTTPBadRequest(text="Upgrade request required")
    offered = ",".join(request.headers.getall("X-Stream-Protocol-Version", [])).split(",")
    if served not in [one.strip() for one in offered]:
        raise web.HTTPForbidden(text=f"unable to upgrade: served is {served}")
    return served
