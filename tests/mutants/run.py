"""Plant each bug of this folder in a copy of the tree, and report what notices it.

`python -m tests.mutants.run [--tests] [--jobs 2] [--table docs/mutants.md] [name ...]`

A patch that no longer applies is a failure, and so is one that is not noticed by every directed
test that it names, or by no seed of a simulation that it names. `--tests` leaves the simulations
out. Each is given `SEEDS_MAX` seeds at most, and stops at the first that breaks a guarantee.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
SEEDS_MAX = 2000
_PATCHES = Path(__file__).parent
_COPIED = ("kvstore", "tests", "typings", "docs", "pyproject.toml", "README.md")
_FAILED_LINE = re.compile(r"^(?:FAILED|ERROR) ([^ \n]+)", re.MULTILINE)
_BROKEN_LINE = re.compile(r"seed (\d+) breaks ([^:\n]*)")
_RAN_LINE = re.compile(r"failed of (\d+)")

SIMULATIONS = {"engines": "tests.simulation", "members": "tests.simulation.members"}
"""What a patch's `Simulation:` may name, and the module that runs it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug, as its patch's head tells of it."""

    name: str
    patch: Path
    takes_away: str
    tests: tuple[str, ...]
    """Directed tests, each of which must fail."""
    simulation: str
    """The simulation that must notice, too; empty: no history of it can."""

    @classmethod
    def read(cls, patch: Path) -> "Mutant":
        """Read a patch's head."""
        takes_away, *lines = patch.read_text().split("\n\n")[0].splitlines()
        head = dict(line.split(": ", 1) for line in lines)
        unknown = head.keys() - {"Test", "Simulation"}
        assert not unknown, f"{patch.name}: what is {unknown}?"
        simulation = head.get("Simulation", "")
        assert simulation in {"", *SIMULATIONS}, f"{patch.name}: no simulation {simulation}"
        return cls(patch.stem, patch, takes_away, tuple(head.get("Test", "").split()), simulation)


@dataclass(slots=True)
class Verdict:
    """What noticed a mutant."""

    mutant: Mutant
    problem: str = ""
    """Why it counts as not noticed."""
    tests: list[str] = field(default_factory=list)
    guarantee: str = ""
    """What the simulation found broken, if it was asked."""
    seeds: int = 0
    """After how many seeds."""

    @property
    def text(self) -> str:
        """One line about it."""
        if self.problem:
            return f"SURVIVES {self.mutant.name}: {self.problem}"
        noticed = [test.rsplit("::", 1)[-1] for test in self.tests]
        if self.guarantee:
            noticed.append(f"{self.guarantee} after {self.seeds} seeds")
        return f"noticed  {self.mutant.name}: {'; '.join(noticed) or 'nobody was asked'}"


def mutants() -> list[Mutant]:
    """Return all of them, by name."""
    return [Mutant.read(patch) for patch in sorted(_PATCHES.glob("*.patch"))]


@contextmanager
def planted(mutant: Mutant) -> Iterator[Path]:
    """Give a copy of the tree with the bug in it.

    Raises:
        CalledProcessError: the patch does not apply any more.
    """
    with TemporaryDirectory(prefix="kvstore-mutant-") as place:
        copy = Path(place)
        ignored = shutil.ignore_patterns("__pycache__")
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=ignored)
            else:
                shutil.copy(source, copy / name)
        _run(copy, "git", "apply", str(mutant.patch)).check_returncode()
        yield copy


def judge(mutant: Mutant, *, simulates: bool) -> Verdict:
    """Return whether the bug is noticed, and by what."""
    verdict = Verdict(mutant)
    try:
        with planted(mutant) as copy:
            verdict.problem = _ask_tests(verdict, copy)
            if simulates and mutant.simulation and not verdict.problem:
                verdict.problem = _ask_simulation(verdict, copy)
    except subprocess.CalledProcessError as refused:
        verdict.problem = f"no longer applies: {refused.stderr.strip()}"
    return verdict


def _ask_tests(verdict: Verdict, copy: Path) -> str:
    tests = verdict.mutant.tests
    if not tests:
        return ""
    ran = pytest_in(copy, *tests)
    if ran.returncode < 0:  # by a signal: a damaged file is mapped, and may be anything
        verdict.tests += tests
        return ""
    failed = set(_FAILED_LINE.findall(ran.stdout))
    for test in tests:
        # A file, or a test of all its parameters, has noticed if any part of it has.
        if not any(name == test or name.startswith((f"{test}[", f"{test}::")) for name in failed):
            return f"{test} does not notice: {(ran.stdout + ran.stderr)[-300:]}"
        verdict.tests.append(test)
    return ""


def _ask_simulation(verdict: Verdict, copy: Path) -> str:
    module = SIMULATIONS[verdict.mutant.simulation]
    seeds = f"0:{SEEDS_MAX}"
    ran = _run(copy, sys.executable, "-m", module, "--stop", "1", "--seeds", seeds)
    broken, done = _BROKEN_LINE.search(ran.stdout), _RAN_LINE.search(ran.stdout)
    if broken is None or done is None:
        return f"no seed of {module} {seeds} notices: {ran.stderr[-300:]}"
    verdict.guarantee, verdict.seeds = broken[2], int(done[1])
    return ""


def pytest_in(place: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests of the tree at `place`."""
    return _run(
        *(place, sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider"),
        *("--tb", "line", f"--basetemp={place / 'temporary'}", *tests),
    )


def _run(place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


def table(verdicts: list[Verdict]) -> str:
    """Return the document that lists what noticed each mutant."""
    simulated = sum(1 for verdict in verdicts if verdict.guarantee)
    lines = [
        "# Planted bugs",
        "",
        "Generated by `make mutants`: each patch of `tests/mutants` is applied to a copy of the",
        "tree, and everything named here has noticed it there. A *directed test* fails; a",
        "*simulation* (of engines alone, or of whole members) breaks the guarantee named, after so",
        f"many seeds from 0 on, and at most {SEEDS_MAX}. Where no simulation is named, its",
        "histories cannot tell: the bug costs time or space, or needs bytes that no member sends.",
        "",
        f"{len(verdicts)} bugs, {simulated} of them noticed by a simulation.",
        "",
        "| bug | what it takes away | directed tests | simulation |",
        "|---|---|---|---|",
    ]
    for verdict in verdicts:
        mutant = verdict.mutant
        tests = "<br>".join(f"`{test.rsplit('::', 1)[-1]}`" for test in verdict.tests)
        found = ""
        if verdict.guarantee:
            found = f"{mutant.simulation}: `{verdict.guarantee.strip()}` after {verdict.seeds}"
        lines.append(f"| `{mutant.name}` | {mutant.takes_away} | {tests} | {found} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; all without any")
    parser.add_argument("--tests", action="store_true", help="leave the simulations out")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--table", type=Path, help="where to write what was found")
    arguments = parser.parse_args()
    names = tuple(arguments.names)
    chosen = [mutant for mutant in mutants() if not names or mutant.name.startswith(names)]
    tests = sorted({test for mutant in chosen for test in mutant.tests})
    with TemporaryDirectory(prefix="kvstore-mutant-") as place:
        sound = _run(
            *(ROOT, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"--basetemp={place}/temporary", *tests),
        )
    if tests and sound.returncode:
        print(f"without any patch the tests fail: {sound.stdout[-1000:]}")
        return 1
    verdicts: list[Verdict] = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for verdict in pool.map(partial(judge, simulates=not arguments.tests), chosen):
            print(verdict.text, flush=True)
            verdicts.append(verdict)
    survivors = sum(1 for verdict in verdicts if verdict.problem)
    print(f"mutants: {len(verdicts) - survivors} of {len(verdicts)} noticed")
    if arguments.table is not None and not survivors:
        arguments.table.write_text(table(verdicts))
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
