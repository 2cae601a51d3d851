"""`kvstore` finds its commands late, its own and those of other distributions."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import click
import pytest
from click.testing import CliRunner

from kvstore.cli import umbrella


@click.command(short_help="Say hello.")
def hello() -> None:
    click.echo("hello")


@pytest.fixture
def other_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("hello", f"{__name__}:hello", umbrella.GROUP)

    def entry_points(*, group: str, name: str = entry.name) -> EntryPoints:
        return EntryPoints([entry]).select(group=group, name=name)

    monkeypatch.setattr(umbrella, "entry_points", entry_points)


def test_help_lists_local() -> None:
    result = CliRunner().invoke(umbrella.main, ["--help"])
    assert result.exit_code == 0
    assert "local" in result.output


@pytest.mark.usefixtures("other_distribution")
def test_a_command_of_another_distribution_is_found_and_run() -> None:
    assert "Say hello." in CliRunner().invoke(umbrella.main, ["--help"]).output
    assert CliRunner().invoke(umbrella.main, ["hello"]).output == "hello\n"


def test_an_unknown_command_exits_with_2() -> None:
    assert CliRunner().invoke(umbrella.main, ["nonsense"]).exit_code == 2


@pytest.mark.slow
def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from click.testing import CliRunner; from kvstore.cli.umbrella import main;"
        "CliRunner().invoke(main, ['local', 'up', '--help']);"
        "print([m for m in ('grpc', 'rich', 'lmdb', 'uvloop', 'google') if m in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
