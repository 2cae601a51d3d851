"""`kvstored` answers what needs no server by itself."""

import json
import subprocess
import sys

import pytest

from kvstore.cli.server import kvstored
from kvstore.rpc.maintenance import SERVER_VERSION


@pytest.mark.parametrize("flag", ["--version", "-version", "version"])
def test_the_version_begins_with_the_line_that_scripts_parse(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kvstored([flag], {}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"etcd Version: {SERVER_VERSION}"
    assert [line.partition(":")[0] for line in lines[1:]] == ["Git SHA", "Go Version", "Go OS/Arch"]


def test_help_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert kvstored(["--help"], {}) == 0
    assert "--listen-client-urls" in capsys.readouterr().out


@pytest.mark.slow
def test_a_member_with_simple_tokens_loads_no_library_for_others() -> None:
    script = "import sys, kvstore.server.server; print('jwt' in sys.modules)"
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_an_unknown_flag_exits_with_2_and_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert kvstored(["--nonsense"], {}) == 2
    error = capsys.readouterr().err
    assert error.startswith("flag provided but not defined: -nonsense\nUsage:")


def test_settings_that_cannot_be_obeyed_exit_with_1_and_a_line_for_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert kvstored(["--logger=x", "--discovery-srv=a.com"], {}) == 1
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["msg"] for line in lines] == ["failed to verify flags"] * 2
    assert any("--discovery-srv is not supported yet" in line["error"] for line in lines)
