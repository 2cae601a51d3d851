"""List, then watch, for ever: keeps a store equal to a collection of the server."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from cluster.informer.api import Api, ApiError, Unreachable, WatchEvent, WatchEventType, is_expired
from cluster.informer.store import Change, Store, key_of
from cluster.kube_api.objects import string_at
from cluster.kube_api.resource import Resource
from kvstore.base.entropy import Entropy

logger = logging.getLogger(__name__)

_FIRST_DELAY_S = 0.2
_DELAY_MAX_S = 10.0


class Backoff:
    """How long to wait after failures in a row: twice as long each time, more by some chance."""

    def __init__(self, entropy: Entropy, *, first_s: float, max_s: float) -> None:
        self._entropy = entropy
        self._first_s = first_s
        self._max_s = max_s
        self._failures = 0

    def next_delay_s(self) -> float:
        """Return the wait after one more failure."""
        delay = min(self._first_s * float(1 << min(self._failures, 30)), self._max_s)
        self._failures += 1
        return delay * (1 + self._entropy.fraction() / 2)

    def reset(self) -> None:
        """It went well: start anew."""
        self._failures = 0


class Reflector:
    """One collection: `notify` is called with what changed, after the store has it."""

    def __init__(  # noqa: PLR0913 - one of each
        self,
        api: Api,
        resource: Resource,
        store: Store,
        notify: Callable[[Sequence[Change]], None],
        entropy: Entropy,
        *,
        fields: str = "",
    ) -> None:
        self._api = api
        self._resource = resource
        self._store = store
        self._notify = notify
        self._fields = fields
        self._backoff = Backoff(entropy, first_s=_FIRST_DELAY_S, max_s=_DELAY_MAX_S)
        self._resource_version = ""
        self.synced = asyncio.Event()
        """Set once the store has held the whole collection."""

    async def run(self) -> None:
        """Follow the collection until cancelled."""
        while True:
            try:
                if not self._resource_version:
                    await self._relist()
                if not await self._follow():
                    await asyncio.sleep(self._backoff.next_delay_s())
            except ApiError as error:
                if is_expired(error):
                    self._resource_version = ""
                await self._wait(error)
            except Unreachable as error:
                await self._wait(error)

    async def _relist(self) -> None:
        """Hold what the server holds now; what went in between is told as changes."""
        found = await self._api.list(self._resource, fields=self._fields)
        changes = self._store.replace(found.items)
        self._resource_version = found.resource_version
        self._notify(changes)
        self.synced.set()

    async def _follow(self) -> bool:
        """Take changes until the server ends the watch; return whether it said anything."""
        events = self._api.watch(
            self._resource,
            resource_version=self._resource_version,
            fields=self._fields,
        )
        has_spoken = False
        async for event in events:
            self._backoff.reset()
            self._take(event)
            has_spoken = True
        return has_spoken

    def _take(self, event: WatchEvent) -> None:
        if event.type is WatchEventType.DELETED:
            change = self._store.remove(key_of(event.object))
        elif event.type is WatchEventType.BOOKMARK:
            change = None
        else:
            change = self._store.put(event.object)
        self._resource_version = string_at(event.object, "metadata", "resourceVersion")
        if change is not None:
            self._notify([change])

    async def _wait(self, error: Exception) -> None:
        delay_s = self._backoff.next_delay_s()
        logger.warning(
            "cannot follow a collection",
            extra={"resource": self._resource.plural, "error": str(error), "retry_s": delay_s},
        )
        await asyncio.sleep(delay_s)
