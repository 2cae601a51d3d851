"""`kvstore chaos`: real members under faults, with the checker as the judge."""

import os
from pathlib import Path

import click

from kvstore.check import Verdict
from kvstore.testing.chaos import ChaosPlan, FaultKind, run_chaos
from kvstore.testing.errors import MemberDidNotStart
from kvstore.testing.program import KVSTORED, Program, etcd

EXIT_CODES = {Verdict.HOLDS: 0, Verdict.VIOLATED: 1, Verdict.UNKNOWN: 3}
"""2 is click's own."""


@click.group()
def chaos() -> None:
    """Break a cluster on purpose, and judge what its clients saw."""


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
@click.option(
    "--etcd",
    "etcd_path",
    is_flag=False,
    flag_value="",
    type=str,
    help="Break a real etcd in place of our members: the one at this path, or the one found.",
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
        again = f"kvstore chaos run --seed {seed} --minutes {minutes:g} --members {members}"
        click.echo(f"seed {seed}: {result.verdict.value}; again: {again}")
    context.exit(EXIT_CODES[result.verdict])


def _program(etcd_path: str | None) -> Program:
    if etcd_path is None:
        return KVSTORED
    try:
        return etcd(etcd_path or None)
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from error
