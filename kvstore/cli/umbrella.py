"""`kvstore`: the commands for people. Each is imported when it is called, so that help is quick.

Other distributions add commands by the entry-point group `kvstore.commands`; the store itself knows
none of them.
"""

from importlib import import_module
from importlib.metadata import entry_points

import click

GROUP = "kvstore.commands"
BUILT_IN = {
    "chaos": ("kvstore.cli.chaos:chaos", "Break a cluster on purpose, and judge it."),
    "check": ("kvstore.cli.check:check", "Judge a recorded history, and draw it."),
    "doctor": ("kvstore.cli.doctor:doctor", "Look for what makes clusters ill."),
    "local": ("kvstore.cli.local:local", "Run a cluster on this machine, one process a member."),
    "tls": ("kvstore.cli.tls:tls", "Make certificates for a cluster and its clients."),
}


class LazyGroup(click.Group):
    """A group whose commands are found by name and imported at need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, without importing them."""
        return sorted({*super().list_commands(ctx), *BUILT_IN, *entry_points(group=GROUP).names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name in BUILT_IN:
            module, _, name = BUILT_IN[cmd_name][0].partition(":")
            return _command(getattr(import_module(module), name), cmd_name)
        for entry_point in entry_points(group=GROUP, name=cmd_name):
            return _command(entry_point.load(), cmd_name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands; only those of other distributions are imported for it."""
        rows = []
        for name in self.list_commands(ctx):
            if name in BUILT_IN:
                rows.append((name, BUILT_IN[name][1]))
            elif (command := self.get_command(ctx, name)) is not None:
                rows.append((name, command.get_short_help_str()))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=LazyGroup, epilog="Examples: `kvstore local up -n 3`, `kvstore local --help`")
@click.version_option(package_name="kvstore-raft", prog_name="kvstore")
def main() -> None:
    """A Raft-replicated key-value store that speaks etcd's API."""


def _command(found: object, name: str) -> click.Command:
    if not isinstance(found, click.Command):
        raise click.ClickException(f"{name} is registered in {GROUP}, but is no command: {found!r}")
    return found


if __name__ == "__main__":
    main()
