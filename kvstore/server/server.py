"""The composition root: builds a member from its configuration, and runs it until it is stopped.

The only place that builds objects, and the only one that knows asyncio, sockets and signals beside
the listener and the peer transport.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from kvstore.apply import Outcome, Reply, attributes_operation
from kvstore.apply.command import OperationKind
from kvstore.backend.directory_lock import lock_directory
from kvstore.base.clock import SystemClock
from kvstore.base.entropy import SystemEntropy
from kvstore.base.errors import MemberFailed, MemberRemoved, Stopped, WrongDataDirectory
from kvstore.base.etcd_ids import cluster_id, member_id
from kvstore.base.ids import MemberId
from kvstore.base.urls import Url, url_texts
from kvstore.member import MemberConfig
from kvstore.member.bootstrap import Identity, open_member, store_identity, stored_identity
from kvstore.member.guarded import GuardedWorker
from kvstore.member.lmdb_keyspaces import LmdbKeyspaces
from kvstore.member.node import Node
from kvstore.raft.consensus import Membership
from kvstore.raft.peer_address import PeerAddress
from kvstore.raft.peer_discovery import ClusterDescription
from kvstore.raft.peer_session import Channel, PeerIdentity, Refusal
from kvstore.raft.peer_transport import PeerTransport
from kvstore.raft.pysyncobj_engine import PySyncObjEngine
from kvstore.raft.timing import RaftTiming
from kvstore.rpc.call import HttpHandler, Method
from kvstore.rpc.cross_origin import CrossOrigin
from kvstore.rpc.gateway import Gateway
from kvstore.rpc.header import ResponseHeaders
from kvstore.rpc.health_checks import HealthChecks
from kvstore.rpc.host_whitelist import HostWhitelist
from kvstore.rpc.http import HttpRoutes
from kvstore.server.config import ConfigurationRefused, ServerConfig
from kvstore.server.joining import joined
from kvstore.server.listener import Listener
from kvstore.server.metrics import metrics_text
from kvstore.server.runtime import LoopScheduler, ThreadWorker
from kvstore.server.services import Services
from kvstore.server.tls_setup import make_tls
from kvstore.server.variables import variables
from kvstore.wal import RealDisk
from kvstore.wire.pb import raft_pb2

logger = logging.getLogger(__name__)

_TICKS_PER_HEARTBEAT = 2
_LATE_TICK_S = 0.2
"""A tick that comes so much too late is worth a warning: elections may follow."""
_PUBLISH_RETRY_S = 1.0
_SWITCH_INTERVAL_S = 0.0001
"""A busy loop lets the log's thread start and report a sync after so long (ADR 14)."""
_YOUNG_OBJECTS = 100_000
_GENERATIONS_RATIO = 50
_BIRTH_BITS = 63
_SHUTDOWN_GRACE_S = 3.0
_FIRST_REVISION = 1
"""Of a keyspace that nobody has written to."""


async def run(config: ServerConfig) -> None:
    """Run a member until SIGTERM or SIGINT.

    Raises:
        MemberFailed: it cannot start, or must not go on.
        ConfigurationRefused: its flags do not fit a member without data.
        OSError: an address cannot be bound.
    """
    server = Server(config)
    try:
        await server.start()
        _collect_garbage_seldom()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        await server.serve()
    finally:
        await server.close()


def _collect_garbage_seldom() -> None:
    """Let the cycle collector look less often.

    A turn holds thousands of tuples at once, and none of them is part of a cycle; at the default
    thresholds looking through them took an eighth of a leader's time under load.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _GENERATIONS_RATIO, _GENERATIONS_RATIO)


class Server:
    """One running member: its parts, its sockets, its timers."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._clock = SystemClock()
        self._entropy = SystemEntropy()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._peer_came = asyncio.Event()
        self._scheduler = LoopScheduler(self._loop)
        self._log_worker = ThreadWorker(self._loop, "wal")
        self._disk_worker = ThreadWorker(self._loop, "disk")
        self._copy_worker = ThreadWorker(self._loop, "copy")
        self._auth_worker = ThreadWorker(self._loop, "passwords")
        self._tick_timer: asyncio.TimerHandle | None = None
        self._tick_due = self._clock.monotonic()
        self._listeners: list[Listener] = []
        self._closers: list[Callable[[], Awaitable[None] | None]] = []

    async def start(self) -> None:
        """Open the data, join the peers, listen to clients."""
        config = self._config
        self._tls = await make_tls(config.listen, config.data_dir, self._clock)
        identity, founders = await self._identity()
        directory = config.data_dir / "member"
        lock = lock_directory(directory)
        self._closers.append(lambda: os.close(lock))
        opened = open_member(
            identity,
            LmdbKeyspaces(directory, config.limits),
            config.wal_directory,
            disk=RealDisk(),
            founders=founders,
            limits=config.limits,
            entropy=self._entropy,
            is_alone=config.cluster.is_forced_alone,
        )
        incarnation = self._entropy.bits(63)
        peer = PeerIdentity(identity.cluster_id, identity.member_id, incarnation, identity.birth)
        timing = RaftTiming(
            heartbeat_s=config.raft.heartbeat_interval_ms / 1000,
            election_s=config.raft.election_timeout_ms / 1000,
        )
        self._transport = PeerTransport(
            peer, self, self._clock, self._entropy, limits=config.limits, tls=self._tls.peers
        )
        headers = ResponseHeaders(identity.cluster_id, identity.member_id)
        self._node = Node(
            MemberConfig(
                cluster_id=identity.cluster_id,
                member_id=identity.member_id,
                name=config.name,
                client_urls=config.listen.advertised_client_urls,
                heartbeat_s=timing.heartbeat_s,
                election_timeout_s=timing.election_s,
                watch_progress_interval_s=config.watch_progress_interval_s,
                strict_reconfiguration=config.cluster.is_strict,
                learners_max=config.cluster.learners_max,
                auto_compaction=config.auto_compaction,
                corruption=config.corruption,
                limits=config.limits,
            ),
            opened,
            lambda host: PySyncObjEngine(
                identity.member_id,
                opened.journal,
                host,
                self._clock,
                self._entropy,
                timing,
                applied=opened.applied,
                limits=config.limits,
            ),
            incarnation=incarnation,
            links=self._transport,
            scheduler=self._scheduler,
            log_worker=self._log_worker,
            disk_worker=self._disk_worker,
            copy_worker=self._copy_worker,
            clock=self._clock,
            entropy=self._entropy,
            header=headers.field,
            stopped=self._member_stopped,
        )
        self._member = self._node.member
        if identity.member_id in self._member.applied_membership.removed:
            raise MemberRemoved("this member was removed from the cluster")
        self._transport.describe = self._description
        self._birth = identity.birth
        self._transport.birth_of = self._birth_of
        self._closers += [
            self._node.close,
            self._auth_worker.close,
            self._disk_worker.close,
            self._copy_worker.close,
            self._log_worker.close,
            self._node.stop,
        ]
        self._services = Services(
            self._node,
            headers,
            self._entropy,
            auth=config.auth,
            auth_worker=GuardedWorker(self._auth_worker, self._member),
        )
        self._node.start()
        self._tick_due = self._clock.monotonic()
        self._tick()
        if not config.corruption.at_start:
            await self._listen(self._services)

    async def _listen(self, services: Services) -> None:
        config, member = self._config, self._member
        checks = HealthChecks(member)
        gateway = Gateway(
            services.methods,
            services.access,
            trusts_certificates=config.auth.trusts_certificates,
        )
        metrics = metrics_text(
            self._node, checks, self._listeners, config.features, self._transport.byte_counts
        )
        http = HttpRoutes(
            member,
            checks,
            metrics,
            lambda: variables(member),
            gateway if config.listen.has_gateway else None,
        )
        listen = config.listen
        client_http = HostWhitelist(CrossOrigin(http.handle, listen.cors), listen.host_whitelist)
        if listen.client_http_urls:
            # HTTP has ports of its own: what is not gRPC is not known on the others.
            nobody = HttpRoutes.refuse
            await self._serve_at(services.methods, nobody, listen.client_urls)
            await self._serve_at({}, client_http, listen.client_http_urls)
        else:
            await self._serve_at(services.methods, client_http, listen.client_urls)
        await self._serve_at({}, http.handle_probe, listen.metrics_urls)
        self._closers.append(services.gate.stop)
        self._publish()

    async def _serve_at(
        self, methods: Mapping[str, Method], http: HttpHandler, urls: Sequence[Url]
    ) -> None:
        """Serve clients at these addresses, if there are any."""
        if not urls:
            return
        listen = self._config.listen
        listener = Listener(
            methods,
            http,
            limits=self._config.limits,
            clock=self._clock,
            keepalive_interval_s=listen.ping_interval_s,
            keepalive_timeout_s=listen.ping_timeout_s,
            admits=self._tls.admits_client,
            measures_rpcs=self._config.measures_rpcs,
        )
        self._listeners.append(listener)
        self._closers.append(lambda: listener.close(grace_s=_SHUTDOWN_GRACE_S))
        schemes: dict[tuple[str, int], set[str]] = {}
        for url in urls:
            schemes.setdefault((url.host, url.port), set()).add(url.scheme)
        for (host, port), found in schemes.items():
            secure = self._tls.client_port if found & {"https", "unixs"} else None
            if found <= {"unix", "unixs"}:
                await listener.listen_unix(Path(host), tls=secure)
            elif secure is not None and "http" in found:
                listener.listen_shared(host, port, tls=secure)
            else:
                await listener.listen(host, port, tls=secure)

    async def serve(self) -> None:
        """Run until a signal asks for the end or the member fails."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end)
        try:
            async with asyncio.TaskGroup() as tasks:
                listen_urls = url_texts(self._config.listen.peer_urls)
                peers = tasks.create_task(self._transport.run(listen_urls))
                if self._config.corruption.at_start:
                    await self._compare_with_others()
                    await self._listen(self._services)
                await self._ended
                await self._hand_over()
                peers.cancel()
        except ExceptionGroup as group:
            # One task at a time can fail here: its own exception says more than the group.
            raise group.exceptions[0] from None

    async def _compare_with_others(self) -> None:
        """Look whether this member's data are those of the others, before anybody is served.

        Raises:
            MemberFailed: they are not.
        """
        member = self._member
        if member.machine.store.revision <= _FIRST_REVISION:
            return
        others = member.consensus.membership.members - {member.id}
        with contextlib.suppress(TimeoutError):  # whoever is not there says nothing
            async with asyncio.timeout(2 * member.config.election_timeout_s):
                while not all(map(member.links.is_linked, others)):
                    self._peer_came.clear()
                    await self._peer_came.wait()
        compared: asyncio.Future[bool] = self._loop.create_future()
        self._node.corruption.check_itself(compared.set_result)
        await asyncio.wait((compared, self._ended), return_when=asyncio.FIRST_COMPLETED)
        if compared.done() and not compared.result():
            raise MemberFailed(f"{member.id:016x} found data inconsistency with peers")

    async def close(self) -> None:
        """Let go of everything."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(number)
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        for closer in reversed(self._closers):
            result = closer()
            if result is not None:
                await result

    # --- identity

    async def _identity(self) -> tuple[Identity, Membership]:
        """Return whose data this is, or will be, and the membership that a new log begins with."""
        config = self._config
        stored = stored_identity(config.data_dir)
        founders = self._founders()
        told = member_id(config.listen.advertised_peer_urls, token=config.cluster.token)
        if stored is not None:
            if told in founders.voters and stored.member_id in founders.voters - {told}:
                raise WrongDataDirectory(
                    f"{config.data_dir} belongs to member {stored.member_id:x}, "
                    f"but the flags describe member {told:x}"
                )
            return stored, founders
        problems = config.bootstrap_problems()
        if problems:
            raise ConfigurationRefused(problems)
        cluster = cluster_id(founders.voters)
        if config.cluster.state == "existing":
            told, cluster, founders = await joined(config, self._transport_context)
        identity = Identity(
            cluster_id=cluster,
            member_id=told,
            birth=self._entropy.bits(_BIRTH_BITS) or 1,
        )
        store_identity(config.data_dir, identity)
        return identity, founders

    def _transport_context(self, address: PeerAddress) -> ssl.SSLContext | None:
        """Return with what to ask a peer, before there is a transport."""
        if not address.is_tls:
            return None
        if self._tls.peers is None:
            raise ValueError(f"no certificates for {address.host}:{address.port}")
        return self._tls.peers.client()

    def _founders(self) -> Membership:
        """Return the membership with which a new cluster starts."""
        cluster = self._config.cluster
        peer_urls = {
            member_id(url_texts(addresses), token=cluster.token): url_texts(addresses)
            for addresses in cluster.initial_members.values()
        }
        return Membership(voters=frozenset(peer_urls), peer_urls=peer_urls)

    # --- the peer transport's inbox

    def peer_connected(self, member: MemberId) -> None:
        """Tell the member."""
        self._member.peer_connected(member)
        self._peer_came.set()

    def peer_disconnected(self, member: MemberId) -> None:
        """Tell the member."""
        self._member.peer_disconnected(member)

    def peer_message(self, member: MemberId, channel: Channel, payload: bytes) -> None:
        """Hand a message over.

        Raises:
            ProtocolError: the link to `member` is to be closed.
        """
        self._member.receive(member, channel, payload)

    def peer_refused(self, member: MemberId, reason: Refusal) -> None:
        """Stop if this member was removed from the cluster."""
        logger.error(
            "a peer refuses this member", extra={"peer": f"{member:x}", "why": reason.name}
        )
        if reason is Refusal.ALREADY_BOOTSTRAPPED:
            own = self._member.id
            self._member.stop(MemberFailed(f"member {own:x} has already been bootstrapped"))
        if reason is Refusal.REMOVED:
            self._member.stop(MemberRemoved("this member was removed from the cluster"))

    def _description(self) -> bytes:
        membership = self._member.applied_membership
        return ClusterDescription(self._member.config.cluster_id, membership).encode()

    def _birth_of(self, member: MemberId) -> int:
        attributes = self._member.machine.attributes.get(member)
        return 0 if attributes is None else attributes.birth

    # --- timers and the end

    def _tick(self) -> None:
        now = self._clock.monotonic()
        if now - self._tick_due > _LATE_TICK_S:
            logger.warning(
                "the event loop was held up", extra={"seconds": round(now - self._tick_due, 3)}
            )
        self._node.tick()
        self._services.tick()
        self._tls.tick()
        interval_s = self._member.config.heartbeat_s / _TICKS_PER_HEARTBEAT
        self._tick_due = self._clock.monotonic() + interval_s
        self._tick_timer = self._loop.call_later(interval_s, self._tick)

    def _publish(self) -> None:
        """Tell the cluster this member's name and addresses; ready once it knows."""
        config = self._member.config
        attributes = raft_pb2.MemberAttributes(
            name=config.name, client_urls=config.client_urls, birth=self._birth
        )
        payload = attributes_operation(self._member.id, attributes)

        def published(outcome: Outcome) -> None:
            if isinstance(outcome, Reply):
                logger.info(
                    "ready to serve client requests",
                    extra={"member": f"{self._member.id:x}", "urls": list(config.client_urls)},
                )
            elif self._member.failure is None:
                self._scheduler.later(_PUBLISH_RETRY_S, self._publish)

        self._member.propose(OperationKind.MEMBER_ATTRIBUTES, payload, published)

    async def _hand_over(self) -> None:
        member = self._member
        others = member.consensus.membership.voters - {member.id}
        if (
            member.failure is not None
            or not member.is_leader
            or not any(map(member.links.is_linked, others))
        ):
            return
        logger.info("handing leadership over")
        deposed = asyncio.Event()
        member.leadership_listeners.append(lambda is_leader: None if is_leader else deposed.set())
        member.consensus.transfer_leadership()
        member.schedule_turn()
        with contextlib.suppress(TimeoutError):  # nobody could take it: the others will elect
            async with asyncio.timeout(member.config.election_timeout_s):
                await deposed.wait()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _member_stopped(self, failure: BaseException) -> None:
        if self._ended.done() or isinstance(failure, Stopped):
            return
        if not isinstance(failure, MemberFailed):
            stop = MemberFailed(f"{type(failure).__name__}: {failure}")
            stop.__cause__ = failure
            failure = stop
        logger.critical("this member stops", exc_info=failure)
        self._ended.set_exception(failure)
