"""`kvstore local` from outside, with programs that only look like members."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from kvstore.cli.local_process import LocalCluster, is_healthy
from kvstore.cli.local_topology import Topology
from tests.support.ports import free_base_port

ROOT = Path(__file__).resolve().parents[2]
FAKE_MEMBER = (sys.executable, str(ROOT / "tests" / "support" / "fake_member.py"))
UP = """
import sys
from pathlib import Path
from kvstore.cli.local_topology import Topology
from kvstore.cli.local_up import up
import click

directory, base_port, size, detach, *command = sys.argv[1:]
topology = Topology(directory=Path(directory), base_port=int(base_port), size=int(size))
try:
    sys.exit(up(topology, is_detached=detach == "True", command=command))
except click.ClickException as error:
    error.show()
    sys.exit(error.exit_code)
"""
SUB_COMMAND = "from kvstore.cli.umbrella import main; main()"

pytestmark = pytest.mark.slow


def kvstore(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the umbrella command to its end."""
    command = [sys.executable, "-c", SUB_COMMAND, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def start_up(
    directory: Path,
    base_port: int,
    *,
    size: int = 2,
    is_detached: bool = False,
    environment: Mapping[str, str] | None = None,
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            UP,
            *map(str, (directory, base_port, size, is_detached)),
            *FAKE_MEMBER,
        ],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(
    directory: Path, base_port: int, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Hold a cluster of two in the foreground; it is ready, and is stopped at the end."""
    with start_up(directory, base_port, environment=environment) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("ready: "):
                    break
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=30)


def members(directory: Path) -> list[dict[str, object]]:
    listed = json.loads(kvstore("local", "ls", "--json", "--dir", str(directory)).stdout)
    assert isinstance(listed, list)
    return listed


def states(directory: Path) -> list[object]:
    return [member["state"] for member in members(directory)]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "cluster"
    yield path
    if path.exists():
        kvstore("local", "stop", "--dir", str(path))


def test_up_says_ready_with_every_url_once_every_member_answers(directory: Path) -> None:
    base_port = free_base_port()
    with start_up(directory, base_port) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("ready: "):
                break
        assert states(directory) == ["healthy", "healthy"]
        process.terminate()
        process.communicate(timeout=30)
    urls = f"http://127.0.0.1:{base_port},http://127.0.0.1:{base_port + 10}"
    assert lines[-1] == f"ready: {urls}\n"
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_stops_every_member_in_order(directory: Path, number: signal.Signals) -> None:
    with running(directory, free_base_port()) as process:
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert states(directory) == ["stopped", "stopped"]
    assert "stopping in order" in (directory / "m1.log").read_text()


def test_the_second_up_starts_the_same_cluster_again(directory: Path) -> None:
    base_port = free_base_port()
    for _ in range(2):
        with running(directory, base_port):
            pass
    assert (directory / "m1.data" / "starts").read_text() == "started\nstarted\n"


def test_another_cluster_is_not_started_on_the_same_directory(directory: Path) -> None:
    with running(directory, free_base_port()):
        pass
    refused = kvstore("local", "up", "-n", "5", "--dir", str(directory))
    assert refused.returncode == 1
    assert "holds a cluster of 2" in refused.stderr


def test_a_running_cluster_is_not_started_twice(directory: Path) -> None:
    base_port = free_base_port()
    with running(directory, base_port), start_up(directory, base_port) as second:
        _, error = second.communicate(timeout=30)
        assert second.returncode == 1
        assert "already running" in error
        assert states(directory) == ["healthy", "healthy"]


def test_stop_ends_a_cluster_held_in_another_foreground(directory: Path) -> None:
    with running(directory, free_base_port()) as process:
        stopped = kvstore("local", "stop", "--dir", str(directory))
        assert stopped.stdout == "stopped: m1, m2\n"
        assert process.wait(timeout=30) == 0
    assert kvstore("local", "stop", "--dir", str(directory)).stdout == "nothing is running\n"


def test_detached_members_outlive_the_command_and_are_stopped_by_stop(directory: Path) -> None:
    with start_up(directory, free_base_port(), is_detached=True) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.splitlines()[-1].startswith("ready: ")
    assert states(directory) == ["healthy", "healthy"]
    assert kvstore("local", "stop", "--dir", str(directory)).returncode == 0
    assert states(directory) == ["stopped", "stopped"]


def test_members_whose_launcher_was_killed_are_still_known(directory: Path) -> None:
    with running(directory, free_base_port()) as process:
        process.kill()
        process.wait()
        assert states(directory) == ["healthy", "healthy"]
        assert kvstore("local", "stop", "--dir", str(directory)).stdout == "stopped: m1, m2\n"
    assert states(directory) == ["stopped", "stopped"]


def test_a_member_that_dies_is_shown_and_the_others_go_on(directory: Path) -> None:
    with running(directory, free_base_port()) as process:
        pid = members(directory)[0]["pid"]
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        assert process.stdout is not None
        shown = next(line for line in process.stdout if line.startswith("m1: exited"))
        assert "exited with code -9" in shown
        assert str(directory / "m1.log") in shown
        assert states(directory) == ["stopped", "healthy"]


def test_up_ends_with_1_when_every_member_died(directory: Path) -> None:
    with running(directory, free_base_port()) as process:
        for member in members(directory):
            assert isinstance(member["pid"], int)
            os.kill(member["pid"], signal.SIGKILL)
        assert process.wait(timeout=30) == 1


def test_a_member_that_dies_at_its_start_ends_all_and_its_log_is_shown(directory: Path) -> None:
    with start_up(directory, free_base_port(), environment={"FAKE_MEMBER": "dies"}) as process:
        _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "exited with code 3 before it was ready" in error
    assert "fake member m" in error
    assert states(directory) == ["stopped", "stopped"]


def test_a_stop_signal_ends_the_waiting_too(directory: Path) -> None:
    with start_up(directory, free_base_port(), environment={"FAKE_MEMBER": "deaf"}) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("m1: starting")
        process.terminate()
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "ready" not in output


def test_a_member_that_ignores_the_stop_signal_is_killed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_MEMBER", "stubborn")
    topology = Topology(directory=directory, base_port=free_base_port(), size=1)
    cluster = LocalCluster(topology, command=FAKE_MEMBER)
    cluster.start()
    (member,) = topology.members
    while not is_healthy(member):
        assert cluster.is_running
    cluster.stop(timeout_s=0.2)
    assert cluster.exit_code(member) == -signal.SIGKILL


def test_variables_meant_for_another_etcd_do_not_reach_the_members(directory: Path) -> None:
    with running(directory, free_base_port(), {"ETCD_NAME": "elsewhere"}):
        assert "fake member m1 unset" in (directory / "m1.log").read_text()


def test_a_port_taken_names_its_owner_and_suggests_others(directory: Path, tmp_path: Path) -> None:
    base_port = free_base_port()
    with running(directory, base_port):
        refused = kvstore(
            "local", "up", "--dir", str(tmp_path / "other"), "--base-port", str(base_port)
        )
    assert refused.returncode == 1
    assert f"port {base_port} is taken by pid " in refused.stderr
    assert "fake_member.py" in refused.stderr
    assert "--base-port" in refused.stderr


def test_logs_are_those_of_all_members_or_of_one(directory: Path) -> None:
    with running(directory, free_base_port()):
        both = kvstore("local", "logs", "--dir", str(directory)).stdout
        one = kvstore("local", "logs", "m2", "--dir", str(directory)).stdout
    assert both == "m1: fake member m1 unset\nm2: fake member m2 unset\n"
    assert one == "fake member m2 unset\n"
    missing = kvstore("local", "logs", "m9", "--dir", str(directory))
    assert missing.returncode == 1
    assert "there are m1, m2" in missing.stderr


def test_rm_refuses_a_running_cluster_and_leaves_what_is_not_its_own(directory: Path) -> None:
    with running(directory, free_base_port()):
        refused = kvstore("local", "rm", "--yes", "--dir", str(directory))
        assert refused.returncode == 1
        assert "m1, m2 still run" in refused.stderr
    (directory / "notes.txt").write_text("mine")
    assert kvstore("local", "rm", "--dir", str(directory)).returncode == 1, "nobody said yes"
    assert (directory / "m1.data").exists()
    assert kvstore("local", "rm", "--yes", "--dir", str(directory)).returncode == 0
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]


def test_without_a_cluster_the_next_step_is_named(tmp_path: Path) -> None:
    for command in ("stop", "ls", "logs", "rm"):
        refused = kvstore("local", command, "--dir", str(tmp_path))
        assert refused.returncode == 1
        assert "`kvstore local up` starts one" in refused.stderr
