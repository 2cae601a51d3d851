"""lease grant, revoke, timetolive, list, keep-alive."""

import threading

import click

from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoGroup, session
from kvstore.cli.ctl.go_text import integer
from kvstore.cli.ctl.output.simple_format import lease as shown
from kvstore.cli.ctl.session import write


@click.group(cls=GoGroup, help="Lease related commands")
def lease() -> None:
    """Hold the lease commands."""


@lease.command(help="Creates leases")
@click.argument("words", nargs=-1)
@click.pass_context
def grant(context: click.Context, words: tuple[str, ...]) -> None:
    from kvstore.client import calls

    if len(words) != 1:
        raise Stop(Exit.BAD_ARGS, "lease grant command needs TTL argument")
    try:
        ttl_s = integer(words[0])
    except ValueError as error:
        raise Stop(Exit.BAD_ARGS, f"bad TTL ({error})") from error
    running = session(context)
    try:
        reply = running.exchange(calls.grant(ttl_s, lease_id=0))
    except Stop as stop:
        raise _named("failed to grant lease", stop) from stop
    running.show(reply)


@lease.command(help="Revokes leases")
@click.argument("words", nargs=-1)
@click.pass_context
def revoke(context: click.Context, words: tuple[str, ...]) -> None:
    from kvstore.client import calls

    lease_id = _lease_id(words, "lease revoke command needs 1 argument")
    running = session(context)
    try:
        reply = running.exchange(calls.revoke(lease_id))
    except Stop as stop:
        raise _named("failed to revoke lease", stop) from stop
    if running.settings.write_out == "simple":
        write(f"lease {shown(lease_id)} revoked")
    else:
        running.show(reply)


@lease.command(help="Get lease information")
@click.argument("words", nargs=-1)
@click.option("--keys", is_flag=True, help="Get keys attached to this lease")
@click.pass_context
def timetolive(context: click.Context, words: tuple[str, ...], *, keys: bool) -> None:
    from kvstore.client import calls

    lease_id = _lease_id(words, "lease timetolive command needs lease ID as argument")
    running = session(context)
    running.show(running.exchange(calls.time_to_live(lease_id, keys=keys)))


@lease.command("list", help="List all active leases")
@click.argument("words", nargs=-1)
@click.pass_context
def list_leases(context: click.Context, words: tuple[str, ...]) -> None:
    from kvstore.client import calls

    del words  # etcdctl ignores them
    running = session(context)
    running.show(running.exchange(calls.leases()))


@lease.command("keep-alive", help="Keeps leases alive (renew)")
@click.argument("words", nargs=-1)
@click.option("--once", is_flag=True, help="Renews the lease once and exits")
@click.pass_context
def keep_alive(context: click.Context, words: tuple[str, ...], *, once: bool) -> None:
    from kvstore.client import calls

    lease_id = _lease_id(words, "lease keep-alive command needs lease ID as argument")
    running = session(context)
    with running.client() as client:
        while (reply := client.exchange(calls.keep_alive(lease_id))).TTL > 0:
            running.show(reply)
            if once:
                return
            threading.Event().wait(reply.TTL / 3)
    if once:
        raise Stop(Exit.BAD_CONNECTION, "etcdserver: requested lease not found")
    if running.settings.write_out == "simple":
        write(f"lease {shown(lease_id)} expired or revoked.")


def _lease_id(words: tuple[str, ...], complaint: str) -> int:
    if len(words) != 1:
        raise Stop(Exit.BAD_ARGS, complaint)
    try:
        return integer(words[0], 16)
    except ValueError as error:
        raise Stop(Exit.BAD_ARGS, f"bad lease ID arg ({error}), expecting ID in Hex") from error


def _named(what: str, stop: Stop) -> Stop:
    return Stop(stop.code, f"{what} ({stop.message})")
