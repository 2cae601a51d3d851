"""click, bent to etcdctl's manners: global flags anywhere, `--flag=true`, Go's complaints."""

from collections.abc import Callable, Mapping, Sequence

import click

from kvstore.cli.ctl.session import Session
from kvstore.cli.ctl.settings import BOOLEANS, STRINGS, boolean, settings_from


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Keep a global flag that was given, wherever on the line it stood."""
    assert parameter.name is not None
    source = context.get_parameter_source(parameter.name)
    if source is click.core.ParameterSource.COMMANDLINE:
        context.find_root().ensure_object(dict)[parameter.opts[-1].removeprefix("--")] = value


def global_options() -> list[click.Parameter]:
    strings = [
        click.Option(
            ["-w", f"--{name}"] if name == "write-out" else [f"--{name}"],
            help=text,
            expose_value=False,
            callback=_remember,
            metavar=default or "TEXT",
        )
        for name, (default, text) in STRINGS.items()
    ]
    booleans = [
        click.Option([f"--{name}/--no-{name}"], help=text, expose_value=False, callback=_remember)
        for name, (_, text) in BOOLEANS.items()
    ]
    return [*strings, *booleans]


class GoCommand(click.Command):
    """A command that also takes the global flags, and `--flag=false` for its own."""

    def __init__(self, *args: object, **named: object) -> None:
        super().__init__(*args, **named)  # type: ignore[arg-type]  # click's own signature
        self.params.extend(global_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, after the flags with a written truth value were turned into click's form."""
        return super().parse_args(ctx, list(_without_truth_values(args, _flags(self))))


class GoGroup(click.Group):
    """A group of `GoCommand`s that takes the global flags too; a name's beginning will do."""

    command_class = GoCommand
    group_class = type

    def __init__(self, *args: object, **named: object) -> None:
        super().__init__(*args, **named)  # type: ignore[arg-type]  # click's own signature
        self.params.extend(global_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, after the flags with a written truth value were turned into click's form."""
        return super().parse_args(ctx, list(_without_truth_values(args, _flags(self))))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command by its name, or by the beginning that only one has."""
        begun = [name for name in self.list_commands(ctx) if name.startswith(args[0])]
        if args[0] not in begun and len(begun) == 1:
            args = [begun[0], *args[1:]]
        return super().resolve_command(ctx, args)


def _flags(command: click.Command) -> dict[str, str | None]:
    """Return every flag, and the one that says the opposite, if it has one."""
    return {
        name: next(iter(parameter.secondary_opts), None)
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.is_flag
        for name in parameter.opts
    }


def _without_truth_values(args: Sequence[str], flags: Mapping[str, str | None]) -> Sequence[str]:
    result: list[str] = []
    for position, argument in enumerate(args):
        if argument == "--":
            return [*result, *args[position:]]
        name, separator, value = argument.partition("=")
        if separator and name in flags:
            opposite = flags[name]
            if boolean(value):
                result.append(name)
            elif opposite is not None:
                result.append(opposite)
        else:
            result.append(argument)
    return result


def session(context: click.Context) -> Session:
    """Return the session of the command that runs."""
    return Session(settings_from(context.find_root().ensure_object(dict)))


Command = Callable[..., None]
