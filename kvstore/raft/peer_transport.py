"""The peer network of one member: an asyncio shell around `PeerSession`s.

Each member dials each other one and sends on the connection it dialled, so a *link* is a pair of
connections, one each way. It is up while both are; when one ends the other is closed, so that
nothing of an old link can arrive during the next one (F17).
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from kvstore.base.clock import Clock
from kvstore.base.entropy import Entropy
from kvstore.base.errors import ProtocolError
from kvstore.base.ids import MemberId
from kvstore.base.limits import KIB, Limits
from kvstore.raft.peer_address import PeerAddress
from kvstore.raft.peer_session import (
    Channel,
    Greeted,
    Message,
    PeerIdentity,
    PeerSession,
    Refusal,
    Refused,
)

logger = logging.getLogger(__name__)

_RETRY_MIN_S = 0.05
_RETRY_MAX_S = 1.0
_DIAL_TIMEOUT_S = 5.0
_TICK_S = 0.5
_UNSENT_BYTES_MAX = 512 * KIB
"""In the socket's buffer; what is above waits in the session, where priorities hold."""


class PeerInbox(Protocol):
    """What the member does with what arrives. Called on the loop, never from within `send`.

    Nothing but a `ProtocolError` may come out of it: a member that fails stops itself.
    """

    def peer_connected(self, member: MemberId) -> None:
        """The link to `member` is up, both ways."""
        ...

    def peer_disconnected(self, member: MemberId) -> None:
        """It is down; what was under way may be lost."""
        ...

    def peer_message(self, member: MemberId, channel: Channel, payload: bytes) -> None:
        """A message; a `ProtocolError` closes the link."""
        ...

    def peer_refused(self, member: MemberId, reason: Refusal) -> None:
        """`member` does not talk to this one. After `Refusal.REMOVED` this member has to stop."""
        ...


Certificate = Mapping[str, object]
"""A verified certificate, as `ssl` describes it."""


@dataclass(frozen=True, slots=True)
class PeerTls:
    """How peers prove who they are."""

    server: ssl.SSLContext
    """To accept with."""
    client: Callable[[], ssl.SSLContext]
    """Returns what to dial with, made of the newest certificates."""
    admits: Callable[[Certificate | None, str], Awaitable[bool]]
    """Whether who shows a certificate may connect from an address; may look names up."""


class PeerTransport:
    """All links of one member."""

    def __init__(  # noqa: PLR0913 - the doors of the port, each of another kind
        self,
        identity: PeerIdentity,
        inbox: PeerInbox,
        clock: Clock,
        entropy: Entropy,
        *,
        limits: Limits,
        tls: PeerTls | None = None,
    ) -> None:
        """Prepare; `run` listens and dials."""
        self.identity = identity
        self.inbox = inbox
        self.clock = clock
        self.limits = limits
        self.removed: frozenset[MemberId] = frozenset()
        """Members that are refused, for good."""
        self.birth_of: Callable[[MemberId], int] = lambda member: 0
        """What a member has published as its birth: with another one it is refused."""
        self.describe: Callable[[], bytes] = bytes
        """Returns what a member that wants to join is told (`peer_discovery`)."""
        self._entropy = entropy
        self._tls = tls
        self._links: dict[MemberId, _Link] = {}
        self._addresses: dict[MemberId, tuple[str, ...]] = {}
        self._dialling: dict[MemberId, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._connections: set[_Connection] = set()
        self._closed_bytes: Counter[tuple[str, MemberId]] = Counter()
        """Of connections that are over, by direction and member."""
        self._unwritten: list[_Connection] = []

    async def run(self, listen_urls: Sequence[str], *, ready: asyncio.Event | None = None) -> None:
        """Listen and dial until cancelled.

        Raises:
            OSError: an address cannot be listened on.
        """
        servers: list[asyncio.Server] = []
        try:
            servers += [await self._listen(PeerAddress.of(url)) for url in listen_urls]
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._tick())
                self.set_peers(self._addresses)
                if ready is not None:
                    ready.set()
        finally:
            self._tasks = None
            for server in servers:
                server.close()
            for connection in list(self._connections):
                connection.abort()

    def set_peers(self, peer_urls: Mapping[MemberId, tuple[str, ...]]) -> None:
        """Keep a link to exactly these members, at these URLs (the own id is ignored)."""
        wanted = {
            member: urls for member, urls in peer_urls.items() if member != self.identity.member_id
        }
        for member in [known for known in self._dialling if wanted.get(known) != self._at(known)]:
            self._dialling.pop(member).cancel()
            if member not in wanted and member in self._links:
                self._links[member].close()
        self._addresses = wanted
        if self._tasks is not None:
            for member in sorted(wanted.keys() - self._dialling.keys()):
                self._dialling[member] = self._tasks.create_task(self._dial(member))

    def refuse(self, members: frozenset[MemberId]) -> None:
        """Tell these members that they were removed, whenever they ask for a link."""
        self.removed = members

    def send(self, member: MemberId, channel: Channel, payload: bytes) -> bool:
        """Queue a message for this loop iteration's write; False: dropped, or no link."""
        link = self._links.get(member)
        outgoing = link.outgoing if link is not None else None
        if outgoing is None:
            return False
        if not outgoing.is_unwritten:
            outgoing.is_unwritten = True
            if not self._unwritten:
                asyncio.get_running_loop().call_soon(self.flush)
            self._unwritten.append(outgoing)
        return outgoing.session.send(channel, payload)

    def has_room(self, member: MemberId, channel: Channel) -> bool:
        """Whether bulk may be queued now; ask again after a moment if not."""
        link = self._links.get(member)
        outgoing = link.outgoing if link is not None else None
        return outgoing is not None and outgoing.session.has_room(channel)

    def is_linked(self, member: MemberId) -> bool:
        """Whether the link to `member` is up."""
        return member in self._links and self._links[member].is_up

    def flush(self) -> None:
        """Write what is queued now, in place of at the end of this loop iteration."""
        unwritten, self._unwritten = self._unwritten, []
        for connection in unwritten:
            connection.is_unwritten = False
            connection.flush()

    def judge(self, connection: "_Connection", certificate: Certificate | None, ip: str) -> None:
        """See whether an accepted connection may stay; it waits for `admitted` or is cut."""
        if self._tasks is not None and self._tls is not None:
            self._tasks.create_task(self._judge(connection, self._tls, certificate, ip))

    # --- what connections report ----------------------------------------------------------------

    def opened(self, connection: "_Connection") -> None:
        """Know a connection, so that it is closed in the end."""
        self._connections.add(connection)

    def greeted(self, connection: "_Connection", member: MemberId) -> None:
        """Make a connection that was found right one half of a link."""
        link = self._links.get(member)
        if link is None:
            link = self._links[member] = _Link(self.inbox, member)
        link.take(connection)

    def closed(self, connection: "_Connection") -> None:
        """Forget a connection, and with it its link."""
        self._connections.discard(connection)
        member = connection.session.peer
        if member is not None:
            self._closed_bytes["received", member] += connection.bytes_received
            self._closed_bytes["sent", member] += connection.bytes_sent
        if member is not None and member in self._links:
            self._links[member].lose(connection)

    def byte_counts(self, direction: str) -> dict[MemberId, int]:
        """Return the bytes "received" from or "sent" to each member so far."""
        counts: Counter[MemberId] = Counter()
        for (way, member), count in self._closed_bytes.items():
            if way == direction:
                counts[member] += count
        for connection in self._connections:
            if connection.session.peer is not None:
                received, sent = connection.bytes_received, connection.bytes_sent
                counts[connection.session.peer] += received if direction == "received" else sent
        return counts

    # --- tasks ----------------------------------------------------------------------------------

    def _at(self, member: MemberId) -> tuple[str, ...] | None:
        return self._addresses.get(member)

    def _context(self, address: PeerAddress, *, is_server: bool) -> ssl.SSLContext | None:
        if not address.is_tls:
            return None
        if self._tls is None:
            raise ValueError(f"no certificates for {address.host}:{address.port}")
        return self._tls.server if is_server else self._tls.client()

    async def _listen(self, address: PeerAddress) -> asyncio.Server:
        loop = asyncio.get_running_loop()

        def accepted() -> _Connection:
            return _Connection(self, dialled=None)

        if address.is_unix:
            return await loop.create_unix_server(accepted, address.host)
        context = self._context(address, is_server=True)
        return await loop.create_server(accepted, address.host, address.port, ssl=context)

    async def _connect(self, address: PeerAddress, connection: "_Connection") -> None:
        loop = asyncio.get_running_loop()
        if address.is_unix:
            await loop.create_unix_connection(lambda: connection, address.host)
            return
        context = self._context(address, is_server=False)
        await loop.create_connection(lambda: connection, address.host, address.port, ssl=context)

    async def _dial(self, member: MemberId) -> None:
        """Keep a connection to `member`; tries its URLs in turn."""
        urls = self._addresses[member]
        wait_s, attempt = _RETRY_MIN_S, 0
        while urls:
            address = PeerAddress.of(urls[attempt % len(urls)])
            attempt += 1
            connection = _Connection(self, dialled=member)
            try:
                async with asyncio.timeout(_DIAL_TIMEOUT_S):
                    await self._connect(address, connection)
            except (OSError, ValueError, TimeoutError) as problem:
                logger.debug("cannot reach peer", extra={"peer": member, "error": str(problem)})
            else:
                try:
                    await connection.is_over.wait()
                finally:
                    connection.abort()
                if connection.session.peer is not None:
                    wait_s = _RETRY_MIN_S
            await asyncio.sleep(wait_s * (0.5 + self._entropy.fraction()))
            wait_s = min(2 * wait_s, _RETRY_MAX_S)

    async def _judge(
        self, connection: "_Connection", tls: PeerTls, certificate: Certificate | None, ip: str
    ) -> None:
        if await tls.admits(certificate, ip):
            connection.admitted()
        else:
            logger.warning("refused a peer for the names in its certificate", extra={"from": ip})
            connection.abort()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = self.clock.monotonic()
            for connection in list(self._connections):
                connection.tick(now)


class _Link:
    """The two connections between this member and another."""

    def __init__(self, inbox: PeerInbox, member: MemberId) -> None:
        self._inbox = inbox
        self._member = member
        self.outgoing: _Connection | None = None
        self.incoming: _Connection | None = None
        self.is_up = False

    def take(self, connection: "_Connection") -> None:
        """Add a half; one of the same direction is an older one, whose link is over."""
        if connection.is_outgoing:
            older, self.outgoing = self.outgoing, connection
        else:
            older, self.incoming = self.incoming, connection
        if older is not None:
            other = self.incoming if connection.is_outgoing else self.outgoing
            older.abort()
            if self.is_up and other is not None:
                self._end(other)
        if self.outgoing is not None and self.incoming is not None:
            self.is_up = True
            self._inbox.peer_connected(self._member)

    def lose(self, connection: "_Connection") -> None:
        """A half is gone: the other one ends with it."""
        if connection is self.outgoing:
            self.outgoing, other = None, self.incoming
        elif connection is self.incoming:
            self.incoming, other = None, self.outgoing
        else:
            return
        if self.is_up and other is not None:
            self._end(other)

    def close(self) -> None:
        """End both halves."""
        for connection in (self.outgoing, self.incoming):
            if connection is not None:
                connection.abort()

    def _end(self, other: "_Connection") -> None:
        self.is_up = False
        if other is self.outgoing:
            self.outgoing = None
        else:
            self.incoming = None
        other.abort()
        self._inbox.peer_disconnected(self._member)


class _Connection(asyncio.Protocol):
    """One socket and its session."""

    def __init__(self, network: PeerTransport, *, dialled: MemberId | None) -> None:
        self._network = network
        self.is_outgoing = dialled is not None
        self.session = PeerSession(
            network.identity,
            dialled=dialled,
            removed=network.removed,
            birth_of=network.birth_of,
            describe=network.describe,
            limits=network.limits,
            now=network.clock.monotonic(),
        )
        self.is_over = asyncio.Event()
        self.bytes_received = 0
        self.bytes_sent = 0
        self._dialled = dialled
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self.is_unwritten = False
        """Whether the network knows that something was queued since the last flush."""
        self._is_admitted = True
        """Whether the names in its certificate were found right: nothing is read or said before."""
        self._early: list[bytes] = []

    # --- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, but not the base class.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        is_plain = transport.get_extra_info("ssl_object") is None
        # With no room at all in its own buffer, the transport writes to the socket at once.
        transport.set_write_buffer_limits(high=0 if is_plain else _UNSENT_BYTES_MAX)
        self._network.opened(self)
        if self.is_outgoing or is_plain:
            self.flush()
            return
        self._is_admitted = False
        transport.pause_reading()
        certificate = transport.get_extra_info("peercert")
        self._network.judge(self, certificate, transport.get_extra_info("peername")[0])

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        if self.is_over.is_set():
            return
        if not self._is_admitted:
            self._early.append(data)  # decrypted together with the end of the handshake
            return
        try:
            for event in self.session.receive_data(data, self._network.clock.monotonic()):
                self._handle(event)
                if self.is_over.is_set():
                    return
        except ProtocolError as problem:
            self._give_up(problem)
            return
        if self.session.has_data_to_send:
            self.flush()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.is_over.set()
        self._network.closed(self)

    def admitted(self) -> None:
        """Begin: the other side is who it may be."""
        if self._transport is None or self.is_over.is_set():
            return
        self._is_admitted = True
        self._transport.resume_reading()
        self.flush()
        early, self._early = b"".join(self._early), []
        if early:
            self.data_received(early)

    # --- the network ----------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what waits, in one call, unless the socket is full."""
        session = self.session
        while session.has_data_to_send and not self._is_paused:
            if self._transport is None or not self._is_admitted:
                return
            data = session.data_to_send()
            self.bytes_sent += len(data)
            self._transport.write(data)

    def tick(self, now: float) -> None:
        """Ping, or give up a silent peer."""
        if now < self.session.next_deadline():
            return
        try:
            self.session.handle_deadline(now)
        except ProtocolError as problem:
            self._give_up(problem)
        else:
            self.flush()

    def abort(self) -> None:
        """Close at once; nothing more is delivered."""
        self.is_over.set()
        if self._transport is not None:
            self._transport.abort()

    def _handle(self, event: Greeted | Message | Refused) -> None:
        network = self._network
        match event:
            case Message():
                member = self.session.peer
                assert member is not None
                network.inbox.peer_message(member, event.channel, event.payload)
            case Greeted():
                network.greeted(self, event.member)
            case Refused():
                if self._dialled is not None:
                    network.inbox.peer_refused(self._dialled, event.reason)
                self.abort()

    def _give_up(self, problem: ProtocolError) -> None:
        """Say what is still to be said, and close."""
        logger.warning(
            "closing peer connection",
            extra={"peer": self.session.peer or self._dialled, "reason": str(problem)},
        )
        self.is_over.set()
        if self._transport is not None:
            if self._is_admitted:
                self._transport.write(self.session.data_to_send())
            self._transport.close()
