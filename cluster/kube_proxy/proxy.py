"""The shell of kube-proxy: informers in, rules to the data plane."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from cluster.informer.environment import Environment
from cluster.informer.resources import ENDPOINT_SLICES, SERVICES
from cluster.kube_proxy.rules import Frontend, Rule, rules

logger = logging.getLogger(__name__)

_TOGETHER_S = 0.05
_AT_LEAST_EVERY_S = 30.0
_AGAIN_S = 1.0


class DataPlane(Protocol):
    """What carries connections."""

    async def apply(self, rules: Mapping[Frontend, Rule]) -> list[str]:
        """Use `rules` from now on; return what could not be done, and why."""
        ...


class Proxy:
    """Keeps the data plane of a node at what services and slices say."""

    def __init__(
        self,
        environment: Environment,
        plane: DataPlane,
        *,
        node_name: str,
        node_addresses: Sequence[str],
    ) -> None:
        self._plane = plane
        self._node_name = node_name
        self._node_addresses = node_addresses
        self._services = environment.informers.store(SERVICES)
        self._slices = environment.informers.store(ENDPOINT_SLICES)
        self._wake = asyncio.Event()
        for resource in (SERVICES, ENDPOINT_SLICES):
            environment.informers.subscribe(resource, lambda _: self._wake.set())

    async def run(self) -> None:
        """Follow changes until cancelled; those that come together are applied together."""
        while True:
            self._wake.clear()
            failures = await self.sync()
            for failure in failures:
                logger.warning("cannot listen", extra={"what": failure})
            try:
                async with asyncio.timeout(_AGAIN_S if failures else _AT_LEAST_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(_TOGETHER_S)

    async def sync(self) -> list[str]:
        """Apply what the stores say now."""
        wanted = rules(
            self._services.all(),
            self._slices.all(),
            node_name=self._node_name,
            node_addresses=self._node_addresses,
        )
        return await self._plane.apply(wanted)
