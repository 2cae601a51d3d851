"""Every command of `kvstore local` explains itself, by examples that can be typed."""

import re
import shlex

import click
import pytest

from kvstore.cli.local import local

EXAMPLES_MIN = 2


@pytest.mark.parametrize("command", local.commands.values(), ids=lambda command: command.name)
def test_the_examples_of_the_help_can_be_parsed(command: click.Command) -> None:
    examples = re.findall(r"`kvstore local ([^`]+)`", command.epilog or "")
    assert len(examples) >= EXAMPLES_MIN
    for example in examples:
        name, *arguments = shlex.split(example)
        assert name == command.name
        command.make_context(name, arguments).close()


@pytest.mark.parametrize("command", local.commands.values(), ids=lambda command: command.name)
def test_every_option_has_a_help_text(command: click.Command) -> None:
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []
