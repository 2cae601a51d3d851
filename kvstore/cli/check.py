"""`kvstore check`: judge a recorded history, and draw it."""

from pathlib import Path

import click

from kvstore.base.clock import SystemClock
from kvstore.check import CHECKS, Budget, MalformedHistory, Verdict, read_history, timeline
from kvstore.check import check as judge
from kvstore.check.history import History
from kvstore.check.jepsen import read_jepsen

EXIT_CODES = {Verdict.HOLDS: 0, Verdict.VIOLATED: 1, Verdict.UNKNOWN: 3}
"""2 is click's own, for a command line or a file that cannot be read."""


@click.command(
    epilog="Exit codes: 0 it holds, 1 violated, 2 unreadable, 3 not decided. "
    "Example: `kvstore check history.jsonl --html out.html`"
)
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Choice(sorted(CHECKS)),
    help="Make only this check; may be repeated. Default: what the operations call for.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the timeline here: one page that needs nothing else.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Give up a search after this long, and say so.",
)
@click.pass_context
def check(
    context: click.Context,
    path: Path,
    models: tuple[str, ...],
    html: Path | None,
    seconds: float,
) -> None:
    """Judge the history in PATH: JSON lines, or a Jepsen history if it ends in .edn."""
    budget = Budget(steps=1 << 62, seconds=seconds, clock=SystemClock())
    try:
        report = judge(_read(path), models=models, budget=budget)
    except (MalformedHistory, UnicodeDecodeError) as problem:
        raise click.UsageError(f"{path}: {problem}") from problem
    click.echo(report.text, nl=False)
    if html is not None:
        html.write_text(timeline(report), encoding="utf-8")
        click.echo(f"timeline: {html}")
    context.exit(EXIT_CODES[report.verdict])


def _read(path: Path) -> History:
    if path.suffix == ".edn":
        return read_jepsen(path.read_text(encoding="utf-8"))
    with path.open(encoding="utf-8") as lines:
        return read_history(lines)
