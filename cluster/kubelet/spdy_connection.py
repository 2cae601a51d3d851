"""SPDY over a socket, or within a WebSocket: the streams that a client opens."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Protocol

from aiohttp import WSMsgType, web

from cluster.kube_api.objects import JsonObject
from cluster.kubelet.channels import Inbox, size_of
from cluster.kubelet.runtime import Channel, Size
from cluster.streaming.spdy import GoneAway, Opened, Received, Reset, ServerSession, SpdyError

EXEC_PROTOCOL = "v4.channel.k8s.io"
FORWARD_PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_STREAMS_TIMEOUT_S = 30.0
_RESIZE_CHUNK_MAX = 1024


class BytePipe(Protocol):
    """What SPDY travels in."""

    async def read(self) -> bytes:
        """Return some bytes; none at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        ...


class WebSocketPipe:
    """Bytes in the binary messages of a WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """Return the bytes of the next message."""
        async for message in self._socket:
            if message.type is WSMsgType.BINARY and message.data:
                return bytes(message.data)
        return b""

    async def write(self, data: bytes) -> None:
        """Send a message."""
        await self._socket.send_bytes(data)


class Stream:
    """One stream of a connection."""

    def __init__(
        self, connection: "SpdyConnection", number: int, headers: Mapping[str, str]
    ) -> None:
        self._connection = connection
        self._number = number
        self.headers = headers
        self.inbox = Inbox()

    async def read(self) -> bytes:
        """Return the next bytes; none at the end."""
        return await self.inbox.read()

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        await self._connection.send(self._number, data)

    async def finish(self) -> None:
        """Send no more."""
        await self._connection.send(self._number, b"", is_last=True)

    async def reset(self) -> None:
        """Give the stream up, both ways."""
        await self._connection.reset(self._number)


class SpdyConnection:
    """Hands out streams as the client opens them; `run` reads until the client has hung up."""

    def __init__(self, pipe: BytePipe) -> None:
        self._pipe = pipe
        self._session = ServerSession()
        self._streams: dict[int, Stream] = {}
        self._writing = asyncio.Lock()
        self.opened: asyncio.Queue[Stream] = asyncio.Queue()
        """Bounded by the number of streams that the session lets be open."""

    async def run(self) -> None:
        """Read until the end, then end every stream's input."""
        try:
            while data := await self._pipe.read():
                for event in self._session.receive(data):
                    await self._handle(event)
                await self._flush()
        except SpdyError:
            await self._flush()
        finally:
            for stream in self._streams.values():
                await stream.inbox.put(b"")

    async def send(self, number: int, data: bytes, *, is_last: bool = False) -> None:
        """Send on a stream."""
        self._session.send(number, data, is_last=is_last)
        await self._flush()

    async def reset(self, number: int) -> None:
        """Give a stream up."""
        self._session.reset(number)
        self._streams.pop(number, None)
        await self._flush()

    async def _handle(self, event: Opened | Received | Reset | GoneAway) -> None:
        match event:
            case Opened(number, headers):
                stream = self._streams[number] = Stream(self, number, headers)
                self.opened.put_nowait(stream)
            case Received(number, content, is_last):
                if number in self._streams:
                    if content:
                        await self._streams[number].inbox.put(content)
                    if is_last:
                        await self._streams.pop(number).inbox.put(b"")
            case Reset(number):
                if number in self._streams:
                    await self._streams.pop(number).inbox.put(b"")
            case GoneAway():
                pass  # what is open goes on

    async def _flush(self) -> None:
        async with self._writing:
            data = self._session.data_to_send()
            if data:
                await self._pipe.write(data)


class SpdyChannels:
    """Input, output and outcome on a stream each, told by the header `streamtype`."""

    def __init__(self, connection: SpdyConnection, reading: "asyncio.Future[None]") -> None:
        self._connection = connection
        self._reading = reading
        self._streams: dict[str, Stream] = {}
        self.resized: Callable[[Size], None] = lambda _: None

    async def expect(self, kinds: set[str]) -> bool:
        """Wait for the client to open streams of these kinds; return whether it did in time."""
        try:
            async with asyncio.timeout(_STREAMS_TIMEOUT_S):
                while not kinds <= set(self._streams):
                    stream = await self._connection.opened.get()
                    self._streams[stream.headers.get("streamtype", "")] = stream
        except TimeoutError:
            return False
        return True

    async def read(self) -> bytes:
        """Return the next input."""
        return await self._streams["stdin"].read()

    async def write(self, channel: Channel, data: bytes) -> None:
        """Send output."""
        stream = self._streams.get(channel.name.lower())
        if stream is not None:
            await stream.write(data)

    async def finish(self, status: JsonObject) -> None:
        """Send the outcome, and end every stream."""
        await self.write(Channel.ERROR, json.dumps(status).encode())
        for stream in self._streams.values():
            await stream.finish()

    async def gone(self) -> None:
        """Take resizings until the client hangs up."""
        resize = self._streams.get("resize")
        rest = b""
        while resize is not None and (data := await resize.read()):
            *whole, rest = (rest + data).replace(b"}", b"}\0").split(b"\0")
            rest = rest[-_RESIZE_CHUNK_MAX:]
            for message in whole:
                size = size_of(message)
                if size is not None:
                    self.resized(size)
        await self._reading
