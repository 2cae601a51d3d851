"""Run etcd's own black-box suites against the programs of a directory, a process a test.

A test of etcd's that fails may leave goroutines behind, and every later one of its process then
skips itself: so each gets a process of its own. Each also gets a network of its own where that is
allowed (`unshare --net`), because the suites use fixed ports; there several run at once.

What is not run stands in a file, a line a test: its name, a tab, and the reason.
Exit status: 0 all others passed; 1 one failed, or one that is not run is unknown to the suite.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time  # noqa: TID251 - how long a test took
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SUITES = ("common", "e2e")
TEST_TIMEOUT_S = 1200
_VERDICT = re.compile(r"^\s*--- (PASS|FAIL|SKIP): (\S+)", re.MULTILINE)
_IN_A_NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


@dataclass(frozen=True, slots=True)
class Test:
    suite: str
    name: str

    def __str__(self) -> str:
        return f"{self.suite}/{self.name}"


@dataclass(frozen=True, slots=True)
class Result:
    test: Test
    failed: Sequence[str]
    """The innermost tests that failed; the test itself if it did not end."""
    skipped: Sequence[str]
    passed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs one test: where its program, its fixtures and the programs under test are."""

    binaries: Path
    """Of each suite, `<suite>.test`."""
    sources: Path
    """etcd's tests module, for its fixtures."""
    programs: Path
    logs: Path
    not_run: Mapping[str, str]
    has_networks: bool

    def __call__(self, test: Test) -> Result:
        log = self.logs / f"{test.suite}.{test.name}.log"
        parts = [name.split("/", 2)[2] for name in self.not_run if name.startswith(f"{test}/")]
        skip = "|".join(f"^{test.name}$/^{re.escape(part)}$" for part in parts)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="kvs-") as scratch, log.open("wb") as output:
            arguments = (
                *(_IN_A_NETWORK if self.has_networks else ()),
                *(str(self.binaries / f"{test.suite}.test"), "-test.v"),
                *(f"-test.run=^{test.name}$", f"-test.skip={skip}"),
                *(f"-test.timeout={TEST_TIMEOUT_S}s", f"-bin-dir={self.programs}"),
            )
            subprocess.run(
                arguments,
                check=False,
                cwd=self.sources / test.suite,
                env={**os.environ, "TMPDIR": scratch},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return _read(test, log.read_text(errors="replace"), time.monotonic() - started)


def _read(test: Test, log: str, seconds: float) -> Result:
    """Return what a log says."""
    said = {name: verdict for verdict, name in _VERDICT.findall(log)}
    failed = [name for name, verdict in said.items() if verdict == "FAIL"]
    inner = [one for one in failed if not any(other.startswith(f"{one}/") for other in failed)]
    if test.name not in said:
        inner.append(f"{test.name} (did not end)")
    return Result(
        test,
        failed=inner,
        skipped=[name for name, verdict in said.items() if verdict == "SKIP"],
        passed=sum(verdict == "PASS" for verdict in said.values()),
        seconds=seconds,
    )


def _not_run(file: Path) -> dict[str, str]:
    lines = (line for line in file.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("\t", 1) for line in lines)


def _listed(runner: Runner, suite: str) -> Iterator[Test]:
    found = subprocess.run(
        [runner.binaries / f"{suite}.test", "-test.list=."],
        check=True,
        cwd=runner.sources / suite,
        capture_output=True,
        text=True,
    )
    names = (line for line in found.stdout.splitlines() if line.startswith("Test"))
    return (Test(suite, name) for name in names)


def _can_unshare() -> bool:
    try:
        return subprocess.run([*_IN_A_NETWORK, "true"], check=False).returncode == 0
    except OSError:
        return False


def _say(result: Result) -> None:
    word = "FAILED" if result.failed else "passed" if result.passed else "skipped itself"
    print(f"{word} {result.test} ({result.seconds:.0f} s)", flush=True)
    for name in result.failed:
        print(f"    failed: {name}", flush=True)


def main() -> int:
    """Run the suites; print each test's verdict, then what they came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("binaries", "sources", "programs", "logs", "not-run"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("only", nargs="?", default="", help="a pattern of suite/Test")
    given = parser.parse_args()
    not_run = _not_run(given.not_run)
    has_networks = _can_unshare()
    given.logs.mkdir(parents=True, exist_ok=True)
    runner = Runner(
        binaries=given.binaries.resolve(),
        sources=given.sources.resolve(),
        programs=given.programs.resolve(),
        logs=given.logs.resolve(),
        not_run=not_run,
        has_networks=has_networks,
    )
    tests = [test for suite in SUITES for test in _listed(runner, suite)]
    known = {str(test) for test in tests}
    gone = [name for name in not_run if "/".join(name.split("/")[:2]) not in known]
    wanted = [t for t in tests if str(t) not in not_run and re.search(given.only, str(t))]
    results: list[Result] = []
    with ThreadPoolExecutor(given.jobs if has_networks else 1) as pool:
        for result in pool.map(runner, wanted):
            _say(result)
            results.append(result)
    failed = [result for result in results if result.failed]
    passed = sum(result.passed for result in results)
    print(f"{len(wanted)} tests, {passed} with their parts passed, {len(failed)} failed")
    print(f"not run: {len(not_run)}, each with its reason in {given.not_run}")
    for name in gone:
        print(f"no such test: {name}")
    return int(bool(failed or gone))


if __name__ == "__main__":
    sys.exit(main())
