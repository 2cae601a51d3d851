"""Histories from the literature, and the corners of the search."""

import pytest

from kvstore.base.clock import SystemClock
from kvstore.check import FOREVER, Budget, History, Verdict, check
from kvstore.check.linearizability import linearizable
from kvstore.check.models import RegisterModel
from tests.unit.check.worlds import history, ok, refused, unknown


def write(client: str, value: int, begin: float, end: float) -> object:
    return ok(client, "write", (begin, end), value=value)


def read(client: str, value: int | None, begin: float, end: float) -> object:
    return ok(client, "read", (begin, end), value)


HERLIHY_WING = {
    # Herlihy and Wing, "Linearizability" (1990), with registers in place of queues; the register
    # examples are those of Herlihy and Shavit, "The Art of Multiprocessor Programming", chapter 3.
    "a read that overlaps a write sees the new value": (
        [write("a", 1, 0, 3), read("b", 1, 1, 2)],
        True,
    ),
    "a read that overlaps a write sees the old value": (
        [write("a", 1, 0, 3), read("b", None, 1, 2)],
        True,
    ),
    "a read after a write sees the old value": (
        [write("a", 1, 0, 1), read("b", None, 2, 3)],
        False,
    ),
    "two reads during a write see new, then old": (
        [write("a", 1, 0, 9), read("b", 1, 1, 2), read("c", None, 3, 4)],
        False,
    ),
    "two reads during a write see old, then new": (
        [write("a", 1, 0, 9), read("b", None, 1, 2), read("c", 1, 3, 4)],
        True,
    ),
    "two readers agree on the order of two concurrent writes": (
        [
            write("a", 1, 0, 9),
            write("b", 2, 0, 9),
            read("c", 1, 1, 2),
            read("c", 2, 3, 4),
            read("d", 2, 3, 4),
        ],
        True,
    ),
    "two readers see two concurrent writes in different orders": (
        [
            write("a", 1, 0, 9),
            write("b", 2, 0, 9),
            read("c", 1, 1, 2),
            read("d", 2, 1, 2),
            read("c", 2, 3, 4),
            read("d", 1, 3, 4),
        ],
        False,
    ),
    "a value comes back after it was overwritten": (
        [
            write("a", 1, 0, 1),
            write("a", 2, 2, 3),
            read("b", 2, 4, 5),
            read("b", 1, 6, 7),
        ],
        False,
    ),
    # Porcupine's example: three clients, and a read that forces an order on concurrent writes.
    "porcupine's good register": (
        [
            write("a", 100, 0, 10),
            read("b", 100, 2.5, 7.5),
            read("c", None, 3, 6),
        ],
        True,
    ),
    "porcupine's bad register": (
        [
            write("a", 200, 0, 10),
            read("b", 200, 1, 3),
            read("c", None, 4, 6),
        ],
        False,
    ),
}


@pytest.mark.parametrize("name", HERLIHY_WING)
def test_registers_of_the_literature(name: str) -> None:
    operations, holds = HERLIHY_WING[name]
    expected = Verdict.HOLDS if holds else Verdict.VIOLATED
    assert check(history(*operations)).verdict is expected


def test_operations_that_touch_at_one_instant_are_concurrent() -> None:
    assert check(history(write("a", 1, 0, 1), read("b", None, 1, 2))).verdict is Verdict.HOLDS


def test_an_unknown_write_may_take_effect_long_after_its_client_gave_up() -> None:
    seen_late = history(
        write("a", 1, 0, 1),
        unknown("b", "write", (2, 3), value=2),
        read("a", 1, 4, 5),
        read("a", 2, 6, 7),
    )
    assert check(seen_late).verdict is Verdict.HOLDS


def test_an_unknown_write_takes_effect_once() -> None:
    twice = history(
        unknown("b", "write", (0, 1), value=2),
        read("a", 2, 2, 3),
        write("a", 1, 4, 5),
        read("a", 2, 6, 7),
    )
    assert check(twice).verdict is Verdict.VIOLATED


def test_an_unknown_write_takes_no_effect_before_it_was_invoked() -> None:
    early = history(read("a", 2, 0, 1), unknown("b", "write", (2, 3), value=2))
    assert check(early).verdict is Verdict.VIOLATED


def test_a_write_that_never_returned_may_have_happened() -> None:
    pending = history(unknown("b", "write", (0, FOREVER), value=2), read("a", 2, 1, 2))
    assert check(pending).verdict is Verdict.HOLDS


def test_a_refused_write_is_never_seen() -> None:
    seen = history(refused("b", "write", (0, 1), value=2), read("a", 2, 2, 3))
    assert check(seen).verdict is Verdict.VIOLATED


def test_true_and_one_are_different_values() -> None:
    seen = history(ok("a", "write", (0, 1), value=True), ok("a", "read", (2, 3), 1))
    assert check(seen).verdict is Verdict.VIOLATED


def test_a_stale_read_is_explained_by_three_operations() -> None:
    """What happened around it, a hundred operations, is not shown."""
    noise = [write("n", number, 10 * number, 10 * number + 5) for number in range(1, 50)]
    reads = [read("m", number, 10 * number + 6, 10 * number + 7) for number in range(1, 50)]
    stale = read("x", 20, 1000, 1001)
    finding = check(history(*noise, *reads, stale)).violation
    assert finding is not None
    assert len(finding.operations) == 3
    assert 98 in finding.operations


def unsolvable(width: int) -> History:
    """Concurrent writes that a read of nothing contradicts: every order has to be tried."""
    writes = [write(f"c{n}", n, 0, 100) for n in range(width)]
    reads = [read(f"r{n}", n, 1 + n % 3, 90) for n in range(width)]
    return history(*writes, *reads, read("x", -1, 0, 100))


def test_a_search_that_is_too_long_says_so() -> None:
    finding, _ = linearizable(unsolvable(40).operations, RegisterModel(), Budget(10_000))
    assert finding.verdict is Verdict.UNKNOWN
    assert "budget was spent" in finding.summary


def test_a_search_ends_within_the_seconds_it_is_given() -> None:
    clock = SystemClock()
    begin = clock.monotonic()
    budget = Budget(1 << 60, seconds=0.2, clock=clock)
    report = check(unsolvable(40), budget=budget)
    assert report.verdict is Verdict.UNKNOWN
    assert clock.monotonic() - begin < 5
    assert report.text.endswith("verdict: unknown\n")


def test_mutual_exclusion_is_judged_with_unknown_releases() -> None:
    free_again = history(
        ok("a", "acquire", (0, 1), key="l"),
        unknown("a", "release", (2, 3), key="l"),
        ok("b", "acquire", (4, 5), key="l"),
    )
    assert check(free_again).verdict is Verdict.HOLDS
    held = history(ok("a", "acquire", (0, 1), key="l"), ok("b", "acquire", (4, 5), key="l"))
    assert check(held).verdict is Verdict.VIOLATED


def test_lists_are_searched_on_request() -> None:
    def transaction(client: str, begin: float, *ops: list[object]) -> object:
        return ok(client, "transaction", (begin, begin + 1), {"ops": [*ops]}, ops=[*ops])

    good = history(
        transaction("a", 0, ["append", "x", 1], ["append", "y", 2]),
        transaction("b", 2, ["r", "x", [1]], ["r", "y", [2]]),
    )
    assert check(good, models=["list-append"]).verdict is Verdict.HOLDS
    skewed = history(
        transaction("a", 0, ["append", "x", 1], ["append", "y", 2]),
        transaction("b", 2, ["r", "x", [1]], ["r", "y", []]),
    )
    assert check(skewed, models=["list-append"]).verdict is Verdict.VIOLATED
