"""The code of docs/testing.md runs: the newcomer's path, from top to bottom."""

import subprocess
import sys

import pytest

from tests.support.readme import ROOT, blocks

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.slow]

PAGE = ROOT / "docs" / "testing.md"
FIXTURES, ALONE, LOCK, HASTY, COUNTER = [
    block.text for block in blocks(PAGE) if block.language == "python"
]
LINES_MAX = 40
_TRIES = 6


def test_the_newcomers_property_test_is_short() -> None:
    lines = [line for line in LOCK.splitlines() if line.strip()]
    assert len(lines) < LINES_MAX


def test_clusters_are_context_managers_without_pytest() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "revision 2\nrevision 2\n"


def test_the_pages_tests_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_page=FIXTURES + LOCK + COUNTER)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=280)
    result.assert_outcomes(passed=4)


@pytest.mark.timeout(900)
def test_the_hasty_lock_is_caught(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_page=LOCK + HASTY)
    for _ in range(_TRIES):  # each draws other examples, and few of them need not do
        result = pytester.runpytest_subprocess(
            "-p", "no:cacheprovider", "-k", "test_a_hasty_lock", timeout=280
        )
        if result.parseoutcomes().get("failed"):
            break
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "*NotConsistent*",
            "*holds  strictly serializable (revisions)*",
            "*violated  lock safety: lock 'lock' is held by * and * at once*",
            "*timeline: *timeline.html",
            "*FAILED*test_a_hasty_lock*",
        ]
    )
