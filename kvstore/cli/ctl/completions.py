"""completion: what makes a shell complete our commands. click knows three of the shells."""

import os

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoCommand
from kvstore.cli.ctl.session import write

SHELLS = ("bash", "zsh", "fish", "powershell")
_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($word, $line, $position)
    $env:%(complete_var)s = "powershell_complete"
    $env:COMP_WORDS = $line.ToString()
    $env:COMP_CWORD = $word
    %(prog_name)s | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, "ParameterValue", $_)
    }
    Remove-Item Env:%(complete_var)s, Env:COMP_WORDS, Env:COMP_CWORD
}
"""


class PowerShellComplete(ShellComplete):
    """The shell that click does not know; it is offered one name a line."""

    name = "powershell"
    source_template = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, and that one's beginning."""
        words = os.environ["COMP_WORDS"].split()
        begun = os.environ.get("COMP_CWORD", "")
        return words[1:-1] if begun and words[-1] == begun else words[1:], begun

    def format_completion(self, item: CompletionItem) -> str:
        """Return a line."""
        return str(item.value)


@click.command(cls=GoCommand, help="Generate completion script (bash, zsh, fish, powershell)")
@click.argument("words", nargs=-1)
@click.pass_context
def completion(context: click.Context, words: tuple[str, ...]) -> None:
    if len(words) != 1:
        raise Stop(Exit.ERROR, f"accepts 1 arg(s), received {len(words)}")
    if words[0] not in SHELLS:
        raise Stop(Exit.ERROR, f'invalid argument "{words[0]}" for "kvstorectl completion"')
    root = context.find_root()
    assert root.info_name is not None
    variable = f"_{root.info_name}_COMPLETE".replace("-", "_").upper()
    kind = get_completion_class(words[0])
    assert kind is not None
    # Not `source()` of the class itself: it starts bash to look at its version.
    shell = kind(root.command, {}, root.info_name, variable)
    write(shell.source_template % shell.source_vars())
