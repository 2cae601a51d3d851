"""Events: what people see of a component's deeds in `kubectl describe` and `kubectl events`.

A repeated event is one object with a count. Recording never fails and never waits: an event that
cannot be written is only logged, and of too many the newest are dropped.
"""

import asyncio
import logging
from collections import OrderedDict
from typing import NamedTuple, Protocol

from cluster.informer.api import Api, ApiError, PatchKind, Ref, Unreachable, is_not_found
from cluster.informer.resources import EVENTS
from cluster.informer.times import timestamp
from cluster.kube_api.objects import JsonObject, string_at
from kvstore.base.clock import Clock
from kvstore.base.entropy import Entropy

logger = logging.getLogger(__name__)

_PENDING_MAX = 1000
_REMEMBERED_MAX = 4096


class EventSink(Protocol):
    """Where a component tells people what it did."""

    def normal(self, involved: JsonObject, reason: str, message: str) -> None:
        """Tell of something that went as it should."""
        ...

    def warning(self, involved: JsonObject, reason: str, message: str) -> None:
        """Tell of something that somebody should look at."""
        ...


class _Note(NamedTuple):
    involved: JsonObject
    type: str
    reason: str
    message: str


class _Written(NamedTuple):
    name: str
    times: int


class Recorder:
    """Writes core/v1 Events for one component; `run` carries them."""

    def __init__(
        self, api: Api, clock: Clock, entropy: Entropy, component: str, *, host: str = ""
    ) -> None:
        self._api = api
        self._clock = clock
        self._entropy = entropy
        self._source = {"component": component} | ({"host": host} if host else {})
        self._pending: asyncio.Queue[_Note] = asyncio.Queue(_PENDING_MAX)
        self._written: OrderedDict[tuple[str, ...], _Written] = OrderedDict()

    def normal(self, involved: JsonObject, reason: str, message: str) -> None:
        """Tell of something that went as it should."""
        self._note(_Note(reference_to(involved), "Normal", reason, message))

    def warning(self, involved: JsonObject, reason: str, message: str) -> None:
        """Tell of something that somebody should look at."""
        self._note(_Note(reference_to(involved), "Warning", reason, message))

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            note = await self._pending.get()
            try:
                await self.write(note)
            except (ApiError, Unreachable) as error:
                logger.warning("event lost", extra={"reason": note.reason, "error": str(error)})

    async def drain(self) -> None:
        """Write what is pending now, and return."""
        while not self._pending.empty():
            await self.write(self._pending.get_nowait())

    def _note(self, note: _Note) -> None:
        try:
            self._pending.put_nowait(note)
        except asyncio.QueueFull:
            logger.warning("event dropped: too many wait", extra={"reason": note.reason})

    async def write(self, note: _Note) -> None:
        """Write one event, or count it where it was written before."""
        namespace = string_at(note.involved, "namespace") or "default"
        key = (string_at(note.involved, "uid"), note.type, note.reason, note.message)
        written = self._written.get(key)
        if written is not None:
            try:
                await self._count(namespace, written)
            except ApiError as error:
                if not is_not_found(error):
                    raise
            else:
                self._remember(key, _Written(written.name, written.times + 1))
                return
        name = f"{string_at(note.involved, 'name')}.{self._entropy.bits(64):016x}"
        await self._api.create(EVENTS, self._event(name, namespace, note))
        self._remember(key, _Written(name, 1))

    async def _count(self, namespace: str, written: _Written) -> None:
        change = {"count": written.times + 1, "lastTimestamp": timestamp(self._clock.unix())}
        await self._api.patch(Ref(EVENTS, namespace, written.name), change, kind=PatchKind.MERGE)

    def _remember(self, key: tuple[str, ...], written: _Written) -> None:
        self._written[key] = written
        self._written.move_to_end(key)
        if len(self._written) > _REMEMBERED_MAX:
            self._written.popitem(last=False)

    def _event(self, name: str, namespace: str, note: _Note) -> JsonObject:
        now = timestamp(self._clock.unix())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": note.involved,
            "type": note.type,
            "reason": note.reason,
            "message": note.message,
            "source": self._source,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }


def reference_to(value: JsonObject) -> JsonObject:
    """Return an ObjectReference to an object, which says its own kind."""
    reference = {
        "apiVersion": string_at(value, "apiVersion"),
        "kind": string_at(value, "kind"),
        "namespace": string_at(value, "metadata", "namespace"),
        "name": string_at(value, "metadata", "name"),
        "uid": string_at(value, "metadata", "uid"),
        "resourceVersion": string_at(value, "metadata", "resourceVersion"),
    }
    return {name: text for name, text in reference.items() if text}
