"""The network between the members of a cluster, which can be cut without privileges.

Each member is reached by its peers through a relay here. A relay finds out who dials by
the kernel's table of sockets: the one process that has the other end. So every pair has a cable of
its own, and each direction of a cable can be cut. What is sent into a cut is held, not lost, as TCP
would do it: when the cut heals it arrives, late.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

_HOST = "127.0.0.1"
_CHUNK = 64 * 1024
_TIMEOUT_S = 10.0

Direction = tuple[str, str]
"""From the member that sends to the one that receives, by name."""


class PeerNetwork:
    """The relays of one cluster; a thread of its own carries the bytes."""

    def __init__(self, members: Iterable[str], pid_of: Callable[[str], int | None]) -> None:
        """Listen for every member; `pid_of` tells its process, None while it has none."""
        self._names = tuple(members)
        self._pid_of = pid_of
        self._targets: Mapping[str, int] = {}
        self._open: dict[Direction, asyncio.Event] = {}
        self._sockets = {name: socket.create_server((_HOST, 0)) for name in self._names}
        self.ports: Mapping[str, int] = {
            name: listening.getsockname()[1] for name, listening in self._sockets.items()
        }
        self._loop = asyncio.new_event_loop()
        self._cables: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self, targets: Mapping[str, int]) -> None:
        """Relay what is sent to each member to its port in `targets`."""
        self._targets = targets
        self._thread.start()
        self._do(self._listen)

    def cut(self, directions: Iterable[Direction]) -> None:
        """Hold back what is sent in these directions; in force when it returns."""
        self._set(directions, is_open=False)

    def heal(self, directions: Iterable[Direction] | None = None) -> None:
        """Let it flow again; all of it, if nothing is named."""
        self._set(self.cuts if directions is None else directions, is_open=True)

    @property
    def cuts(self) -> frozenset[Direction]:
        """The directions that are cut."""
        return frozenset(way for way, is_open in self._open.items() if not is_open.is_set())

    def between(self, *groups: Iterable[str]) -> list[Direction]:
        """Return all directions from a member of one group to one of another.

        Who is in no group forms the last one.
        """
        sides = [set(group) for group in groups]
        sides.append(set(self._names).difference(*sides))
        return [
            (source, target)
            for side in sides
            for source in side
            for other in sides
            if other is not side
            for target in other
        ]

    def close(self) -> None:
        """End every connection and the thread."""
        if self._thread.is_alive():
            self._do(self._end)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        for listening in self._sockets.values():
            listening.close()
        self._loop.close()

    # --- on the thread

    def _do(self, action: Callable[[], "asyncio.Future[None] | None"]) -> None:
        async def run() -> None:
            waiting = action()
            if waiting is not None:
                await waiting

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(_TIMEOUT_S)

    def _listen(self) -> "asyncio.Future[None]":
        for source in self._names:
            for target in self._names:
                if source != target:
                    self._open[source, target] = asyncio.Event()
                    self._open[source, target].set()

        async def serve() -> None:
            for name, listening in self._sockets.items():
                server = await asyncio.start_server(self._accepting(name), sock=listening)
                self._servers.append(server)

        return asyncio.ensure_future(serve())

    def _set(self, directions: Iterable[Direction], *, is_open: bool) -> None:
        chosen = list(directions)

        def change() -> None:
            for way in chosen:
                event = self._open[way]
                event.set() if is_open else event.clear()

        self._do(change)

    def _end(self) -> "asyncio.Future[None]":
        for server in self._servers:
            server.close()
        cables = list(self._cables)

        async def cancel() -> None:
            for cable in cables:
                cable.cancel()
            await asyncio.gather(*cables, return_exceptions=True)

        return asyncio.ensure_future(cancel())

    def _accepting(
        self, target: str
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], "asyncio.Future[None]"]:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            cable = asyncio.current_task()
            assert cable is not None
            self._cables.add(cable)
            try:
                await self._relay(target, reader, writer)
            except asyncio.CancelledError:
                return  # the cluster is closed
            finally:
                self._cables.discard(cable)
                writer.close()

        return accepted  # type: ignore[return-value]  # a coroutine function is one of these

    async def _relay(
        self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        source = self._dialler(writer.get_extra_info("peername")[1])
        if source is None or source == target:
            return  # it hung up, or its process ended, before we could look
        there, back = self._open[source, target], self._open[target, source]
        await there.wait()
        await back.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(_HOST, self._targets[target])
        except OSError:
            return
        try:
            pumps = [
                asyncio.ensure_future(_pump(reader, far_writer, there)),
                asyncio.ensure_future(_pump(far_reader, writer, back)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            far_writer.close()

    def _dialler(self, port: int) -> str | None:
        """Return the member whose process has the socket with this local port."""
        inode = _socket_inode(port)
        if inode is None:
            return None
        wanted = f"socket:[{inode}]"
        for name in self._names:
            pid = self._pid_of(name)
            if pid is not None and wanted in _descriptors(pid):
                return name
        return None


async def _pump(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, is_open: asyncio.Event
) -> None:
    """Carry bytes one way while the way is open; return when the source has hung up."""
    with contextlib.suppress(OSError):
        while True:
            data = await source.read(_CHUNK)
            await is_open.wait()
            if not data:
                return
            target.write(data)
            await target.drain()
    await is_open.wait()  # nor is it told of a broken connection across a cut


def _socket_inode(port: int) -> str | None:
    """Return the inode of the established socket with the local `port` on loopback."""
    local = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[1] == local and columns[9] != "0":
            return columns[9]
    return None


def _descriptors(pid: int) -> Iterable[str]:
    found = set()
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(entry.readlink()))
    return found
