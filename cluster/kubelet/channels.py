"""The client's side of a conversation: streams of input, output and outcome, over a WebSocket."""

import asyncio
import json
from collections.abc import Callable
from typing import Protocol

from aiohttp import WSMsgType, web

from cluster.kube_api.objects import JsonObject, integer_at
from cluster.kubelet.runtime import Channel, Conversation, Size

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_PENDING_MAX = 16
"""Messages of input that wait; while so many do, nothing is read from the client."""


class Channels(Protocol):
    """What a client opened to talk with a container."""

    resized: Callable[[Size], None]

    async def read(self) -> bytes:
        """Return the next input; nothing at its end."""
        ...

    async def write(self, channel: Channel, data: bytes) -> None:
        """Send output. What the client did not ask for is dropped."""
        ...

    async def finish(self, status: JsonObject) -> None:
        """Tell how it ended, and close."""
        ...

    async def gone(self) -> None:
        """Wait until the client has hung up."""
        ...


class Inbox:
    """Pieces of input, in order, and their end."""

    def __init__(self) -> None:
        self._pending: asyncio.Queue[bytes] = asyncio.Queue(_PENDING_MAX)
        self._is_over = False

    async def put(self, data: bytes) -> None:
        """Add a piece; an empty one is the end. Waits while too many are pending."""
        if not self._is_over:
            self._is_over = not data
            await self._pending.put(data)

    async def read(self) -> bytes:
        """Return the next piece; nothing at the end."""
        return await self._pending.get()


def size_of(message: bytes) -> Size | None:
    """Read a message of the resize channel; None if it is none."""
    try:
        found = json.loads(message)
        return Size(integer_at(found, "Width"), integer_at(found, "Height"))
    except (ValueError, TypeError, AttributeError):
        return None


class WebSocketChannels:
    """Messages whose first byte is the channel; v5 lets the client end its input."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._input = Inbox()
        self.resized: Callable[[Size], None] = lambda _: None

    async def gone(self) -> None:
        """Take messages until the client hangs up."""
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                await self._take(message.data)
            elif message.type is WSMsgType.TEXT:
                await self._take(message.data.encode())
        await self._input.put(b"")

    async def _take(self, message: bytes) -> None:
        if not message:
            return
        channel, content = message[0], message[1:]
        if channel == Channel.STDIN and content:
            await self._input.put(content)
        elif channel == Channel.CLOSE and content[:1] == bytes([Channel.STDIN]):
            await self._input.put(b"")
        elif channel == Channel.RESIZE:
            size = size_of(content)
            if size is not None:
                self.resized(size)

    async def read(self) -> bytes:
        """Return the next input."""
        return await self._input.read()

    async def write(self, channel: Channel, data: bytes) -> None:
        """Send output."""
        await self._socket.send_bytes(bytes([channel]) + data)

    async def finish(self, status: JsonObject) -> None:
        """Send the outcome and close."""
        await self.write(Channel.ERROR, json.dumps(status).encode())
        await self._socket.close()


def outcome(code: int) -> JsonObject:
    """Return the Status that says how a command ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


async def converse(channels: Channels, process: Conversation, *, hears: bool) -> None:
    """Connect a client with processes until these have ended, or the client has hung up.

    `hears`: whether the client has an input; without one, the processes' input ends at once.
    """
    channels.resized = process.resize

    async def listen() -> None:
        while hears and (data := await channels.read()):
            await process.write(data)
        await process.end_input()

    async def talk() -> int:
        await process.copy_output(channels.write)
        return await process.ended()

    listening, talking, leaving = (
        asyncio.ensure_future(listen()),
        asyncio.ensure_future(talk()),
        asyncio.ensure_future(channels.gone()),
    )
    try:
        await asyncio.wait([talking, leaving], return_when=asyncio.FIRST_COMPLETED)
        if talking.done() and talking.exception() is None:
            await channels.finish(outcome(talking.result()))
        else:
            process.hang_up()
    except ConnectionError:
        process.hang_up()
    finally:
        for task in (listening, talking, leaving):
            task.cancel()
        await asyncio.gather(listening, talking, leaving, return_exceptions=True)
