"""The client port: carries bytes between sockets and the protocols of `kvstore.wire`.

One port serves gRPC and HTTP: the first bytes, or ALPN under TLS, tell HTTP/2 from HTTP/1.1. What
the services answer during one loop iteration is written once a connection. All decisions about the
protocols are in `kvstore.wire`; this shell owns sockets, timers and the number of connections.
"""

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import cast

from kvstore.base.clock import Clock
from kvstore.base.limits import Limits
from kvstore.rpc.call import (
    HttpHandler,
    HttpRequest,
    HttpResponse,
    Method,
    UnaryMethod,
)
from kvstore.server.shared_port import SharedPort, listening_sockets
from kvstore.server.tls import name_of
from kvstore.wire.grpc.calls import StreamRoute, UnaryRoute
from kvstore.wire.grpc.dispatch import Dispatcher, Routes
from kvstore.wire.grpc.replies import FREQUENT
from kvstore.wire.grpc.tallies import Tallies
from kvstore.wire.http1 import Http1Connection, starts_http1
from kvstore.wire.http2.connection import ServerConnection
from kvstore.wire.http2.frames import PREFACE
from kvstore.wire.http2.plain import PlainConsumer
from kvstore.wire.http2.request_head import RequestHead
from kvstore.wire.http2.sender import Sender
from kvstore.wire.http2.stream import Consumer, Stream
from kvstore.wire.plain import Body, BodyEvents, PlainRequest, PlainResponse, Respond

logger = logging.getLogger(__name__)

TICK_S = 1.0
KEEPALIVE_INTERVAL_S = 7200.0
KEEPALIVE_TIMEOUT_S = 20.0
"""etcd's --grpc-keepalive-interval and --grpc-keepalive-timeout."""
SHUTDOWN_ROUND_S = 1.0
"""How long a client may take to answer the PING between the two GOAWAYs of a shutdown."""
SOCKET_BUFFER_BYTES = 1 << 20
"""Above this unsent in the socket's buffer, a connection's data waits in its streams."""
FILES_RESERVED = 64
"""Open files kept for everything that is not a client."""
_BACKLOG = 1024


def connections_max() -> int:
    """Return how many clients the process's file limit allows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 30
    return max(1, soft - FILES_RESERVED)


class Listener:
    """Serves `routes` and `http` on any number of addresses until `close`.

    Must be made and used on the running loop's thread.
    """

    def __init__(  # noqa: PLR0913 - the last two are etcd's flags, for tests and operators
        self,
        routes: Mapping[str, Method],
        http: HttpHandler,
        *,
        limits: Limits,
        clock: Clock,
        keepalive_interval_s: float = KEEPALIVE_INTERVAL_S,
        keepalive_timeout_s: float = KEEPALIVE_TIMEOUT_S,
        admits: Callable[[Mapping[str, object] | None], bool] = lambda _: True,
        measures_rpcs: bool = False,
    ) -> None:
        """`admits`: whether a client with this verified certificate may connect by its names.

        `measures_rpcs`: whether the time of every call is measured.
        """
        self.admits = admits
        self.bytes_received = 0
        self.bytes_sent = 0
        self.limits = limits
        self.clock = clock
        self.keepalive_interval_s = keepalive_interval_s
        self.keepalive_timeout_s = keepalive_timeout_s
        self.message_bytes_max = limits.request_bytes_max + limits.request_overhead_bytes
        self.routes = Routes(
            {
                path: UnaryRoute(method.handle, method.handle_each)
                if isinstance(method, UnaryMethod)
                else StreamRoute(method.open)
                for path, method in routes.items()
            },
            Tallies(clock=clock.monotonic if measures_rpcs else None),
        )
        self._http = http
        self._connections_max = connections_max()
        self._connections: set[Connection] = set()
        self._to_flush: list[Connection] = []
        self._servers: list[asyncio.Server] = []
        self._shared_ports: list[SharedPort] = []
        self._loop = asyncio.get_running_loop()
        self._is_closing = False
        self._is_empty = asyncio.Event()
        self._tick_timer = self._loop.call_later(TICK_S, self._tick)

    async def listen(
        self, host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        """Serve on a TCP address and return it, with the port that was chosen if `port` is 0.

        Raises:
            OSError: the address cannot be bound. A port in use is never shared.
        """
        server = await self._loop.create_server(
            self._protocol,
            host,
            port,
            ssl=_with_alpn(tls),
            ssl_handshake_timeout=self.limits.handshake_timeout_s if tls else None,
            backlog=_BACKLOG,
            reuse_port=False,
        )
        self._servers.append(server)
        name = server.sockets[0].getsockname()
        return name[0], name[1]

    def listen_shared(self, host: str, port: int, *, tls: ssl.SSLContext) -> None:
        """Serve on a TCP address, to clients with TLS and without.

        Raises:
            OSError: the address cannot be bound.
        """
        context = _with_alpn(tls)
        assert context is not None
        for one in listening_sockets(host, port):
            timeout_s = self.limits.handshake_timeout_s
            shared = SharedPort(one, self._protocol, context, handshake_timeout_s=timeout_s)
            self._shared_ports.append(shared)

    async def listen_unix(self, path: Path, *, tls: ssl.SSLContext | None = None) -> None:
        """Serve on a unix socket."""
        server = await self._loop.create_unix_server(
            self._protocol, str(path), ssl=_with_alpn(tls), backlog=_BACKLOG
        )
        self._servers.append(server)

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Accept nothing new, let clients finish for at most `grace_s`, then cut them off."""
        self._is_closing = True
        for server in self._servers:
            server.close()
        for shared in self._shared_ports:
            shared.close()
        for connection in list(self._connections):
            connection.begin_shutdown()
        round_timer = self._loop.call_later(min(SHUTDOWN_ROUND_S, grace_s), self._finish_shutdown)
        if self._connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_empty.wait(), grace_s)
        round_timer.cancel()
        for connection in list(self._connections):
            connection.abort()
        if self._connections:
            await self._is_empty.wait()
        self._tick_timer.cancel()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    def _finish_shutdown(self) -> None:
        for connection in list(self._connections):
            connection.finish_shutdown()

    @property
    def connections_count(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def flush(self) -> None:
        """Write what every connection has to send now, and not at the end of the iteration."""
        to_flush, self._to_flush = self._to_flush, []
        for connection in to_flush:
            connection.flush()

    # --- for connections

    def flush_soon(self, connection: "Connection") -> None:
        """Flush `connection` at the end of this loop iteration."""
        if not self._to_flush:
            self._loop.call_soon(self.flush)
        self._to_flush.append(connection)

    def admit(self, connection: "Connection") -> bool:
        """Count a new connection; False if there is no room for it."""
        if self._is_closing or len(self._connections) >= self._connections_max:
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: "Connection") -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        if self._is_closing and not self._connections:
            self._is_empty.set()

    def requests_of(self, sender: Sender) -> Dispatcher:
        """Return what serves one HTTP/2 connection."""
        return Dispatcher(
            sender, self.routes, self._open_plain, message_bytes_max=self.message_bytes_max
        )

    def serve_plain(self, request: PlainRequest, respond: Respond) -> None:
        """Serve a request that is not gRPC."""
        path, _, query = request.target.partition("?")

        self._http(
            HttpRequest(
                method=request.method,
                path=path,
                query=query,
                headers=request.headers,
                body=request.body,
                client_name=request.client_name,
                is_secure=request.is_secure,
            ),
            _HttpExchange(respond, self.clock),
        )

    def _open_plain(self, sender: Sender, stream: Stream, head: RequestHead) -> Consumer:
        return PlainConsumer(
            sender, stream, head, self.serve_plain, body_bytes_max=self.body_bytes_max
        )

    @property
    def body_bytes_max(self) -> int:
        """The largest body that is not gRPC: base64 and JSON take more room than protobuf."""
        return 2 * self.message_bytes_max

    def _protocol(self) -> "Connection":
        return Connection(self)

    def _tick(self) -> None:
        now = self.clock.monotonic()
        for connection in list(self._connections):
            connection.tick(now)
        self._tick_timer = self._loop.call_later(TICK_S, self._tick)


class Connection(asyncio.Protocol):
    """One client's socket."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._clock = listener.clock
        self._limits = listener.limits
        self._transport: asyncio.Transport | None = None
        self._http2: ServerConnection | None = None
        self._http1: Http1Connection | None = None
        self._first_bytes = b""
        self._connected_at = self._clock.monotonic()
        self._blocked_since: float | None = None
        self._is_paused = False
        self._is_flushing = False
        self._client_name = ""
        """In its verified certificate."""
        self._is_secure = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._listener.admit(self):
            logger.warning("refused a client: too many connections")
            self._transport.abort()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.set_write_buffer_limits(high=SOCKET_BUFFER_BYTES)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._secured(tls)

    def data_received(self, data: bytes) -> None:
        self._listener.bytes_received += len(data)
        http2 = self._http2
        if http2 is not None:
            http2.receive(data, self._clock.monotonic())
            if http2.is_finished:
                self._wake()
            elif self._blocked_since is not None:
                self._pause_reading(http2)
        elif self._http1 is not None:
            self._http1.receive(data, self._clock.monotonic())
        else:
            self._choose_protocol(self._first_bytes + data)

    def eof_received(self) -> bool:
        if self._http1 is not None:
            self._http1.receive(b"", self._clock.monotonic())
            return not self._http1.is_idle  # an answer may still be under way
        return False

    def pause_writing(self) -> None:
        self._blocked_since = self._clock.monotonic()
        if self._http2 is not None:
            self._http2.sender.set_writable(is_writable=False)
        if self._http1 is not None:
            self._http1.set_writable(is_writable=False)

    def resume_writing(self) -> None:
        self._blocked_since = None
        if self._http2 is not None:
            self._http2.sender.set_writable(is_writable=True)
        if self._http1 is not None:
            self._http1.set_writable(is_writable=True)
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # why a client left changes nothing for us
        self._listener.leave(self)
        if self._http2 is not None:
            self._http2.lost()
        if self._http1 is not None:
            self._http1.lost()

    # --- what the listener calls

    def flush(self) -> None:
        """Write what there is to send, and close if that was the last."""
        self._is_flushing = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._http2 is not None:
            data = self._http2.sender.take()
            is_closing = self._http2.is_finished
        else:
            assert self._http1 is not None
            data = self._http1.take()
            is_closing = self._http1.is_closing
        if data:
            self._listener.bytes_sent += len(data)
            transport.write(data)
        if is_closing:
            transport.close()

    def tick(self, now: float) -> None:
        """Judge every timeout of this connection."""
        timeout_s = self._limits.stalled_stream_timeout_s
        if self._blocked_since is not None and now - self._blocked_since >= timeout_s:
            logger.info("closed a client that does not read")
            self.abort()
            return
        if not self._is_ready() and now - self._connected_at >= self._limits.handshake_timeout_s:
            self.abort()
            return
        if self._http1 is not None:
            self._http1.tick(now, stalled_timeout_s=timeout_s)
        if self._http2 is not None:
            self._http2.tick(now)
            if not self._http2.keep_alive(
                now,
                interval_s=self._listener.keepalive_interval_s,
                timeout_s=self._listener.keepalive_timeout_s,
            ):
                self.abort()

    def begin_shutdown(self) -> None:
        """Tell the client that it should leave."""
        if self._http2 is not None:
            self._http2.begin_shutdown()
        elif self._http1 is not None:
            self._http1.begin_shutdown()
        else:
            self.abort()

    def finish_shutdown(self) -> None:
        """Accept no further stream."""
        if self._http2 is not None:
            self._http2.finish_shutdown()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    # --- inside

    def _secured(self, tls: ssl.SSLObject) -> None:
        """Begin after a handshake: who the client may be, and what it speaks."""
        self._is_secure = True
        certificate = tls.getpeercert()
        if not self._listener.admits(certificate):
            logger.warning("refused a client for the names in its certificate")
            assert self._transport is not None
            self._transport.set_protocol(_Refused(self._listener, self))
            self.abort()
            return
        if tls.context.verify_mode is ssl.CERT_REQUIRED:
            self._client_name = name_of(certificate)
        if tls.selected_alpn_protocol() == "h2":
            self._start_http2()

    def _is_ready(self) -> bool:
        if self._http2 is not None:
            return self._http2.is_ready
        return self._http1 is not None and self._http1.is_ready

    def _choose_protocol(self, data: bytes) -> None:
        if len(data) < len(PREFACE) and PREFACE.startswith(data):
            self._first_bytes = data
            return
        if data.startswith(PREFACE):
            self._start_http2()
        else:
            is_http1 = starts_http1(data)
            if is_http1 is None:
                self._first_bytes = data
                return
            if not is_http1:
                self.abort()
                return
            self._http1 = Http1Connection(
                self._listener.serve_plain,
                body_bytes_max=self._listener.body_bytes_max,
                header_bytes_max=self._limits.header_list_bytes_max,
                wake=self._wake,
                client_name=self._client_name,
                is_secure=self._is_secure,
            )
        self._first_bytes = b""
        self._listener.bytes_received -= len(data)  # counted again by the call below
        self.data_received(data)

    def _start_http2(self) -> None:
        self._http2 = ServerConnection(
            self._listener.requests_of,
            limits=self._limits,
            frequent=FREQUENT,
            wake=self._wake,
            now=self._clock.monotonic(),
        )
        self._http2.sender.client_name = self._client_name
        self._http2.sender.is_secure = self._is_secure

    def _wake(self) -> None:
        if not self._is_flushing:
            self._is_flushing = True
            self._listener.flush_soon(self)

    def _pause_reading(self, http2: ServerConnection) -> None:
        """Stop reading a client that does not read either; until then only its windows bind it."""
        limit = self._limits.connection_unsent_bytes_max
        if (
            not self._is_paused
            and http2.sender.queued_bytes > limit
            and self._transport is not None
        ):
            self._is_paused = True
            self._transport.pause_reading()


class _HttpExchange:
    """What the HTTP handlers answer by: their responses as those of the wire."""

    def __init__(self, respond: Respond, clock: Clock) -> None:
        self._respond = respond
        self._clock = clock

    @property
    def is_open(self) -> bool:
        return self._respond.is_open

    def __call__(self, response: HttpResponse) -> None:
        self._respond(PlainResponse(response.status, self._headers(response), response.body))

    def begin(self, head: HttpResponse, events: BodyEvents) -> Body:
        return self._respond.begin(head.status, self._headers(head), events)

    def _headers(self, head: HttpResponse) -> dict[str, str]:
        """Return them with the time, which a server that knows it has to say (RFC 9110, 6.6.1)."""
        date = formatdate(self._clock.unix(), usegmt=True)
        return {"content-type": head.content_type, "date": date, **head.headers}


class _Refused(asyncio.Protocol):
    """Hears nothing of a client that was refused, whatever came with the end of the handshake."""

    def __init__(self, listener: Listener, connection: Connection) -> None:
        self._listener = listener
        self._connection = connection

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._listener.leave(self._connection)


def _with_alpn(tls: ssl.SSLContext | None) -> ssl.SSLContext | None:
    if tls is not None:
        with contextlib.suppress(NotImplementedError):
            tls.set_alpn_protocols(["h2", "http/1.1"])
    return tls
