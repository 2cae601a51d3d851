"""A reflector's store follows the server: through expiries, failures and closed watches."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from cluster.informer.api import ApiError, ObjectList, Unreachable, WatchEvent, WatchEventType
from cluster.informer.reflector import Reflector
from cluster.informer.resources import PODS
from cluster.informer.store import Change, Store
from cluster.kube_api import errors
from cluster.kube_api.objects import JsonObject
from cluster.kube_api.resource import Resource
from tests.support.kube_api_twin import ApiTwin, SettableClock
from tests.support.kube_world import CountingEntropy


def pod(name: str, version: int) -> JsonObject:
    metadata = {"namespace": "default", "name": name, "resourceVersion": str(version)}
    return {"metadata": metadata}


class ScriptedApi(ApiTwin):
    """Answers lists and watches from a script, then waits for ever."""

    def __init__(self, lists: list[ObjectList | Exception], watches: list[list[object]]) -> None:
        super().__init__(SettableClock())
        self._lists = lists
        self._watches = watches
        self.asked: list[str] = []
        self.finished = asyncio.Event()

    async def list(
        self, resource: Resource, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> ObjectList:
        self.asked.append("list")
        answer = self._lists.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(
        self, resource: Resource, *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        self.asked.append(f"watch {resource_version}")
        if not self._watches:
            self.finished.set()
            await asyncio.Event().wait()
        for item in self._watches.pop(0):
            if isinstance(item, Exception):
                raise item
            assert isinstance(item, WatchEvent)
            yield item


async def follow(api: ScriptedApi) -> tuple[Store, list[Change]]:
    store, told = Store(), []

    def notify(changes: Sequence[Change]) -> None:
        told.extend(changes)

    entropy = CountingEntropy()
    reflector = Reflector(api, PODS, store, notify, entropy)
    reflector._backoff.next_delay_s = _no_delay  # type: ignore[method-assign]
    task = asyncio.ensure_future(reflector.run())
    await asyncio.wait_for(api.finished.wait(), 5)
    assert reflector.synced.is_set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return store, told


_no_delay: Callable[[], float] = lambda: 0.0  # noqa: E731
ADDED, DELETED, BOOKMARK = WatchEventType.ADDED, WatchEventType.DELETED, WatchEventType.BOOKMARK


async def test_a_watch_goes_on_where_the_last_one_ended() -> None:
    api = ScriptedApi(
        [ObjectList([pod("a", 3)], "5")],
        [
            [WatchEvent(ADDED, pod("b", 6)), WatchEvent(BOOKMARK, pod("", 9))],
            [WatchEvent(DELETED, pod("a", 10))],
        ],
    )
    store, told = await follow(api)
    assert api.asked == ["list", "watch 5", "watch 9", "watch 10"]
    assert [one["metadata"]["name"] for one in store.all()] == ["b"]
    assert len(told) == 3


async def test_an_expired_watch_lists_again_and_tells_what_was_missed() -> None:
    expired: ApiError = errors.expired("too old resource version: 5 (7)")
    api = ScriptedApi(
        [ObjectList([pod("a", 3), pod("b", 4)], "5"), ObjectList([pod("b", 8)], "9")],
        [[expired]],
    )
    store, told = await follow(api)
    assert api.asked == ["list", "watch 5", "list", "watch 9"]
    assert [one["metadata"]["name"] for one in store.all()] == ["b"]
    gone = [change for change in told if change.new is None]
    assert [change.object["metadata"]["name"] for change in gone] == ["a"]


async def test_a_broken_watch_is_resumed_and_a_failed_list_is_tried_again() -> None:
    api = ScriptedApi(
        [Unreachable("no server yet"), ObjectList([], "2")],
        [[WatchEvent(ADDED, pod("a", 3)), Unreachable("cut")]],
    )
    store, _ = await follow(api)
    assert api.asked == ["list", "list", "watch 2", "watch 3"]
    assert len(store) == 1
