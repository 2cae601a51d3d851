import pytest

from kvstore.cli.ctl.commands import root, run
from kvstore.cli.ctl.completions import SHELLS, PowerShellComplete
from kvstore.cli.ctl.failure import Exit


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_is_told_whom_to_ask(
    shell: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(["completion", shell]) == Exit.OK
    assert b"_KVSTORECTL_COMPLETE" in capfdbinary.readouterr().out


def test_an_unknown_shell_is_refused() -> None:
    assert run(["completion", "tcsh"]) == Exit.ERROR
    assert run(["completion"]) == Exit.ERROR


@pytest.mark.parametrize(
    ("words", "begun", "expected"),
    [
        ("kvstorectl mem", "mem", ([], "mem")),
        ("kvstorectl member ", "", (["member"], "")),
        ("kvstorectl member li", "li", (["member"], "li")),
    ],
)
def test_powershell_passes_its_line(
    monkeypatch: pytest.MonkeyPatch, words: str, begun: str, expected: tuple[list[str], str]
) -> None:
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", begun)
    shell = PowerShellComplete(root, {}, "kvstorectl", "_KVSTORECTL_COMPLETE")
    assert shell.get_completion_args() == expected
