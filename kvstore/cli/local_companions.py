"""Programs that run beside the members of a local cluster, from other distributions.

They are found by the entry-point group `kvstore.companions`: a function from a `Place` to a `Plan`.
Which ones a cluster has is remembered beside its state, so that the next `up` starts the same.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path

import click

GROUP = "kvstore.companions"
STATE_FILE = "companions.json"
READY = "ready: "
"""How the line begins by which a companion says that it serves."""
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The cluster that a companion is for."""

    directory: Path
    base_port: int
    profile: Mapping[str, str]
    """How clients find the members and who they are: `endpoints`, and with TLS `cacert`, ..."""
    argument: str = ""
    """What stands behind the companion's name: `2` for `kube-nodes:2`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one companion is started, and what people are told when it serves."""

    name: str
    command: tuple[str, ...]
    log_file: Path
    announcement: tuple[str, ...] = ()


Planner = Callable[[Place], Plan]


def planner(name: str) -> Planner:
    """Return what plans a companion.

    Raises:
        click.ClickException: nothing that is installed brings it.
    """
    name = name.partition(":")[0]
    for entry_point in entry_points(group=GROUP, name=name):
        try:
            found = entry_point.load()
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"{name} needs {error.name}: pip install 'kvstore-raft[{name}]'"
            ) from error
        if callable(found):
            return found  # type: ignore[no-any-return]  # what the group is for
    raise click.ClickException(f"nothing that is installed brings {name}")


def remembered(directory: Path) -> tuple[str, ...]:
    """Return the names of the companions that a cluster has."""
    return tuple(_state(directory))


def running(directory: Path) -> dict[str, int]:
    """Return the pids of the companions that run, by name."""
    return {
        name: pid
        for name, pid in _state(directory).items()
        if pid and str(directory) in _command_line(pid)
    }


def stop(directory: Path) -> list[str]:
    """Stop the companions of a cluster whose launcher has gone; return their names."""
    pids = running(directory)
    for pid in reversed(pids.values()):  # the later ones need the earlier ones
        _end(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while str(directory) in _command_line(pid):
            if time.monotonic() > deadline:
                _end(pid, signal.SIGKILL)
            time.sleep(_POLL_S)
    _remember(directory, dict.fromkeys(_state(directory), 0))
    return list(pids)


@contextmanager
def started(place: Place, names: Sequence[str], *, is_left: bool) -> Iterator[list[str]]:
    """Run companions inside the block, or (`is_left`) leave them when it ends without an error.

    Yields what people should read.

    Raises:
        click.ClickException: one cannot be planned, or ended before it served; none is left.
    """
    plans = [planner(name)(replace(place, argument=name.partition(":")[2])) for name in names]
    processes: dict[str, subprocess.Popen[bytes]] = {}
    is_well = False
    try:
        for plan in plans:
            processes[plan.name] = _start(plan)
            _remember(
                place.directory,
                {
                    one.name: processes[one.name].pid if one.name in processes else 0
                    for one in plans
                },
            )
            _wait_until_ready(plan, processes[plan.name])
        yield [line for plan in plans for line in plan.announcement]
        is_well = True
    finally:
        if not (is_left and is_well):
            for process in reversed(processes.values()):  # the later ones need the earlier ones
                process.terminate()
                process.wait(STOP_TIMEOUT_S)
            if plans:
                _remember(place.directory, dict.fromkeys(processes, 0))


def _start(plan: Plan) -> subprocess.Popen[bytes]:
    with plan.log_file.open("wb") as log:
        return subprocess.Popen(
            plan.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the launcher, which stops them in order
        )


def _wait_until_ready(plan: Plan, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        lines = plan.log_file.read_text(errors="replace").splitlines()
        if any(line.startswith(READY) for line in lines):
            return
        if process.poll() is not None:
            end = "\n".join(f"  {line}" for line in lines[-10:])
            raise click.ClickException(
                f"{plan.name} ended with code {process.returncode}; {plan.log_file}:\n{end}"
            )
        time.sleep(_POLL_S)
    raise click.ClickException(f"{plan.name} was not ready in time; see {plan.log_file}")


def _state(directory: Path) -> dict[str, int]:
    try:
        found = json.loads((directory / STATE_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(name): int(pid) for name, pid in found.items()} if isinstance(found, dict) else {}


def _remember(directory: Path, pids: dict[str, int]) -> None:
    fresh = directory / f"{STATE_FILE}.new"
    fresh.write_text(json.dumps(pids) + "\n")
    fresh.replace(directory / STATE_FILE)


def _end(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _command_line(pid: int) -> str:
    listed = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],
        check=False,
        capture_output=True,
        text=True,
    )
    return listed.stdout
