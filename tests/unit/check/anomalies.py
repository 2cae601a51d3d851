"""One change to a correct history after which no correct store can have produced it.

Each function returns the changed history, or None where the history gives it no place. All values
are unique, so a value tells its write.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from random import Random

from kvstore.check import Event, History, Operation, Outcome, ResponseKind, Watch, WatchResponse
from kvstore.check.store_evidence import revision_of
from tests.unit.check.worlds import changed, ok, with_operations

Anomaly = Callable[[Random, History], History | None]


def _good(history: History, *kinds: str) -> list[Operation]:
    return [o for o in history.operations if o.kind in kinds and o.outcome is Outcome.OK]


def _chosen(random: Random, places: Sequence[object]) -> object | None:
    return random.choice(places) if places else None


# --- registers


def stale_read(random: Random, history: History) -> History | None:
    """A read returns a value that was overwritten before it was invoked."""
    writes = _good(history, "write")
    places = [
        (read.index, old.arguments["value"])
        for read in _good(history, "read")
        for old, new in permutations(writes, 2)
        if old.arguments["key"] == new.arguments["key"] == read.arguments["key"]
        and old.returned < new.invoked
        and new.returned < read.invoked
    ]
    if not places:
        return None
    index, value = random.choice(places)
    return changed(history, index, result=value)


def phantom_read(random: Random, history: History) -> History | None:
    """A read returns what nobody wrote."""
    read = _chosen(random, _good(history, "read"))
    return read and changed(history, read.index, result=-1)


def refused_write_read(random: Random, history: History) -> History | None:
    """A read returns what a refused write would have written."""
    refused = [o for o in history.operations if o.kind == "write" and o.outcome is Outcome.REFUSED]
    places = [
        (read.index, write.arguments["value"])
        for read in _good(history, "read")
        for write in refused
        if read.arguments["key"] == write.arguments["key"]
    ]
    if not places:
        return None
    index, value = random.choice(places)
    return changed(history, index, result=value)


def two_winners(random: Random, history: History) -> History | None:
    """A second compare-and-set succeeds from a value that is never written again."""
    won = [o for o in _good(history, "cas") if o.result is True and o.arguments["old"] is not None]
    cas = _chosen(random, won)
    if cas is None:
        return None
    span = (cas.invoked, cas.returned)
    other = ok("thief", "cas", span, True, **{**cas.arguments, "new": -1})
    return with_operations(history, other)


def denied_cas(random: Random, history: History) -> History | None:
    """A compare-and-set fails though it ran alone on what it expected."""
    end = history.end + 1
    return with_operations(
        history,
        ok("x", "write", (end, end + 1), key="k0", value=-1),
        ok("x", "cas", (end + 2, end + 3), False, key="k0", old=-1, new=-2)
        if not any(o.outcome is Outcome.UNKNOWN for o in history.operations)
        else ok("x", "read", (end + 2, end + 3), -2, key="k0"),
    )


# --- the store


def split_revision(random: Random, history: History) -> History | None:
    """Two puts are given one revision."""
    puts = _good(history, "put")
    if len(puts) < 2:
        return None
    one, other = random.sample(puts, 2)
    return _with_revision(history, other, revision_of(one) or 0)


def reordered_writes(random: Random, history: History) -> History | None:
    """A put has a lower revision than one that returned before it was invoked."""
    puts = _good(history, "put")
    places = [(a, b) for a, b in permutations(puts, 2) if a.returned < b.invoked]
    if not places:
        return None
    first, second = random.choice(places)
    low, high = revision_of(first) or 0, revision_of(second) or 0
    return _with_revision(_with_revision(history, first, high), second, low)


def stale_header(random: Random, history: History) -> History | None:
    """A read answers from before a revision that was known when it was invoked."""
    places = [
        (get, put)
        for get in _good(history, "get")
        for put in _good(history, "put")
        if put.returned < get.invoked
    ]
    if not places:
        return None
    get, put = random.choice(places)
    return _with_revision(history, get, random.randint(1, (revision_of(put) or 0) - 1))


def lost_key(random: Random, history: History) -> History | None:
    """A read misses a key that its revision has, and that nothing unknown can have deleted."""
    if any(o.outcome is Outcome.UNKNOWN for o in history.operations):
        return None
    get = _chosen(random, [o for o in _good(history, "get") if o.fields["kvs"]])
    if get is None:
        return None
    kvs = list(get.fields["kvs"])
    kvs.pop(random.randrange(len(kvs)))
    return changed(history, get.index, result={**get.fields, "kvs": kvs, "count": len(kvs)})


def other_value(random: Random, history: History) -> History | None:
    """A read shows another value than was written at that revision."""
    get = _chosen(random, [o for o in _good(history, "get") if o.fields["kvs"]])
    if get is None:
        return None
    kvs = list(get.fields["kvs"])
    place = random.randrange(len(kvs))
    kvs[place] = {**kvs[place], "value": "never written"}
    return changed(history, get.index, result={**get.fields, "kvs": kvs})


def other_previous(random: Random, history: History) -> History | None:
    """A put says that it replaced what was never written."""
    put = _chosen(random, [o for o in _good(history, "put") if "prev_kv" in o.fields])
    if put is None:
        return None
    wrong = {"key": put.arguments["key"], "value": "never written"}
    return changed(history, put.index, result={**put.fields, "prev_kv": wrong})


def _with_revision(history: History, operation: Operation, revision: int) -> History:
    result = {**history.operations[operation.index].fields, "revision": revision}
    return changed(history, operation.index, result=result)


# --- watches: an event list is changed, whatever the responses


def _in_watch(
    random: Random,
    history: History,
    change: Callable[[Watch, list[WatchResponse]], list[WatchResponse] | None],
) -> History | None:
    places = list(range(len(history.watches)))
    random.shuffle(places)
    for place in places:
        watch = history.watches[place]
        responses = change(watch, list(watch.responses))
        if responses is not None:
            watches = list(history.watches)
            watches[place] = replace(watch, responses=tuple(responses))
            return replace(history, watches=tuple(watches))
    return None


def duplicate_event(random: Random, history: History) -> History | None:
    """Unique: a response comes twice."""

    def change(_watch: Watch, responses: list[WatchResponse]) -> list[WatchResponse] | None:
        places = [n for n, r in enumerate(responses) if r.events]
        if not places:
            return None
        place = random.choice(places)
        return [*responses[: place + 1], responses[place], *responses[place + 1 :]]

    return _in_watch(random, history, change)


def skipped_event(random: Random, history: History) -> History | None:
    """Reliable: an event between the first and the last is missing."""

    def change(_watch: Watch, responses: list[WatchResponse]) -> list[WatchResponse] | None:
        total = sum(len(r.events) for r in responses)
        if total < 3:
            return None
        skipped = random.randrange(1, total - 1)
        return _without_event(responses, skipped)

    return _in_watch(random, history, change)


def late_start(random: Random, history: History) -> History | None:
    """Resumable: the first event is missing."""

    def change(_watch: Watch, responses: list[WatchResponse]) -> list[WatchResponse] | None:
        return _without_event(responses, 0) if sum(len(r.events) for r in responses) > 1 else None

    return _in_watch(random, history, change)


def _without_event(responses: list[WatchResponse], skipped: int) -> list[WatchResponse]:
    found, number = [], 0
    for response in responses:
        kept = []
        for event in response.events:
            if number != skipped:
                kept.append(event)
            number += 1
        found.append(replace(response, events=tuple(kept)))
    return found


def swapped_events(random: Random, history: History) -> History | None:
    """Ordered: two neighbours of different revisions change places."""

    def change(_watch: Watch, responses: list[WatchResponse]) -> list[WatchResponse] | None:
        places = [
            (n, i)
            for n, r in enumerate(responses)
            for i in range(len(r.events) - 1)
            if r.events[i].revision < r.events[i + 1].revision
        ]
        if not places:
            return None
        place, i = random.choice(places)
        events = list(responses[place].events)
        events[i], events[i + 1] = events[i + 1], events[i]
        responses[place] = replace(responses[place], events=tuple(events))
        return responses

    return _in_watch(random, history, change)


def torn_revision(random: Random, history: History) -> History | None:
    """Atomic: the events of one revision come in two responses."""

    def change(_watch: Watch, responses: list[WatchResponse]) -> list[WatchResponse] | None:
        for place, response in enumerate(responses):
            for i in range(1, len(response.events)):
                if response.events[i - 1].revision == response.events[i].revision:
                    parts = response.events[:i], response.events[i:]
                    return [
                        *responses[:place],
                        *(replace(response, events=part) for part in parts),
                        *responses[place + 1 :],
                    ]
        return None

    return _in_watch(random, history, change)


def early_progress(random: Random, history: History) -> History | None:
    """Bookmarkable: progress comes before an event that it covers."""

    def change(_watch: Watch, responses: list[WatchResponse]) -> list[WatchResponse] | None:
        places = [n for n, r in enumerate(responses) if r.events]
        if not places:
            return None
        place = random.choice(places)
        response = responses[place]
        revision = response.events[-1].revision
        progress = replace(response, kind=ResponseKind.PROGRESS, events=(), revision=revision)
        return [*responses[:place], progress, *responses[place:]]

    return _in_watch(random, history, change)


def unwanted_event(random: Random, history: History) -> History | None:
    """Filter: an event of a key that was not asked for."""

    def change(_watch: Watch, responses: list[WatchResponse]) -> list[WatchResponse] | None:
        stray = Event(key="other", revision=history.watches[0].start_revision + 1, value="x")
        time = responses[-1].time
        last = WatchResponse(
            kind=ResponseKind.EVENTS, time=time, revision=stray.revision, events=(stray,)
        )
        return [*responses, last]

    return _in_watch(random, history, change)


def wrong_event(random: Random, history: History) -> History | None:
    """Reliable: an event shows another value than was written."""
    return _with_event(random, history, lambda event: replace(event, value="never written"))


def wrong_previous(random: Random, history: History) -> History | None:
    """PrevKV: the previous value is not the one before."""
    before = {"value": "never written", "mod_revision": 1}
    wanting = tuple(w for w in history.watches if w.wants_previous)
    return (
        _with_event(random, history, lambda event: replace(event, previous=before))
        if wanting == history.watches
        else None
    )


def _with_event(
    random: Random, history: History, change_event: Callable[[Event], Event]
) -> History | None:
    def change(_watch: Watch, responses: list[WatchResponse]) -> list[WatchResponse] | None:
        places = [
            (n, i)
            for n, r in enumerate(responses)
            for i, e in enumerate(r.events)
            if not e.is_delete
        ]
        if not places:
            return None
        place, i = random.choice(places)
        events = list(responses[place].events)
        events[i] = change_event(events[i])
        responses[place] = replace(responses[place], events=tuple(events))
        return responses

    return _in_watch(random, history, change)


# --- transactions


def _changed_read(history: History, index: int, place: int, value: object) -> History:
    operation = history.operations[index]
    ops = list(operation.fields["ops"])
    ops[place] = [ops[place][0], ops[place][1], value]
    return changed(history, index, result={**operation.fields, "ops": ops})


def _reads(history: History) -> list[tuple[int, int, str, list[object]]]:
    return [
        (o.index, place, key, value)
        for o in _good(history, "transaction")
        for place, (function, key, value) in enumerate(o.fields["ops"])
        if function == "r"
    ]


def reversed_list(random: Random, history: History) -> History | None:
    """A list is read in two orders."""
    reads = _reads(history)
    longest = max((len(value) for *_, value in reads), default=0)
    places = [
        (index, place, value)
        for index, place, key, value in reads
        if len(value) > 1
        and any(k == key and i != index and len(v) >= len(value) for i, _, k, v in reads)
    ]
    if not places or longest < 2:
        return None
    index, place, value = random.choice(places)
    return _changed_read(history, index, place, value[::-1])


def missed_append(random: Random, history: History) -> History | None:
    """A read misses an append that had returned before its transaction was invoked."""
    appended = {
        (key, value): o
        for o in _good(history, "transaction")
        for function, key, value in o.fields["ops"]
        if function == "append"
    }
    places = [
        (index, place, value)
        for index, place, key, value in _reads(history)
        if value
        and (key, value[-1]) in appended
        and appended[key, value[-1]].returned < history.operations[index].invoked
    ]
    if not places:
        return None
    index, place, value = random.choice(places)
    return _changed_read(history, index, place, value[:-1])


def garbage_append(random: Random, history: History) -> History | None:
    """A list has an element that nobody appended."""
    place = _chosen(random, _reads(history))
    return place and _changed_read(history, place[0], place[1], [*place[3], -1])


def doubled_append(random: Random, history: History) -> History | None:
    """A list has an element twice."""
    place = _chosen(random, [read for read in _reads(history) if read[3]])
    return place and _changed_read(history, place[0], place[1], [*place[3], place[3][-1]])


def aborted_append(random: Random, history: History) -> History | None:
    """A list has an element that a refused transaction would have appended."""
    refused = [
        (key, value)
        for o in history.operations
        if o.outcome is Outcome.REFUSED
        for function, key, value in o.arguments["ops"]
        if function == "append"
    ]
    places = [
        (index, place, [*value, element])
        for index, place, key, value in _reads(history)
        for name, element in refused
        if name == key
    ]
    if not places:
        return None
    return _changed_read(history, *random.choice(places))


def lost_update(random: Random, history: History) -> History | None:
    """Two transactions read one version and replace it."""
    places = [
        (o, key, value)
        for o in _good(history, "transaction")
        for (f, key, value), (g, written, _) in permutations(o.fields["ops"][:2], 2)
        if (f, g, key) == ("r", "w", written)
    ]
    if not places:
        return None
    operation, key, value = random.choice(places)
    ops = [["r", key, value], ["w", key, -1]]
    revision = 1 + max(revision_of(o) or 0 for o in history.operations)
    other = ok(
        "thief",
        "transaction",
        (operation.invoked, operation.returned),
        {"ops": ops, "revision": revision},
        ops=ops,
    )
    return with_operations(history, other)


def stale_register(random: Random, history: History) -> History | None:
    """A transaction reads a version that was overwritten before it was invoked."""
    written = [
        (o, key, value)
        for o in _good(history, "transaction")
        for function, key, value in o.fields["ops"]
        if function == "w"
    ]
    places = [
        (index, place, old)
        for index, place, key, _ in _reads(history)
        if len(history.operations[index].fields["ops"]) == 1
        for (one, k1, old), (other, k2, _) in permutations(written, 2)
        if k1 == k2 == key
        and one.returned < other.invoked
        and other.returned < history.operations[index].invoked
    ]
    if not places:
        return None
    return _changed_read(history, *random.choice(places))


# --- locks


def stolen_lock(random: Random, history: History) -> History | None:
    """A lock is acquired while another client holds it for certain."""
    held = [
        (taken, let_go)
        for taken, let_go in zip(history.operations[::2], history.operations[1::2], strict=True)
        if taken.returned < let_go.invoked
    ]
    taken, let_go = random.choice(held)
    middle = (taken.returned + let_go.invoked) / 2
    span = (taken.returned + (middle - taken.returned) / 2, middle)
    return with_operations(history, ok("thief", "acquire", span, key=taken.arguments["key"]))


REGISTER = [stale_read, phantom_read, refused_write_read, two_winners, denied_cas]
STORE = [split_revision, reordered_writes, stale_header, lost_key, other_value, other_previous]
WATCH = [
    duplicate_event,
    skipped_event,
    late_start,
    swapped_events,
    torn_revision,
    early_progress,
    unwanted_event,
    wrong_event,
    wrong_previous,
]
LISTS = [reversed_list, missed_append, garbage_append, doubled_append, aborted_append]
REGISTERS = [lost_update, stale_register]
MUTEX = [stolen_lock]


def inject(
    random: Random, history: History, anomalies: Sequence[Anomaly]
) -> tuple[str, History] | None:
    """Return the history with one of the anomalies, and its name; None if none finds a place."""
    for anomaly in random.sample(anomalies, len(anomalies)):
        bad = anomaly(random, history)
        if bad is not None:
            return anomaly.__name__, bad
    return None
