"""The guarantees of a watch one by one, on etcd's published findings where there is one."""

from dataclasses import replace

import pytest

from kvstore.check import (
    Event,
    History,
    ResponseKind,
    Verdict,
    Watch,
    WatchResponse,
    check,
)
from tests.unit.check.worlds import history, ok


def put(key: str, value: str, revision: int) -> Event:
    return Event(key=key, revision=revision, value=value)


def delete(key: str, revision: int) -> Event:
    return Event(key=key, revision=revision, is_delete=True)


def told(*events: Event, time: float = 100, revision: int = 6) -> WatchResponse:
    return WatchResponse(kind=ResponseKind.EVENTS, time=time, revision=revision, events=events)


def progress(revision: int) -> WatchResponse:
    return WatchResponse(kind=ResponseKind.PROGRESS, time=100, revision=revision)


WRITES = (
    ok("a", "put", (0, 1), {"revision": 2}, key="x", value="1"),
    ok("a", "put", (2, 3), {"revision": 3}, key="x", value="2"),
    ok("a", "delete", (4, 5), {"revision": 4, "deleted": 1}, key="x"),
    ok(
        "a",
        "txn",
        (6, 7),
        {"revision": 5, "succeeded": True},
        compare=[],
        success=[
            {"kind": "put", "key": "x", "value": "3"},
            {"kind": "put", "key": "y", "value": "4"},
        ],
        failure=[],
    ),
    ok("a", "put", (8, 9), {"revision": 6}, key="y", value="5"),
)
ALL = (
    put("x", "1", 2),
    put("x", "2", 3),
    delete("x", 4),
    put("x", "3", 5),
    put("y", "4", 5),
    put("y", "5", 6),
)


def watched(*responses: WatchResponse, **fields: object) -> History:
    watch = Watch(name="w", client="b", key="\0", range_end="\0", start_revision=2)
    return history(*WRITES, watches=(replace(watch, responses=responses, **fields),))


def broken(made: History) -> set[str]:
    return {
        finding.guarantee.removeprefix("watch: ")
        for finding in check(made).findings
        if finding.verdict is Verdict.VIOLATED
    }


def test_a_watch_that_shows_everything_once_breaks_nothing() -> None:
    assert broken(watched(told(*ALL), progress(6))) == set()


BROKEN = {
    "Filter: etcd 20221, an event below the start revision": (
        watched(told(*ALL), start_revision=3),
        "Filter",
    ),
    "Filter: a delete that was filtered away": (watched(told(*ALL), no_delete=True), "Filter"),
    "Ordered: etcd 15271, revisions go backwards": (
        watched(told(ALL[1]), told(ALL[0]), told(*ALL[2:])),
        "Ordered",
    ),
    "Ordered: the changes of a transaction out of their order": (
        watched(told(*ALL[:3], ALL[4], ALL[3], ALL[5])),
        "Ordered",
    ),
    "Unique: etcd 17247, an event delivered twice": (
        watched(told(*ALL[:2]), told(*ALL[1:])),
        "Unique",
    ),
    "Atomic: a revision in two responses": (watched(told(*ALL[:4]), told(*ALL[4:])), "Atomic"),
    "Reliable: etcd 17529, an event skipped for a slow watcher": (
        watched(told(*ALL[:1]), told(*ALL[2:])),
        "Reliable",
    ),
    "Reliable: another value than was written": (
        watched(told(put("x", "1", 2), put("x", "9", 3), *ALL[2:])),
        "strictly serializable (revisions)",
    ),
    "Resumable: etcd 18089, the delete at the start is missing": (
        watched(told(*ALL[3:]), start_revision=4),
        "Resumable",
    ),
    "Bookmarkable: etcd 15220, progress before its events": (
        watched(told(*ALL[:3]), progress(6), told(*ALL[3:])),
        "Bookmarkable",
    ),
    "Bookmarkable: etcd 20221, progress below the start": (
        watched(progress(2), start_revision=9),
        "Bookmarkable",
    ),
    "Bookmarkable: progress, and the events never": (
        watched(told(*ALL[:3]), progress(6)),
        "Bookmarkable",
    ),
    "Bookmarkable: a header below its events": (watched(told(*ALL, revision=5)), "Bookmarkable"),
    "IsCreate: a second version that calls itself the first": (
        watched(told(ALL[0], replace(ALL[1], create_revision=3), *ALL[2:])),
        "IsCreate",
    ),
    "PrevKV: the previous value is another": (
        watched(
            told(ALL[0], replace(ALL[1], previous={"value": "0"})),
            wants_previous=True,
        ),
        "PrevKV",
    ),
    "PrevKV: a previous value is missing": (
        watched(told(*ALL[:2]), wants_previous=True),
        "PrevKV",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_guarantee_is_found_under_its_name(name: str) -> None:
    made, guarantee = BROKEN[name]
    assert guarantee in broken(made)


def test_fragments_are_one_response() -> None:
    first = replace(told(*ALL[:4]), is_fragment=True)
    assert broken(watched(first, told(*ALL[4:]))) == set()


def test_a_watch_from_now_on_starts_above_the_revision_of_its_creation() -> None:
    created = WatchResponse(kind=ResponseKind.CREATED, time=50, revision=4)
    assert broken(watched(created, told(*ALL[3:]), start_revision=0)) == set()
    assert "Filter" in broken(watched(created, told(*ALL[2:]), start_revision=0))


def test_a_previous_value_may_be_gone_after_a_compaction() -> None:
    made = watched(told(*ALL[:2]), wants_previous=True)
    compact = ok("a", "compact", (10, 11), {"revision": 6}, revision=6)
    with_compaction = replace(made, operations=history(*made.operations, compact).operations)
    assert "PrevKV" in broken(made)
    assert broken(with_compaction) == set()


def test_watches_alone_are_held_against_each_other() -> None:
    whole = Watch(name="w", client="b", key="\0", range_end="\0", start_revision=2)
    one = replace(whole, responses=(told(*ALL),))
    other = replace(whole, name="v", responses=(told(*ALL[:2], *ALL[3:]),))
    assert "Reliable" in broken(History(watches=(one, other), is_complete=False))
