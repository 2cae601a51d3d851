"""The composition root: builds everything, listens, and sends each request where it belongs."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from ipaddress import IPv4Network

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from cluster.apiserver import bootstrap, bootstrap_roles, compacting, objects_api, subresources
from cluster.apiserver.admission.chain import plugins
from cluster.apiserver.answers import answer_error, not_found_text
from cluster.apiserver.authentication import Authenticator
from cluster.apiserver.authorization import Rbac, action_of, denied
from cluster.apiserver.bodies import BODY_BYTES_MAX
from cluster.apiserver.config import Config, TlsFiles
from cluster.apiserver.custom import CustomResources
from cluster.apiserver.documents import Documents
from cluster.apiserver.objects_api import Asked
from cluster.apiserver.reviews import Reviews
from cluster.apiserver.routes import RequestInfo, read
from cluster.apiserver.services import Resources, Services
from cluster.apiserver.storage import (
    OutcomeUnknown,
    RpcError,
    Store,
    Tls,
    TooManyRequests,
    connect,
)
from cluster.apiserver.tokens import TokenSigner
from cluster.apiserver.users import ITSELF, User
from cluster.apiserver.watch_cache import WatchCache
from cluster.kube_api.catalogue import BUILT_IN
from cluster.kube_api.errors import (
    ApiError,
    internal,
    resource_not_found,
    server_timeout,
    too_many_requests,
)
from kvstore.base.clock import Clock, SystemClock
from kvstore.base.entropy import Entropy, SystemEntropy

logger = logging.getLogger(__name__)

LINE_BYTES_MAX = 64 * 1024
"""Of a request line: selectors are long."""
SHUTDOWN_S = 2.0


class ApiServer:
    """One API server, while `running`."""

    def __init__(
        self, config: Config, *, clock: Clock | None = None, entropy: Entropy | None = None
    ) -> None:
        self.config = config
        self.port = config.port
        self._clock = clock or SystemClock()
        self._client = connect(config.endpoints, tls=_store_tls(config))
        store = Store(self._client, clock=self._clock)
        self.services = Services(
            store=store,
            cache=WatchCache(store, root=config.root),
            clock=self._clock,
            entropy=entropy or SystemEntropy(),
            resources=Resources(BUILT_IN),
            root=config.root,
            service_network=IPv4Network(config.service_range),
        )
        if config.kubelet is not None:
            self.services.kubelet_tls = _kubelet_tls(config.kubelet)
        if config.service_account_key is not None:
            self.services.signer = TokenSigner(
                config.service_account_key.read_bytes(), issuer=config.issuer, clock=self._clock
            )
        self._rbac = Rbac(self.services.cache, root=config.root)
        self._authenticator = Authenticator(self.services, self._rbac)
        self._reviews = Reviews(self._authenticator, self._rbac, is_open=config.is_open)
        self.services.plugins = plugins(self.services, self._rbac)
        self._documents = Documents(self.services)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve inside the block. Entered when the cache is loaded and the port is open."""
        async with self._client, asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self.services.cache.run())
            await self.services.cache.is_ready.wait()
            await bootstrap.ensure(self.services, bootstrap.objects(self.services.service_network))
            await bootstrap.ensure(self.services, bootstrap_roles.objects())
            custom = CustomResources(self.services)
            await custom.refresh()
            following_custom = tasks.create_task(custom.run())
            compacting_store = tasks.create_task(
                compacting.run(self.services.store, every_s=self.config.compact_every_s)
            )
            runner = web.ServerRunner(self._server(), shutdown_timeout=SHUTDOWN_S)
            await runner.setup()
            site = web.TCPSite(
                runner, self.config.host, self.config.port, ssl_context=_ssl_context(self.config)
            )
            await site.start()
            self.port = runner.addresses[0][1]
            await bootstrap.advertise(self.services, self.config.host, self.port)
            try:
                yield
            finally:
                self.services.cache.end_watchers()  # the streams end, so that nothing is waited for
                await runner.cleanup()
                following.cancel()
                following_custom.cancel()
                compacting_store.cancel()

    def _server(self) -> web.Server:
        loop = asyncio.get_running_loop()

        def make(
            message: RawRequestMessage,
            payload: StreamReader,
            protocol: RequestHandler,
            writer: AbstractStreamWriter,
            task: asyncio.Task[None],
        ) -> web.BaseRequest:
            return web.BaseRequest(
                message, payload, protocol, writer, task, loop, client_max_size=BODY_BYTES_MAX
            )

        return web.Server(
            self._handle,
            request_factory=make,
            access_log=None,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        info = RequestInfo(verb="", path="")
        try:
            info = read(request.method, request.rel_url.raw_path, request.query)
            return await self._serve(request, info)
        except ApiError as error:
            return answer_error(request, error)
        except RpcError as failure:
            return answer_error(request, _store_error(info, failure))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            logger.exception("a request failed", extra={"path": info.path, "verb": info.verb})
            return answer_error(request, internal("see the server's log"))

    async def _serve(self, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse:
        user = await self._admitted(request, info)
        if not info.is_resource:
            return self._documents.serve(request, info) or not_found_text()
        resources = self.services.resources
        resource = resources.find(info.group, info.version, info.resource)
        if resource is None:
            if resources.has_version(info.group, info.version):
                raise resource_not_found()
            return not_found_text()
        asked = Asked(http=request, info=info, resource=resource, services=self.services, user=user)
        if self._reviews.serves(asked):
            return await self._reviews.serve(asked)
        if not resource.group and resource.plural == "bindings":
            return await subresources.bind(asked)
        serve = subresources.serve if info.subresource else objects_api.serve
        return await serve(asked)

    async def _admitted(self, request: web.BaseRequest, info: RequestInfo) -> User:
        """Return who asks, if they may.

        Raises:
            ApiError: 401, 403.
        """
        if self.config.is_open:
            return ITSELF
        user = self._authenticator.user(request)
        user = self._authenticator.impersonated(user, request)
        action = action_of(info)
        if not self._rbac.allows(user, action):
            raise denied(user, action)
        return user


def _store_error(info: RequestInfo, failure: RpcError) -> ApiError:
    """Say what a failure of the store means to the client."""
    if isinstance(failure, TooManyRequests):
        return too_many_requests(failure.message)
    if isinstance(failure, OutcomeUnknown):
        return server_timeout(info.resource, info.group, info.verb, failure.message)
    logger.warning("the store failed a request", extra={"path": info.path, "failure": str(failure)})
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "ServiceUnavailable",
        f"the store is not available: {failure.message}",
        details={"retryAfterSeconds": 1},
    )


def _store_tls(config: Config) -> Tls | None:
    if config.store_ca is None and config.store_certificate is None:
        return None
    return Tls.from_files(
        ca=config.store_ca, certificate=config.store_certificate, key=config.store_key
    )


def _ssl_context(config: Config) -> ssl.SSLContext | None:
    if config.tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.tls.certificate, config.tls.key)
    if config.tls.client_ca is not None:
        context.load_verify_locations(config.tls.client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _kubelet_tls(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.client_ca)
    context.load_cert_chain(files.certificate, files.key)
    return context
