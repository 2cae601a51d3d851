"""Every scenario that docs/track_record.md names is a test."""

import re

import pytest

from tests.mutants.run import ROOT
from tests.support.known_tests import known_tests

_ROW = re.compile(r"^\| ((?:#|Jepsen)[^|]*) \|(?:[^|]*\|){3} ([^|]*) \|$", re.MULTILINE)
ROWS: list[tuple[str, str]] = _ROW.findall((ROOT / "docs" / "track_record.md").read_text())
_ISSUES = (
    *("13766", "14370", "14571", "14685", "15220", "15247", "15271", "17247", "17529", "17780"),
    *("18055", "18089", "18667", "19179", "20221", "20271", "20418"),
)


def test_every_known_issue_has_a_row() -> None:
    issues = " ".join(issue for issue, _ in ROWS)
    assert [number for number in _ISSUES if f"#{number}" not in issues] == []
    assert issues.count("Jepsen") == 3


@pytest.mark.parametrize(("issue", "scenarios"), ROWS, ids=[row[0] for row in ROWS])
def test_every_scenario_exists(issue: str, scenarios: str) -> None:
    named = re.findall(r"`(test_[^`]+)`", scenarios)
    assert named, f"{issue} has no scenario"
    assert [name for name in named if name not in known_tests()] == []
