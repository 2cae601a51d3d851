"""One port for clients with and without TLS: the first byte of a connection tells which it is.

A handshake begins with the byte 22, which no HTTP request begins with. The byte is looked at and
left in the socket, so that the connection then starts as it would on a port of its own.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

logger = logging.getLogger(__name__)

_HANDSHAKE = b"\x16"
_BACKLOG = 1024
_UNDECIDED_MAX = 1024
"""Connections that have not sent a byte yet; beyond that the oldest is dropped."""


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on every address of `host`, which do not block.

    Raises:
        OSError: one cannot be bound; none is left open.
    """
    with contextlib.ExitStack() as opened:
        found = []
        for family, kind, _, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            one = opened.enter_context(contextlib.closing(socket.socket(family, kind)))
            one.settimeout(0)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(_BACKLOG)
            found.append(one)
        opened.pop_all()
        return found


class SharedPort:
    """Accepts connections on a bound socket until `close`."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext,
        *,
        handshake_timeout_s: float,
    ) -> None:
        """Takes `listening` over: it is bound, listens, and does not block."""
        self._socket = listening
        self._protocol = protocol
        self._tls = tls
        self._timeout_s = handshake_timeout_s
        self._loop = asyncio.get_running_loop()
        self._undecided: dict[socket.socket, asyncio.TimerHandle] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept nothing any more, and drop who has said nothing yet."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for connection in list(self._undecided):
            self._drop(connection)
        for task in self._starting:
            task.cancel()

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:  # it hung up before it was accepted, or there are no files left: later
            return
        connection.settimeout(0)
        if len(self._undecided) >= _UNDECIDED_MAX:
            self._drop(next(iter(self._undecided)))
        self._undecided[connection] = self._loop.call_later(self._timeout_s, self._drop, connection)
        self._loop.add_reader(connection, self._decide, connection)

    def _decide(self, connection: socket.socket) -> None:
        try:
            first = connection.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        if not first:
            self._drop(connection)
            return
        self._undecided.pop(connection).cancel()
        self._loop.remove_reader(connection)
        task = self._loop.create_task(self._start(connection, is_tls=first == _HANDSHAKE))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self, connection: socket.socket, *, is_tls: bool) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._protocol,
                connection,
                ssl=self._tls if is_tls else None,
                ssl_handshake_timeout=self._timeout_s if is_tls else None,
            )
        except OSError as failure:  # its handshake failed
            logger.debug("a connection could not start", extra={"why": str(failure)})
            connection.close()

    def _drop(self, connection: socket.socket) -> None:
        self._undecided.pop(connection).cancel()
        self._loop.remove_reader(connection)
        connection.close()
