"""Takes keys from a queue and reconciles them, with as many workers as wanted."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable

from cluster.informer.api import ApiError, Unreachable, is_conflict
from cluster.informer.informers import Informers
from cluster.informer.store import key_of
from cluster.informer.work_queue import WorkQueue
from cluster.kube_api.resource import Resource
from kvstore.base.clock import Clock

logger = logging.getLogger(__name__)

RETRIES_MAX = 15
"""Failures in a row after which a key rests until it changes again."""


class Controller(ABC):
    """A level-triggered loop: brings what one key stands for from what is to what should be.

    `reconcile` reads stores, decides, and writes through the API. It may be called at any time, any
    number of times, never twice at once for the same key; it raises what the API raises.
    """

    name: str = ""
    workers: int = 2

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.queue = WorkQueue()
        self._wake = asyncio.Event()

    @abstractmethod
    async def reconcile(self, key: str) -> None:
        """Look at `key` and do what is to be done."""

    def enqueue(self, key: str) -> None:
        """Let a worker look at `key` soon."""
        self.queue.add(key)
        self._wake.set()

    def enqueue_after(self, key: str, delay_s: float) -> None:
        """Let a worker look at `key` in `delay_s` seconds."""
        self.queue.add_at(key, self.clock.monotonic() + delay_s)
        self._wake.set()

    def follow(self, informers: Informers, resource: Resource) -> None:
        """Look at every object of `resource` that changes, by its own key."""
        informers.subscribe(resource, lambda change: self.enqueue(key_of(change.object)))

    def reconciled(self, key: str, error: Exception | None) -> None:
        """Note how a look went: after a failure the key comes back later, but not for ever."""
        if error is None:
            self.queue.forget(key)
        elif self.queue.failures(key) < RETRIES_MAX:
            if not (isinstance(error, ApiError) and is_conflict(error)):
                _log(self.name, key, error)
            self.queue.retry(key, self.clock.monotonic())
        else:
            _log(self.name, key, error)
            self.queue.forget(key)
        self.queue.done(key)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.workers):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = self.queue.take(self.clock.monotonic())
            if key is None:
                await self._wait_for_work()
                continue
            try:
                await self.reconcile(key)
            except (ApiError, Unreachable) as error:
                self.reconciled(key, error)
            except Exception as error:  # a bug about one object must not stop the others
                logger.exception("reconcile failed", extra={"controller": self.name, "key": key})
                self.reconciled(key, error)
            else:
                self.reconciled(key, None)

    async def _wait_for_work(self) -> None:
        self._wake.clear()
        due = self.queue.next_due()
        try:
            async with asyncio.timeout(None if due is None else due - self.clock.monotonic()):
                await self._wake.wait()
        except TimeoutError:
            return


async def run_controllers(controllers: Iterable[Controller]) -> None:
    """Run controllers whose stores are filled, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for controller in controllers:
            tasks.create_task(controller.run())


def _log(name: str, key: str, error: Exception) -> None:
    extra = {"controller": name, "key": key, "error": str(error)}
    logger.warning("reconcile failed and will be tried again", extra=extra)
