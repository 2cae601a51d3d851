"""The command tree, and how a command's end becomes an exit code."""

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoGroup

_COMMANDS = {
    "alarm": "cluster:alarm",
    "auth": "users:auth",
    "check": "checks:check",
    "compaction": "keys:compaction",
    "completion": "completions:completion",
    "defrag": "maintenance:defrag",
    "del": "keys:delete",
    "downgrade": "maintenance:downgrade",
    "elect": "locks:elect",
    "endpoint": "cluster:endpoint",
    "get": "keys:get",
    "lease": "leases:lease",
    "lock": "locks:lock",
    "make-mirror": "mirrors:make_mirror",
    "member": "members:member",
    "move-leader": "maintenance:move_leader",
    "put": "keys:put",
    "role": "roles:role",
    "snapshot": "snapshots:snapshot",
    "txn": "transactions:txn",
    "user": "users:user",
    "version": "cluster:version",
    "watch": "watches:watch",
}


class _Root(GoGroup):
    """All commands; the module of one is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, without importing anything."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(f"kvstore.cli.ctl.{module}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Root, name="kvstorectl", help="A command line client for kvstore and etcd.")
def root() -> None:
    """Hold all commands."""


def run(arguments: Sequence[str]) -> int:  # noqa: PLR0911  one way out an exit code
    """Run a command line; return its exit code."""
    try:
        root.main(list(arguments), prog_name="kvstorectl", standalone_mode=False)
    except Stop as stop:
        if stop.message:
            _complain(stop.message)
        return stop.code
    except click.NoSuchOption as error:
        _complain(f"unknown flag: {error.option_name}")
        return Exit.ERROR
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return Exit.OK
    except click.UsageError as error:
        unknown = error.ctx is not None and error.message.startswith("No such command")
        name = error.message.split("'")[1] if unknown else ""
        _complain(f'unknown command "{name}" for "kvstorectl"' if unknown else error.message)
        return Exit.ERROR
    except BrokenPipeError:
        return Exit.IO
    except (KeyboardInterrupt, click.Abort):
        return 130
    sys.stdout.flush()
    return Exit.OK


def _complain(message: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"Error: {message}\n")
