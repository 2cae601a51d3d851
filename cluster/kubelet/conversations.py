"""Talk with processes of this machine: over pipes, a terminal, or a container's witness."""

import asyncio
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cluster.kubelet.runtime import Channel, Sink, Size

_CHUNK_BYTES = 32 * 1024
_LEFT_BEHIND_S = 0.2
"""How long after a command's end its output may be silent: others may hold it open for ever."""
_FRAME = struct.Struct(">BI")


def _exit_code(process: asyncio.subprocess.Process) -> int:
    code = process.returncode or 0
    return code if code >= 0 else 128 - code


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it ended just now


async def _copy(
    channel: Channel, reader: asyncio.StreamReader, sink: Sink, ending: asyncio.Task[int]
) -> None:
    """Hand on what is read until the end, or until the command has ended and nothing comes."""
    while True:
        reading = asyncio.ensure_future(reader.read(_CHUNK_BYTES))
        await asyncio.wait([reading, ending], return_when=asyncio.FIRST_COMPLETED)
        try:
            data = await asyncio.wait_for(reading, _LEFT_BEHIND_S if ending.done() else None)
        except (TimeoutError, OSError):  # a terminal that nobody has open ends with an error
            return
        if not data:
            return
        await sink(channel, data)


@dataclass(frozen=True, slots=True)
class Ends:
    """Our ends of what a command hears and says; they are closed with the command."""

    outputs: Mapping[Channel, int]
    input: int | None = None
    is_terminal: bool = False


class Command:
    """A command with pipes, or with a terminal of its own."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        ends: Ends,
        readers: Mapping[Channel, asyncio.StreamReader],
        transports: list[asyncio.BaseTransport],
        writer: asyncio.StreamWriter | None,
    ) -> None:
        self._process = process
        self._ending = asyncio.ensure_future(process.wait())
        self._ends = ends
        self._readers = readers
        self._transports = transports
        self._writer = writer

    @classmethod
    async def over(cls, process: asyncio.subprocess.Process, ends: Ends) -> Self:
        """Talk over `ends`, which are owned from now on."""
        loop = asyncio.get_running_loop()
        readers: dict[Channel, asyncio.StreamReader] = {}
        transports: list[asyncio.BaseTransport] = []
        for channel, descriptor in ends.outputs.items():
            reader = readers[channel] = asyncio.StreamReader(limit=_CHUNK_BYTES)
            protocol = asyncio.StreamReaderProtocol(reader)
            pipe = os.fdopen(descriptor, "rb", 0)
            transports.append((await loop.connect_read_pipe(lambda p=protocol: p, pipe))[0])  # type: ignore[misc]
        writer = None
        if ends.input is not None:
            flow = asyncio.StreamReaderProtocol(asyncio.StreamReader())
            out = os.fdopen(ends.input, "wb", 0)
            transport, _ = await loop.connect_write_pipe(lambda: flow, out)
            writer = asyncio.StreamWriter(transport, flow, None, loop)
            transports.append(transport)
        return cls(process, ends, readers, transports, writer)

    async def copy_output(self, sink: Sink) -> None:
        """Hand on what it says."""
        await asyncio.gather(*(_copy(*pair, sink, self._ending) for pair in self._readers.items()))

    async def write(self, data: bytes) -> None:
        """Say something, or type it."""
        if self._writer is not None:
            try:
                self._writer.write(data)
                await self._writer.drain()
            except ConnectionError:
                return  # it does not listen

    async def end_input(self) -> None:
        """Close its input; a terminal's input ends by what is typed, and not otherwise."""
        if self._writer is not None and not self._ends.is_terminal:
            self._writer.close()

    def resize(self, size: Size) -> None:
        """Tell the terminal, which tells the processes."""
        if self._ends.is_terminal and not self._transports[0].is_closing():
            window = struct.pack("HHHH", size.height, size.width, 0, 0)
            fcntl.ioctl(self._ends.outputs[Channel.STDOUT], termios.TIOCSWINSZ, window)

    async def ended(self) -> int:
        """Wait for its end."""
        await self._ending
        self._close()
        return _exit_code(self._process)

    def hang_up(self) -> None:
        """End it: nobody is left to see what it does."""
        _kill(self._process)
        self._close()

    def _close(self) -> None:
        for transport in self._transports:
            transport.close()


class Attachment:
    """A container itself, over its witness."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def copy_output(self, sink: Sink) -> None:
        """Hand on what the container says, until its end."""
        try:
            while True:
                head = await self._reader.readexactly(_FRAME.size)
                channel, size = _FRAME.unpack(head)
                await sink(Channel(channel), await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the container has ended

    async def write(self, data: bytes) -> None:
        """Say something."""
        await self._send(Channel.STDIN, data)

    async def end_input(self) -> None:
        """Say no more."""
        await self._send(Channel.CLOSE, b"")

    def resize(self, size: Size) -> None:
        """Tell the container's terminal, if it has one."""
        window = struct.pack("HHHH", size.height, size.width, 0, 0)
        self._writer.write(_FRAME.pack(Channel.RESIZE, len(window)) + window)

    async def ended(self) -> int:
        """Leave; how the container ended stands in the pod's status."""
        self._writer.close()
        return 0

    def hang_up(self) -> None:
        """Leave; the container goes on."""
        self._writer.close()

    async def _send(self, channel: Channel, data: bytes) -> None:
        try:
            self._writer.write(_FRAME.pack(channel, len(data)) + data)
            await self._writer.drain()
        except ConnectionError:
            return  # the container has ended
