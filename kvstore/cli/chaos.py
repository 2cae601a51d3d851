"""`kvstore chaos`: real members under faults, with the checker as the judge."""

import os
import signal
import sys
from pathlib import Path

import click

from kvstore.check import Verdict
from kvstore.testing import Cluster, FaultUnavailable, MemberDidNotStart
from kvstore.testing.chaos import ChaosPlan, FaultKind, run_chaos
from kvstore.testing.chaos.console import CommandRefused, Console
from kvstore.testing.program import KVSTORED, Program, etcd

EXIT_CODES = {Verdict.HOLDS: 0, Verdict.VIOLATED: 1, Verdict.UNKNOWN: 3}
"""2 is click's own."""

_etcd_option = click.option(
    "--etcd",
    "etcd_path",
    is_flag=False,
    flag_value="",
    type=str,
    help="Break a real etcd in place of our members: the one at this path, or the one found.",
)


@click.group()
def chaos() -> None:
    """Break a cluster on purpose, and judge what its clients saw."""
    # Ended by its default, SIGTERM would leave the members behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


@chaos.command(
    epilog="Exit codes: 0 it holds, 1 violated, 2 bad usage, 3 not decided. "
    "Examples: `kvstore chaos run --minutes 10`, `kvstore chaos run --seed 7 --etcd`"
)
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True
)
@click.option("--seed", type=int, help="Draw faults and requests from it; default: a new one.")
@click.option("--members", type=click.IntRange(1, 9), default=3, show_default=True)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    type=click.Choice([kind.value for kind in FaultKind]),
    help="Only this one; may be repeated. Default: all that this machine can.",
)
@_etcd_option
@click.option(
    "--progress/--no-progress",
    "asks_progress",
    default=True,
    help="Whether watches ask for progress; etcd 3.5.1 answers too early (etcd-io/etcd#15220).",
)
@click.option(
    "--out",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write history and timeline here; default: .kvstore/chaos/SEED.",
)
@click.pass_context
def run(  # noqa: PLR0913, PLR0917 - one for each option
    context: click.Context,
    minutes: float,
    seed: int | None,
    members: int,
    faults: tuple[str, ...],
    etcd_path: str | None,
    directory: Path | None,
    *,
    asks_progress: bool,
) -> None:
    """Start a cluster of its own, break it for a while, and judge its history."""
    if seed is None:
        seed = int.from_bytes(os.urandom(4))
    program = _program(etcd_path)
    plan = ChaosPlan(
        seed=seed,
        duration_s=60 * minutes,
        members=members,
        program=program,
        kinds=[FaultKind(name) for name in faults] or list(FaultKind),
        asks_progress=asks_progress,
        directory=directory or Path(".kvstore") / "chaos" / str(seed),
    )
    click.echo(f"chaos: seed {seed}, {members} members of {program.name}, {minutes:g} minutes")
    try:
        result = run_chaos(plan, click.echo)
    except MemberDidNotStart as error:
        raise click.ClickException(str(error)) from error
    click.echo(", ".join(f"{name} {count}" for name, count in result.counts.items()))
    click.echo(result.report.text, nl=False)
    for problem in result.problems:
        click.echo(f"violated  {problem}")
    click.echo(f"history: {result.history_file}")
    click.echo(f"timeline: {result.timeline_file}")
    if result.verdict is Verdict.HOLDS:
        click.echo(f"seed {seed}: ok")
    else:
        options = [f"--seed {seed} --minutes {minutes:g} --members {members}"]
        options += [f"--fault {name}" for name in faults]
        options += ["--etcd"] if program is not KVSTORED else []
        again = f"kvstore chaos run {' '.join(options)}"
        click.echo(f"seed {seed}: {result.verdict.value}; again: {again}")
    context.exit(EXIT_CODES[result.verdict])


@chaos.command(
    epilog="Examples: `kvstore chaos shell`, `kvstore chaos shell -n 5 --etcd < script`; "
    "`help` lists the commands"
)
@click.option("-n", "members", type=click.IntRange(1, 9), default=3, show_default=True)
@_etcd_option
@click.option("--disk-mib", type=click.IntRange(min=64), help="Small disks, for `full-disk`.")
@click.option("--own-clocks", is_flag=True, help="Clocks of their own, for `skew`.")
def shell(members: int, etcd_path: str | None, disk_mib: int | None, *, own_clocks: bool) -> None:
    """Start a cluster and break it by commands from the standard input, one a line.

    Prints `ready: URL,URL,...` when every member answers; the cluster ends with the input.
    """
    try:
        cluster = Cluster(
            members, program=_program(etcd_path), disk_mib=disk_mib, own_clocks=own_clocks
        )
    except FaultUnavailable as why:
        raise click.ClickException(str(why)) from why
    try:
        cluster.start()
        urls = ",".join(f"http://{endpoint}" for endpoint in cluster.endpoints)
        click.echo(f"ready: {urls}")
        _obey_input(Console(cluster, click.echo))
    except MemberDidNotStart as error:
        raise click.ClickException(str(error)) from error
    finally:
        cluster.close()


def _obey_input(console: Console) -> None:
    """Do what the lines say. In a script the first mistake ends it; at a terminal, it is told."""
    is_terminal = sys.stdin.isatty()
    while True:
        if is_terminal:
            click.echo("chaos> ", nl=False)
        line = sys.stdin.readline()
        try:
            if not line or not console.obey(line):
                return
        except CommandRefused as refusal:
            if not is_terminal:
                raise click.ClickException(f"{line.strip()}: {refusal}") from refusal
            click.echo(str(refusal), err=True)


def _program(etcd_path: str | None) -> Program:
    if etcd_path is None:
        return KVSTORED
    try:
        return etcd(etcd_path or None)
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from error
