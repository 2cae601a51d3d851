"""One reflector a resource, shared by all who want to know of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cluster.informer.api import Api
from cluster.informer.reflector import Reflector
from cluster.informer.store import Change, Store
from cluster.kube_api.resource import Resource
from kvstore.base.entropy import Entropy

Handler = Callable[[Change], None]
"""Told of a change after the store has it; may only put keys into queues."""


class Informers(Protocol):
    """Where controllers find copies of collections."""

    def store(self, resource: Resource) -> Store:
        """Return the copy of all objects of `resource`."""
        ...

    def subscribe(self, resource: Resource, handler: Handler) -> None:
        """Tell `handler` of every change; of what is there already, it is told once as new."""
        ...


@dataclass(slots=True)
class _Shared:
    resource: Resource
    store: Store = field(default_factory=Store)
    handlers: list[Handler] = field(default_factory=list)

    def notify(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for handler in self.handlers:
                handler(change)


class SharedInformers:
    """Informers over an API server. Everything is subscribed to before `run`.

    `fields` narrows what a resource's copy holds, by plural: `{"pods": "spec.nodeName=n1"}`.
    """

    def __init__(self, api: Api, entropy: Entropy, *, fields: dict[str, str] | None = None) -> None:
        self._api = api
        self._entropy = entropy
        self._fields = fields or {}
        self._shared: dict[tuple[str, str], _Shared] = {}
        self._reflectors: list[Reflector] = []
        self._is_running = asyncio.Event()

    def store(self, resource: Resource) -> Store:
        """Return the copy of all objects of `resource`."""
        return self._of(resource).store

    def subscribe(self, resource: Resource, handler: Handler) -> None:
        """Tell `handler` of every change from `run` on."""
        self._of(resource).handlers.append(handler)

    async def synced(self) -> None:
        """Wait until every store has held its whole collection."""
        await self._is_running.wait()
        for reflector in self._reflectors:
            await reflector.synced.wait()

    async def run(self) -> None:
        """Follow every collection until cancelled."""
        self._reflectors = [
            Reflector(
                self._api,
                shared.resource,
                shared.store,
                shared.notify,
                self._entropy,
                fields=self._fields.get(shared.resource.plural, ""),
            )
            for shared in self._shared.values()
        ]
        self._is_running.set()
        async with asyncio.TaskGroup() as tasks:
            for reflector in self._reflectors:
                tasks.create_task(reflector.run())

    def _of(self, resource: Resource) -> _Shared:
        key = (resource.group, resource.plural)
        if key not in self._shared:
            assert not self._is_running.is_set(), "subscribed after the start"
            self._shared[key] = _Shared(resource)
        return self._shared[key]
