"""A request's socket, taken from the HTTP server that read the request: for upgrades."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

BUFFER_BYTES = 64 * 1024


class Pipe:
    """Bytes both ways; each side of a relay."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return some bytes; none at the end."""
        return await self._reader.read(BUFFER_BYTES)

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait while too many are unsent."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """Close, once everything is sent."""
        self._writer.close()


@asynccontextmanager
async def taken_over(request: web.BaseRequest) -> AsyncIterator[Pipe]:
    """Have the socket of `request` inside the block; it is closed afterwards.

    The HTTP server reads nothing from it any more; it is to be given a `Gone` at the end. What a
    client had sent before it was answered is not read: no protocol here lets it speak first.
    """
    transport, server = request.transport, request.protocol
    if transport is None:
        raise ConnectionResetError("the client has gone")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=BUFFER_BYTES, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    transport.resume_reading()
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    try:
        yield Pipe(reader, writer)
    finally:
        writer.close()
        server.connection_lost(None)


class Gone(web.StreamResponse):
    """What a handler returns to the HTTP server when the socket that it took over is closed."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send nothing: there is nobody to send it to."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""


async def relay(one: Pipe, other: Pipe) -> None:
    """Copy bytes both ways until either side ends or fails."""

    async def copy(source: Pipe, sink: Pipe) -> None:
        while data := await source.read():
            await sink.write(data)

    copying = [asyncio.ensure_future(copy(one, other)), asyncio.ensure_future(copy(other, one))]
    try:
        await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in copying:
            task.cancel()
        await asyncio.gather(*copying, return_exceptions=True)
