from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result

from kvstore.check import History, write_history
from kvstore.cli.umbrella import main
from tests.unit.check.test_jepsen import REGISTER
from tests.unit.check.test_linearizability import unsolvable
from tests.unit.check.worlds import Shape, history, ok, register_history


def run(tmp_path: Path, made: History, *arguments: str) -> Result:
    path = tmp_path / "history.jsonl"
    path.write_text("".join(write_history(made)))
    return CliRunner().invoke(main, ["check", str(path), *arguments])


def test_a_history_that_holds_exits_0(tmp_path: Path) -> None:
    result = run(tmp_path, register_history(Random(1), Shape()))
    assert result.exit_code == 0
    assert result.output.endswith("verdict: holds\n")


def test_a_violation_exits_1_and_is_drawn(tmp_path: Path) -> None:
    html = tmp_path / "out.html"
    bad = history(ok("a", "write", (0, 1), value=1), ok("b", "read", (2, 3), None))
    result = run(tmp_path, bad, "--html", str(html))
    assert result.exit_code == 1
    assert "verdict: violated" in result.output
    assert "<svg id=failing" in html.read_text()


def test_what_is_not_judged_exits_3(tmp_path: Path) -> None:
    result = run(tmp_path, history(ok("a", "dance", (0, 1))))
    assert result.exit_code == 3
    assert "no check was made of operations of the kinds dance" in result.output


def test_a_search_that_is_given_up_exits_3(tmp_path: Path) -> None:
    result = run(tmp_path, unsolvable(40), "--seconds", "0.05")
    assert result.exit_code == 3
    assert "budget was spent" in result.output


def test_the_model_can_be_chosen(tmp_path: Path) -> None:
    ops = [["append", "x", 1]]
    made = history(ok("a", "transaction", (0, 1), {"ops": ops}, ops=ops))
    result = run(tmp_path, made, "--model", "list-append")
    assert "linearizable (list-append)" in result.output


def test_a_file_that_is_no_history_exits_2_and_says_where(tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"type": "operation"}\n')
    result = CliRunner().invoke(main, ["check", str(path)])
    assert result.exit_code == 2
    assert "line 1" in result.output


def test_a_jepsen_history_is_read(tmp_path: Path) -> None:
    path = tmp_path / "history.edn"
    path.write_text(REGISTER)
    assert CliRunner().invoke(main, ["check", str(path)]).exit_code == 1


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"]])
def test_help_names_the_command(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    assert "history" in result.output
