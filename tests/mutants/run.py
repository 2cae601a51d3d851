"""Apply each patch to a copy of the tree, and report what notices the planted bug.

`python -m tests.mutants.run [--seeds] [name ...]`. A patch that no longer applies is a failure, as
is one that nothing notices. With `--seeds` the simulation has to notice as well, where the patch
says that it can.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PATCHES = Path(__file__).parent
_COPIED = ("kvstore", "tests", "typings", "pyproject.toml")
_TEST_FAILED = 1


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug."""

    name: str
    patch: Path
    takes_away: str
    test: str
    seeds: str
    members: str

    @classmethod
    def read(cls, patch: Path) -> "Mutant":
        """Read a patch's head."""
        takes_away, *lines = patch.read_text().split("\n\n")[0].splitlines()
        head = dict(line.split(": ", 1) for line in lines)
        return cls(
            patch.stem,
            patch,
            takes_away,
            head.get("Test", ""),
            head.get("Seeds", ""),
            head.get("Members", ""),
        )


def mutants() -> list[Mutant]:
    """Return all of them, by name."""
    return [Mutant.read(patch) for patch in sorted(_PATCHES.glob("*.patch"))]


def judge(mutant: Mutant, *, with_seeds: bool) -> tuple[bool, str]:
    """Return whether the bug is noticed, and by what."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place)
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, copy / name, ignore=ignored)
            else:
                shutil.copy(source, copy / name)
        applied = _run(copy, "git", "apply", str(mutant.patch))
        if applied.returncode:
            return False, f"no longer applies: {applied.stderr.strip()}"
        notices = []
        if mutant.test:
            tested = _run(
                *(copy, sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
                mutant.test,
            )
            if tested.returncode != _TEST_FAILED:
                return False, f"{mutant.test} does not notice: {tested.stdout[-300:]}"
            notices.append(mutant.test.rsplit("::", 1)[-1])
        for module, seeds in (
            ("tests.simulation", mutant.seeds),
            ("tests.simulation.members", mutant.members),
        ):
            if not with_seeds or not seeds:
                continue
            simulated = _run(*(copy, sys.executable, "-m", module, "--stop", "1", "--seeds", seeds))
            broken = re.search(r"seed (\d+) breaks ([^:]*)", simulated.stdout)
            ran = re.search(r"failed of (\d+)", simulated.stdout)
            if broken is None or ran is None:
                return False, f"no seed of {module} {seeds} notices: {simulated.stderr[-300:]}"
            notices.append(f"{broken[2]} by seed {broken[1]}, after {ran[1]} seeds")
        if not notices:
            return True, "nobody was asked: run with --seeds"
        return True, "; ".join(notices)


def _run(place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; all without any")
    parser.add_argument("--seeds", action="store_true", help="let the simulation notice, too")
    arguments = parser.parse_args()
    survivors = 0
    chosen = [
        mutant
        for mutant in mutants()
        if not arguments.names or mutant.name.startswith(tuple(arguments.names))
    ]
    tests = {each.test for each in chosen if each.test}
    sound = _run(ROOT, sys.executable, "-m", "pytest", "-q", *sorted(tests)) if tests else None
    if sound is not None and sound.returncode:
        print(f"without any patch the tests fail: {sound.stdout[-1000:]}")
        return 1
    for mutant in chosen:
        is_noticed, by_what = judge(mutant, with_seeds=arguments.seeds)
        survivors += not is_noticed
        print(f"{'noticed ' if is_noticed else 'SURVIVES'} {mutant.name}: {by_what}", flush=True)
    print(f"mutants: {len(chosen) - survivors} of {len(chosen)} noticed")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
