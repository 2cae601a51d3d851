"""A run in README: its table between two marks, and its picture beside the documents."""

from pathlib import Path

from bench.results import OURS, REFERENCE, Results
from bench.workload import load_workloads

BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
PICTURE = Path("docs", "benchmark.svg")


def publish(results: Results, picture: str, root: Path) -> list[Path]:
    """Write both; return where they are.

    Raises:
        ValueError: README has no place for the table.
    """
    readme, image = root / "README.md", root / PICTURE
    text = readme.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme} has no {BEGIN} and {END}")
    table = markdown(results)
    readme.write_text(f"{before}{BEGIN}\n{table}\n![{_TITLE}]({PICTURE})\n{END}{after}")
    image.write_text(picture)
    return [readme, image]


_TITLE = "Rates and latencies beside etcd's"


def markdown(results: Results) -> str:
    """The table: a row a cell, medians of both and their ratios."""
    goals = {name: workload.goals for name, workload in load_workloads().items()}
    lines = [
        f"Commit {results.commit}; {results.machine}.",
        "",
        "| workload | in flight | etcd/s | kvstore/s | ratio | goal | p99 ms | CPU µs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in results.cells:
        theirs, ours = results.of(cell, REFERENCE), results.of(cell, OURS)
        goal = goals.get(cell[0], {}).get(cell[1])
        lines.append(
            f"| {cell[0]} | {cell[1]} | {theirs['rate']:,.0f} | {ours['rate']:,.0f}"
            f" | **{results.ratio(cell):.2f}x** | {f'{goal:g}x' if goal else ''}"
            f" | {theirs['p99_ms']:.2f} → {ours['p99_ms']:.2f}"
            f" | {theirs['server_cpu_us']:,.0f} → {ours['server_cpu_us']:,.0f} |"
        )
    return "\n".join(lines) + "\n"
