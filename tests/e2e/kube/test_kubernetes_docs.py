"""The code of docs/kubernetes.md runs."""

import subprocess
import sys

import pytest

from tests.support.readme import ROOT, blocks

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

FIXTURE, ALONE = [
    block.text for block in blocks(ROOT / "docs" / "kubernetes.md") if block.language == "python"
]


def test_the_page_needs_no_pytest() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['default']\n"


def test_the_pages_test_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_page=FIXTURE)
    pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=240).assert_outcomes(passed=1)
