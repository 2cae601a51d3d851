"""Controllers in a world of their own: the order of everything that happens is drawn by the test.

Watch events reach a controller's stores one at a time and late; writes fail, with or without
effect; controllers die and start again from lists. What ends well under all of that is right.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from cluster.informer.api import ApiError, Unreachable, WatchEventType
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.informers import Handler
from cluster.informer.resources import PODS
from cluster.informer.store import Change, Store, key_of
from cluster.informer.times import timestamp
from cluster.kube_api.objects import JsonObject, object_at, string_at
from cluster.kube_api.resource import Resource
from tests.support.kube_api_twin import ApiTwin, SettableClock

PASSES_MAX = 400


class CountingEntropy:
    """Dice that always fall the same way, and bits that never repeat."""

    def __init__(self) -> None:
        self._count = 0

    def fraction(self) -> float:
        return 0.5

    def bits(self, count: int) -> int:
        self._count += 1
        return self._count % (1 << count)


class SilentRecorder:
    """Keeps what controllers tell people."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str]] = []

    def normal(self, involved: JsonObject, reason: str, message: str) -> None:
        self.notes.append((string_at(involved, "metadata", "name"), reason, message))

    warning = normal


@dataclass(slots=True)
class _Followed:
    resource: Resource
    store: Store = field(default_factory=Store)
    handlers: list[Handler] = field(default_factory=list)
    seen: int = 0


class LateInformers:
    """Stores that move forward only when the test says so."""

    def __init__(self, api: ApiTwin) -> None:
        self._api = api
        self._followed: dict[tuple[str, str], _Followed] = {}

    def store(self, resource: Resource) -> Store:
        return self._of(resource).store

    def subscribe(self, resource: Resource, handler: Handler) -> None:
        self._of(resource).handlers.append(handler)

    def _of(self, resource: Resource) -> _Followed:
        key = (resource.group, resource.plural)
        return self._followed.setdefault(key, _Followed(resource))

    def relist(self) -> None:
        """Fill every store with what is there now, as a start does."""
        for one in self._followed.values():
            changes = one.store.replace(self._api.objects(one.resource))
            one.seen = len(self._api.collection(one.resource).log)
            self._tell(one, changes)

    def behind(self) -> list[_Followed]:
        """Return the collections of which something was not told yet."""
        return [
            one
            for one in self._followed.values()
            if one.seen < len(self._api.collection(one.resource).log)
        ]

    def deliver(self, one: _Followed) -> None:
        """Let a store take one event."""
        _, event = self._api.collection(one.resource).log[one.seen]
        one.seen += 1
        if event.type is WatchEventType.DELETED:
            change = one.store.remove(key_of(event.object))
        else:
            change = one.store.put(event.object)
        if change is not None:
            self._tell(one, [change])

    def _tell(self, one: _Followed, changes: Sequence[Change]) -> None:
        for change in changes:
            for handler in one.handlers:
                handler(change)


class World:
    """An API server, the controllers under test, and kubelets that do what they are told."""

    def __init__(self, make: Callable[[Environment], Sequence[Controller]]) -> None:
        self.clock = SettableClock()
        self.api = ApiTwin(self.clock)
        self.recorder = SilentRecorder()
        self._make = make
        self._runner = asyncio.Runner()
        self.check: Callable[[], None] = lambda: None
        self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def restart(self) -> None:
        """All controllers die and start anew, from lists."""
        self.informers = LateInformers(self.api)
        environment = Environment(
            self.api, self.informers, self.recorder, self.clock, CountingEntropy()
        )
        self.controllers = list(self._make(environment))
        self.informers.relist()

    def deliver(self, choice: int) -> bool:
        """Let one store, by choice, take one event."""
        behind = self.informers.behind()
        if behind:
            self.informers.deliver(behind[choice % len(behind)])
        return bool(behind)

    def work(self, choice: int) -> bool:
        """Let one controller, by choice, look at one key."""
        for offset in range(len(self.controllers)):
            controller = self.controllers[(choice + offset) % len(self.controllers)]
            key = controller.queue.take(self.clock.monotonic())
            if key is not None:
                self._reconcile(controller, key)
                self.check()
                return True
        return False

    def _reconcile(self, controller: Controller, key: str) -> None:
        try:
            self._runner.run(controller.reconcile(key))
        except (ApiError, Unreachable) as error:
            controller.reconciled(key, error)
        else:
            controller.reconciled(key, None)

    def elapse(self, seconds: float) -> None:
        self.clock.now += seconds

    def settle(
        self, *, between: Callable[[], bool] = lambda: False, within_s: float = 600.0
    ) -> None:
        """No more faults: go on until nothing is left to do, now or within some time."""
        self.api.fault = lambda _verb, _resource: ""
        for _ in range(PASSES_MAX):
            while self.deliver(0) or self.work(0):
                pass
            if between():
                continue
            due = [at for one in self.controllers if (at := one.queue.next_due()) is not None]
            if not due or min(due) > self.clock.now + within_s:
                return
            self.clock.now = max(min(due), self.clock.now)
        raise AssertionError("the controllers find no rest")


def set_pod_status(world: World, pod: JsonObject, phase: str, *, ready: bool) -> None:
    """Do as a kubelet does: write a pod's phase and readiness."""
    stamp = timestamp(world.clock.unix())
    conditions = [
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": stamp}
    ]
    status = {**object_at(pod, "status"), "phase": phase, "conditions": conditions}
    world.api.put(PODS, {**pod, "status": status})
