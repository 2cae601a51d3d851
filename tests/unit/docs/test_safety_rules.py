"""What docs/safety_rules.md names is there, and each rule's bug is noticed by one of its tests."""

import re
from functools import cache

import pytest

from tests.mutants.run import ROOT, Mutant, mutants
from tests.support.known_tests import known_tests

_DOCUMENT = ROOT / "docs" / "safety_rules.md"
_ROW = re.compile(r"^\| ([A-Z]\d+) \| (.*) \| (.*) \| (.*) \| (.*) \|$", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")
_RULES_MIN = 80


def rows() -> list[tuple[str, str, list[str], list[str], list[str]]]:
    """Return (number, rule, places, tests, bugs) of each row."""
    return [
        (number, rule, *(_CODE.findall(cell) for cell in cells))  # type: ignore[misc]  # three
        for number, rule, *cells in _ROW.findall(_DOCUMENT.read_text())
    ]


@cache
def bugs() -> dict[str, Mutant]:
    return {mutant.name: mutant for mutant in mutants()}


def short(test: str) -> str:
    """Return a test as the table names it."""
    return test.rsplit("::", 1)[-1].split("[", 1)[0].rsplit("/", 1)[-1]


def test_there_is_a_row_for_every_rule() -> None:
    numbers = [row[0] for row in rows()]
    assert len(numbers) == len(set(numbers))
    assert len(numbers) >= _RULES_MIN


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_what_a_rule_names_is_there(row: tuple[str, str, list[str], list[str], list[str]]) -> None:
    _, _, places, tests, planted = row
    files = [place for place in places if place.endswith(".py")]
    assert files
    sources = ""
    for file in files:
        sources += (ROOT / "kvstore" / file).read_text()
    for name in set(places) - set(files):
        assert name.rsplit(".", 1)[-1] in sources, f"{name} is in none of {files}"
    assert tests
    assert planted
    for test in tests:
        assert short(test) in known_tests(), f"there is no test {test}"
    for bug in planted:
        assert bug in bugs(), f"there is no planted bug {bug}"
        noticed_by = {short(test) for test in bugs()[bug].tests}
        assert noticed_by <= set(map(short, tests)), f"{bug} is noticed by {noticed_by}"
    assert any(bugs()[bug].tests for bug in planted), "no directed test has been seen to fail"


def test_every_bug_that_breaks_a_rule_is_in_the_table() -> None:
    named = {bug for *_, planted in rows() for bug in planted}
    assert {bug for bug in bugs() if bug.startswith("rule_")} <= named
