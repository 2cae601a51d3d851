from collections import Counter

import pytest

from kvstore.cli.ctl.checks import Results, judged

GOOD = Results(seconds=[0.01] * 9000, total_s=60.0)


def test_a_cluster_that_keeps_up_passes() -> None:
    assert judged(GOOD, rate=150) == (
        True,
        [
            "PASS: Throughput is 151 writes/s",
            "PASS: Slowest request took 0.010000s",
            "PASS: Stddev is 0.000000s",
            "PASS",
        ],
    )


@pytest.mark.parametrize(
    ("results", "line"),
    [
        (Results([0.01] * 8000, total_s=60.0), "FAIL: Throughput too low: 134 writes/s"),
        (Results([*[0.01] * 9000, 0.6], total_s=60.0), "Slowest request took too long: 0.600000s"),
        (Results([0.01, 0.3] * 4500, total_s=60.0), "Stddev too high: 0.145000s"),
        (Results([0.01] * 9000, Counter({"x": 2}), 60.0), "FAIL: ERROR(x) -> 2"),
        (Results(), "FAIL: Throughput too low: 1 writes/s"),
    ],
)
def test_every_shortcoming_is_named_and_fails(results: Results, line: str) -> None:
    passes, lines = judged(results, rate=150)
    assert not passes
    assert line in lines
    assert lines[-1] == "FAIL"
