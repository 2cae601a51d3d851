"""The cache against the simplest model of it: a dictionary, and a list of all changes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.apiserver import watch_cache
from cluster.apiserver.storage import WatchBatch
from cluster.apiserver.watch_cache import WatchCache, Watcher
from kvstore.client import Event, Header, KeyValue

ROOT = "/r/"
_keys = st.sampled_from(["/r/a/x/1", "/r/a/x/2", "/r/a/y/1", "/r/b/1", "/r/b/10"])
_steps = st.lists(st.tuples(_keys, st.booleans()), max_size=30)


class NoStore:
    """Is not asked: the changes are given to the cache directly."""


def batch(revision: int, *events: Event) -> WatchBatch:
    return WatchBatch(Header(1, 1, revision, 1), revision, events)


def change(revision: int, key: str, *, is_delete: bool) -> Event:
    value = b'{"apiVersion":"v1","kind":"A","metadata":{"name":"%d"}}' % revision
    return Event(is_delete, KeyValue(key.encode(), value, 1, revision, 1, 0), None)


def filled(
    steps: list[tuple[str, bool]],
) -> tuple[WatchCache, dict[str, int], list[tuple[int, str]]]:
    """Return a cache after some changes, what it should hold, and what happened."""
    cache = WatchCache(NoStore(), root=ROOT)  # type: ignore[arg-type]  # never asked
    model: dict[str, int] = {}
    happened = []
    for number, (key, is_delete) in enumerate(steps, 2):
        if is_delete and key not in model:
            continue
        cache._apply(batch(number, change(number, key, is_delete=is_delete)))
        happened.append((number, key))
        if is_delete:
            del model[key]
        else:
            model[key] = number
    return cache, model, happened


@given(_steps, st.sampled_from(["/r/a/", "/r/a/x/", "/r/b/", "/r/b/1", "/r/c/"]))
def test_a_range_is_what_is_there_in_order(steps: list[tuple[str, bool]], prefix: str) -> None:
    cache, model, _ = filled(steps)
    wanted = sorted((key, at) for key, at in model.items() if key.startswith(prefix))
    assert [(one.key, one.revision) for one in cache.range(prefix)] == wanted
    assert cache.count(prefix) == len(wanted)


@given(_steps, st.sampled_from(["/r/a/", "/r/a/x/", "/r/b/"]), st.integers(0, 31))
def test_a_watch_in_the_window_is_told_every_later_change_once(
    steps: list[tuple[str, bool]], prefix: str, after: int
) -> None:
    cache, _, happened = filled(steps)
    watcher = cache.watch(prefix, after=after)
    assert watcher is not None
    cache._apply(batch(99, change(99, f"{prefix}new", is_delete=False)))
    told = [(one.revision, one.entry.key) for one in asyncio.run(watcher.take(0))]
    wanted = [(at, key) for at, key in happened if key.startswith(prefix) and at > after]
    assert told == [*wanted, (99, f"{prefix}new")]


def test_a_watch_from_before_the_window_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_cache, "WINDOW_CHANGES_MAX", 3)
    cache, _, _ = filled([("/r/a/x/1", False)] * 6)  # revisions 2 to 7: the window has 5, 6, 7
    assert cache.watch("/r/a/", after=3) is None
    watcher = cache.watch("/r/a/", after=4)
    assert watcher is not None
    assert [one.revision for one in asyncio.run(watcher.take(0))] == [5, 6, 7]


def test_a_watcher_that_cannot_keep_up_is_cut_off_and_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_cache, "WATCHER_CHANGES_MAX", 2)
    cache, _, _ = filled([])
    watcher = cache.watch("/r/a/", after=None)
    assert isinstance(watcher, Watcher)
    for revision in range(2, 6):
        cache._apply(batch(revision, change(revision, "/r/a/1", is_delete=False)))
    assert watcher.has_ended
    assert asyncio.run(watcher.take(0)) == []


def test_a_deletion_is_told_with_the_last_value_at_its_own_revision() -> None:
    cache, _, _ = filled([("/r/a/1", False)])
    watcher = cache.watch("/r/a/", after=None)
    assert watcher is not None
    cache._apply(batch(9, change(9, "/r/a/1", is_delete=True)))
    (gone,) = asyncio.run(watcher.take(0))
    assert gone.is_delete
    assert gone.revision == 9
    assert gone.entry.decoded()["metadata"]["name"] == "2"


async def test_who_waits_for_a_revision_goes_on_when_the_store_has_it() -> None:
    cache, _, _ = filled([])
    waiting = asyncio.ensure_future(cache.wait_until(5, timeout_s=30))
    await asyncio.sleep(0)
    cache._apply(batch(5))
    assert await waiting
    assert not await cache.wait_until(6, timeout_s=0.01)
