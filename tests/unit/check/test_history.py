from random import Random

import pytest

from kvstore.base.clock import SystemClock
from kvstore.check import (
    FOREVER,
    Band,
    Event,
    History,
    MalformedHistory,
    Outcome,
    Recorder,
    ResponseKind,
    Watch,
    WatchResponse,
    check,
    read_history,
    write_history,
)
from tests.unit.check import worlds
from tests.unit.check.worlds import history, ok, refused, unknown

HEADER = '{"type":"history","format":"kvstore-history","version":1}'


def test_what_is_written_is_read_back() -> None:
    for seed in range(20):
        random = Random(seed)
        made, _ = worlds.store_history(random, worlds.shape(random))
        assert read_history(write_history(made)) == made


def test_every_field_is_written_and_read_back() -> None:
    response = WatchResponse(
        kind=ResponseKind.CANCELED,
        time=1.5,
        revision=0,
        events=(Event(key="\udcff", revision=3, is_delete=True, previous={"value": "x"}),),
        is_fragment=True,
        compact_revision=7,
        endpoint="m1",
    )
    watch = Watch(
        name="w",
        client="c",
        key="a",
        range_end="b",
        start_revision=4,
        no_put=True,
        no_delete=True,
        wants_previous=True,
        responses=(response,),
    )
    made = History(
        operations=history(
            ok("a", "put", (0.0, 1.0), {"revision": 2}, key="k"),
            unknown("b", "put", (0.5, FOREVER), key="k"),
            refused("b", "put", (0.5, 2.0), key="k"),
        ).operations,
        watches=(watch,),
        bands=(
            Band(kind="fault", name="cut", start=0.0, end=1.0, target="m1"),
            Band(kind="term", name="2", start=0.0, end=FOREVER),
        ),
        is_complete=False,
        start_revision=9,
    )
    assert read_history(write_history(made)) == made


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["{"], "line 1"),
        ([HEADER, "[]"], "line 2: a line must be an object"),
        (['{"type":"other"}'], "unknown type 'other'"),
        (['{"type":"history","format":"kvstore-history","version":2}'], "version 2"),
        (['{"type":"operation","client":"a"}'], "'outcome' must be a string"),
        (
            ['{"type":"operation","client":"a","kind":"k","invoke":1,"outcome":"ok"}'],
            "'return' is missing",
        ),
        (
            ['{"type":"operation","client":"a","kind":"k","invoke":1,"outcome":"maybe"}'],
            "must be ok, refused or unknown",
        ),
        (
            ['{"type":"operation","client":"a","kind":"k","invoke":2,"return":1,"outcome":"ok"}'],
            "returns before it is invoked",
        ),
        (
            ['{"type":"operation","client":"a","kind":"k","invoke":NaN,"return":1,"outcome":"ok"}'],
            "returns before it is invoked",
        ),
        (
            ['{"type":"watch_response","watch":"w","kind":"created","time":1,"revision":1}'],
            "no watch yet",
        ),
        (["[" * 100_000], "line 1"),
    ],
)
def test_a_malformed_line_is_refused_with_its_number(lines: list[str], says: str) -> None:
    with pytest.raises(MalformedHistory, match=r"line|operation") as refusal:
        read_history(lines)
    assert says in str(refusal.value)


def test_a_recorder_keeps_what_ended_how_and_when() -> None:
    recorder = Recorder(SystemClock())
    band = recorder.begin("fault", "pause", "m1")
    write = recorder.invoke("a", "write", {"value": 1})
    read = recorder.invoke("b", "read")
    lost = recorder.invoke("c", "write", {"value": 2})
    recorder.invoke("d", "write", {"value": 3})
    write.ok()
    read.refused("busy")
    lost.unknown("timed out")
    recorder.end(band)

    made = recorder.history()

    assert [o.outcome for o in made.operations] == [
        Outcome.OK,
        Outcome.REFUSED,
        Outcome.UNKNOWN,
        Outcome.UNKNOWN,
    ]
    assert made.operations[3].returned == FOREVER
    assert made.operations[1].error == "busy"
    assert made.bands[0].end >= made.operations[2].returned
    assert check(made).verdict == "holds"


def test_a_recorder_keeps_watches() -> None:
    recorder = Recorder(SystemClock())
    recorder.watch(Watch(name="w", client="a", key="k"))
    told = WatchResponse(kind=ResponseKind.CREATED, time=recorder.now(), revision=5)
    recorder.told("w", told)
    assert recorder.history().watches[0].created_revision == 5
