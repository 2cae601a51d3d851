"""One history for each anomaly, as the papers define them."""

import pytest

from kvstore.check import History, Operation, Verdict, check
from kvstore.check.json_value import Json
from kvstore.check.transactions import check_transactions
from tests.unit.check.worlds import history, ok, refused, unknown


def txn(
    span: tuple[float, float], *ops: list[Json], revision: int | None = None, client: str = "c"
) -> Operation:
    result: dict[str, Json] = {"ops": [*ops]}
    if revision is not None:
        result["revision"] = revision
    return ok(client, "transaction", span, result, ops=[*ops])


ANOMALIES: dict[str, History] = {
    "G0": history(
        txn((0, 9), ["append", "x", 1], ["append", "y", 1]),
        txn((0, 9), ["append", "x", 2], ["append", "y", 2]),
        txn((10, 11), ["r", "x", [1, 2]], ["r", "y", [2, 1]]),
    ),
    "G1a": history(
        refused("a", "transaction", (0, 1), ops=[["append", "x", 1]]), txn((2, 3), ["r", "x", [1]])
    ),
    "G1b": history(
        txn((0, 9), ["append", "x", 1], ["append", "x", 2]),
        txn((0, 9), ["r", "x", [1]]),
        txn((10, 11), ["r", "x", [1, 2]]),
    ),
    "G1c": history(
        txn((0, 9), ["append", "x", 1], ["r", "y", [1]]),
        txn((0, 9), ["append", "y", 1], ["r", "x", [1]]),
    ),
    "G-single": history(
        txn((0, 9), ["append", "x", 1], ["append", "y", 1]),
        txn((0, 9), ["r", "x", [1]], ["r", "y", []]),
        txn((10, 11), ["r", "y", [1]]),
    ),
    "G2": history(
        txn((0, 9), ["r", "x", []], ["append", "y", 1]),
        txn((0, 9), ["r", "y", []], ["append", "x", 1]),
        txn((10, 11), ["r", "x", [1]], ["r", "y", [1]]),
    ),
    "real-time cycle": history(
        txn((0, 1), ["append", "x", 1]), txn((2, 3), ["r", "x", []]), txn((4, 5), ["r", "x", [1]])
    ),
    "incompatible order": history(
        txn((0, 9), ["append", "x", 1]),
        txn((0, 9), ["append", "x", 2]),
        txn((0, 9), ["r", "x", [1, 2]]),
        txn((0, 9), ["r", "x", [2, 1]]),
    ),
    "duplicate elements": history(txn((0, 9), ["append", "x", 1]), txn((0, 9), ["r", "x", [1, 1]])),
    "garbage read": history(txn((0, 9), ["r", "x", [1]])),
    "internal": history(txn((0, 9), ["append", "x", 1], ["r", "x", []])),
    "lost update": history(
        txn((0, 9), ["r", "x", None], ["w", "x", 1]), txn((0, 9), ["r", "x", None], ["w", "x", 2])
    ),
}


@pytest.mark.parametrize("anomaly", ANOMALIES)
def test_each_anomaly_is_found_under_its_name(anomaly: str) -> None:
    found = check_transactions(ANOMALIES[anomaly])
    assert any(
        finding.guarantee.startswith(anomaly) and finding.verdict is Verdict.VIOLATED
        for finding in found
    ), found


def test_the_revision_order_shows_what_reads_alone_do_not() -> None:
    """Two blind writes: only their revisions tell which came first."""
    stale = [
        txn((0, 1), ["w", "x", 1], revision=2),
        txn((2, 3), ["w", "x", 2], revision=3),
        txn((4, 5), ["r", "x", 1], revision=3),
    ]
    assert check(history(*stale)).verdict is Verdict.VIOLATED
    fresh = [*stale[:2], txn((4, 5), ["r", "x", 2], revision=3)]
    assert check(history(*fresh)).verdict is Verdict.HOLDS


def test_an_unknown_transaction_counts_only_if_it_was_seen() -> None:
    lost = unknown("a", "transaction", (0, 1), ops=[["append", "x", 1]])
    assert check(history(lost, txn((2, 3), ["r", "x", []]))).verdict is Verdict.HOLDS
    seen_then_gone = history(lost, txn((2, 3), ["r", "x", [1]]), txn((4, 5), ["r", "x", []]))
    assert check(seen_then_gone).verdict is Verdict.VIOLATED


def test_a_value_written_twice_is_not_judged() -> None:
    ambiguous = history(txn((0, 1), ["w", "x", 1]), txn((2, 3), ["w", "x", 1]))
    assert check(ambiguous).verdict is Verdict.UNKNOWN


def test_a_cycle_says_why_each_comes_after_the_other() -> None:
    finding = next(f for f in check_transactions(ANOMALIES["G1c"]) if f.guarantee[:3] == "G1c")
    assert finding.summary.count("-wr->") == 2
    assert any("1 of 'x'" in step for step in finding.steps)
