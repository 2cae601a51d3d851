"""`kubectl port-forward`: connections to a pod's ports, each a pair of streams, data and error."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from aiohttp import WSMsgType, web

from cluster.kubelet.channels import Inbox
from cluster.kubelet.spdy_connection import SpdyConnection, Stream
from cluster.streaming.takeover import BUFFER_BYTES

_DIAL_TIMEOUT_S = 10.0
_PORT_MAX = 65535
Write = Callable[[bytes], Awaitable[None]]
Read = Callable[[], Awaitable[bytes]]


class CannotConnect(Exception):
    """Nothing listens at a pod's port; says so as kubelets do."""


async def connect(
    address: str, port: int, pod: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a port of a pod.

    Raises:
        CannotConnect: nobody is there.
    """
    try:
        async with asyncio.timeout(_DIAL_TIMEOUT_S):
            return await asyncio.open_connection(address, port, limit=BUFFER_BYTES)
    except (OSError, TimeoutError) as error:
        text = f"error forwarding port {port} to pod {pod}: {error!r}"
        raise CannotConnect(text) from error


async def carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read: Read, write: Write
) -> None:
    """Copy between a connection and a client until the pod's side has ended."""

    async def to_pod() -> None:
        with suppress(ConnectionError):
            while data := await read():
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    sending = asyncio.ensure_future(to_pod())
    try:
        with suppress(ConnectionError):
            while data := await reader.read(BUFFER_BYTES):
                await write(data)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


async def forward_streams(connection: SpdyConnection, address: str, pod: str) -> None:
    """Serve pairs of streams until the client hangs up."""
    waiting: dict[str, dict[str, Stream]] = {}

    async def accept(tasks: asyncio.TaskGroup) -> None:
        while True:
            stream = await connection.opened.get()
            pair = waiting.setdefault(stream.headers.get("requestid", ""), {})
            pair[stream.headers.get("streamtype", "")] = stream
            if {"data", "error"} <= set(pair):
                del waiting[stream.headers.get("requestid", "")]
                tasks.create_task(_forward(pair["data"], pair["error"], address, pod))

    async with asyncio.TaskGroup() as tasks:
        accepting = tasks.create_task(accept(tasks))
        await connection.run()
        accepting.cancel()


async def _forward(data: Stream, error: Stream, address: str, pod: str) -> None:
    try:
        with suppress(ConnectionError):  # the client has hung up
            try:
                reader, writer = await connect(address, _port(data), pod)
            except CannotConnect as failure:
                await error.write(str(failure).encode())
            else:
                await carry(reader, writer, data.read, data.write)
            await error.finish()
            await data.finish()
    finally:
        with suppress(ConnectionError):
            await data.reset()
            await error.reset()


def _port(data: Stream) -> int:
    text = data.headers.get("port", "")
    if not text.isdecimal() or not 0 < int(text) <= _PORT_MAX:
        raise CannotConnect(f"error forwarding port {text!r}: it is none")
    return int(text)


class MessageForwarding:
    """A WebSocket with two channels a port, data and error, as Python's client opens it."""

    def __init__(self, socket: web.WebSocketResponse, ports: list[int], address: str, pod: str):
        self._socket = socket
        self._ports = ports
        self._address = address
        self._pod = pod
        self._inboxes = [Inbox() for _ in ports]

    async def run(self) -> None:
        """Serve until every port's connection has ended, or the client has hung up."""
        serving = asyncio.ensure_future(self._serve_all())
        receiving = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait([serving, receiving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            serving.cancel()
            receiving.cancel()
            await asyncio.gather(serving, receiving, return_exceptions=True)
            await self._socket.close()

    async def _serve_all(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for index, port in enumerate(self._ports):
                tasks.create_task(self._serve(index, port))

    async def _serve(self, index: int, port: int) -> None:
        data, error = 2 * index, 2 * index + 1
        for channel in (data, error):  # at first each says of which port it is
            await self._send(channel, port.to_bytes(2, "little"))
        try:
            reader, writer = await connect(self._address, port, self._pod)
        except CannotConnect as failure:
            await self._send(error, str(failure).encode())
            return
        await carry(reader, writer, self._inboxes[index].read, partial(self._send, data))

    async def _send(self, channel: int, data: bytes) -> None:
        await self._socket.send_bytes(bytes([channel]) + data)

    async def _receive(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.BINARY or len(message.data) <= 1:
                continue
            index, is_error = divmod(message.data[0], 2)
            if not is_error and index < len(self._inboxes):
                await self._inboxes[index].put(message.data[1:])
        for inbox in self._inboxes:
            await inbox.put(b"")
