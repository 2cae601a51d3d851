"""The documents' own examples."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from kvstore.check import CHECKS, check, read_history
from kvstore.cli.umbrella import main
from tests.support.readme import ROOT, blocks

CHECKING = ROOT / "docs" / "checking.md"
FORMAT = ROOT / "docs" / "formats" / "history.md"


def test_the_code_of_checking_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(block.text for block in blocks(CHECKING) if block.language == "python")
    exec(compile(code, str(CHECKING), "exec"), {})
    assert "verdict: holds" in capsys.readouterr().out
    command = next(block.text for block in blocks(CHECKING) if block.language == "console")
    words = command.removeprefix("$ kvstore ").split()
    assert CliRunner().invoke(main, words).exit_code == 1
    assert (tmp_path / "out.html").stat().st_size > 1000


def test_the_table_of_checks_is_complete() -> None:
    rows = [line for line in CHECKING.read_text().splitlines() if line.startswith("| `")]
    assert {row.split("`")[1] for row in rows} == set(CHECKS)


def test_the_example_of_the_format_is_a_history() -> None:
    example = next(block.text for block in blocks(FORMAT) if block.language == "text")
    history = read_history(example.splitlines())
    assert len(history.operations) == 2
    assert len(history.bands) == 2
    assert check(history).verdict == "holds"
