"""defrag, move-leader, downgrade: what operators do to single members."""

import time

import click

from kvstore.cli.ctl.cluster import endpoints_of
from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoCommand, GoGroup, session
from kvstore.cli.ctl.go_text import duration, quoted
from kvstore.cli.ctl.session import write
from kvstore.wire.pb import rpc_pb2


@click.command(
    cls=GoCommand, help="Defragments the storage of the etcd members with given endpoints"
)
@click.argument("words", nargs=-1)
@click.option("--cluster", is_flag=True, help="use all endpoints from the cluster member list")
@click.pass_context
def defrag(context: click.Context, words: tuple[str, ...], *, cluster: bool) -> None:
    from kvstore.client import admin_calls

    del words
    running = session(context)
    failures = 0
    for name in endpoints_of(running, cluster=cluster):
        started = time.monotonic()
        try:
            running.exchange(admin_calls.defragment(), name)
        except Stop as stop:
            took = duration(time.monotonic() - started)
            click.echo(
                f"Failed to defragment etcd member[{name}]. took {took}. ({stop.message})", err=True
            )
            failures += 1
        else:
            took = duration(time.monotonic() - started)
            write(f"Finished defragmenting etcd member[{name}]. took {took}")
    if failures:
        raise Stop(Exit.ERROR)


@click.command(
    "move-leader", cls=GoCommand, help="Transfers leadership to another etcd cluster member."
)
@click.argument("words", nargs=-1)
@click.pass_context
def move_leader(context: click.Context, words: tuple[str, ...]) -> None:
    from kvstore.client import admin_calls, calls

    if len(words) != 1:
        raise Stop(Exit.BAD_ARGS, "move-leader command needs 1 argument")
    try:
        target = int(words[0], 16)
    except ValueError:
        text = f"strconv.ParseUint: parsing {quoted(words[0])}: invalid syntax"
        raise Stop(Exit.BAD_ARGS, text) from None
    running = session(context)
    for name in running.settings.endpoints:
        status = running.exchange(calls.status(), name)
        if status.header.member_id == status.leader:
            running.exchange(admin_calls.move_leader(target), name)
            write(f"Leadership transferred from {status.leader:x} to {target:x}")
            return
    listed = " ".join(running.settings.endpoints)
    raise Stop(Exit.BAD_ARGS, f"no leader endpoint given at [{listed}]")


@click.group(cls=GoGroup, help="Downgrade related commands")
def downgrade() -> None:
    """Hold the downgrade commands."""


@downgrade.command(help="Validate downgrade capability before starting downgrade")
@click.argument("words", nargs=-1)
@click.pass_context
def validate(context: click.Context, words: tuple[str, ...]) -> None:
    _downgrade(context, rpc_pb2.DowngradeRequest.VALIDATE, _target(words), "validate")


@downgrade.command(help="Start a downgrade action to cluster")
@click.argument("words", nargs=-1)
@click.pass_context
def enable(context: click.Context, words: tuple[str, ...]) -> None:
    _downgrade(context, rpc_pb2.DowngradeRequest.ENABLE, _target(words), "enable")


@downgrade.command(help="Cancel the ongoing downgrade action to cluster")
@click.argument("words", nargs=-1)
@click.pass_context
def cancel(context: click.Context, words: tuple[str, ...]) -> None:
    del words
    _downgrade(context, rpc_pb2.DowngradeRequest.CANCEL, "", "cancel")


def _target(words: tuple[str, ...]) -> str:
    if not words:
        raise Stop(Exit.BAD_ARGS, "TARGET_VERSION not provided")
    if len(words) > 1:
        raise Stop(Exit.BAD_ARGS, "too many arguments")
    return words[0]


def _downgrade(
    context: click.Context,
    action: rpc_pb2.DowngradeRequest.DowngradeAction.ValueType,
    version: str,
    what: str,
) -> None:
    from kvstore.client import admin_calls

    running = session(context)
    reply = running.exchange(admin_calls.downgrade(action, version))
    if running.settings.write_out == "simple":
        write(f"Downgrade {what} success, cluster version {reply.version}")
    else:
        running.show(reply)
