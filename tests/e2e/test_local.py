"""`kvstore local` with real members: what a newcomer does first."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_base_port

BIN = Path(sys.executable).parent

pytestmark = pytest.mark.slow


class Cluster:
    """One directory and its ports, driven by the commands that people type."""

    def __init__(self, directory: Path, *, size: int = 3) -> None:
        self.directory = directory
        self.base_port = free_base_port(size)
        self.size = size

    def up(self) -> None:
        started = self.local(
            "up", "-n", str(self.size), "--base-port", str(self.base_port), "--detach"
        )
        assert started.returncode == 0, started.stdout + started.stderr
        assert started.stdout.splitlines()[-1] == "ready: " + ",".join(self.urls)

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.base_port + 10 * n}" for n in range(self.size)]

    def local(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("kvstore.cli.umbrella", "local", *arguments, "--dir", str(self.directory))

    def control(self, url: str, *arguments: str) -> str:
        done = run("kvstore.cli.control", "--endpoints", url, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster")
    yield cluster
    if cluster.directory.exists():
        cluster.local("stop")


def test_what_is_written_on_one_member_is_read_on_every_other(cluster: Cluster) -> None:
    cluster.up()
    assert cluster.control(cluster.urls[0], "put", "greeting", "hello") == "OK\n"
    for url in cluster.urls:
        assert cluster.control(url, "get", "greeting") == "greeting\nhello\n"


def test_a_cluster_that_was_stopped_starts_again_with_its_data(cluster: Cluster) -> None:
    cluster.up()
    cluster.control(cluster.urls[1], "put", "greeting", "hello")
    stopped = cluster.local("stop")
    assert stopped.returncode == 0
    cluster.up()
    assert cluster.control(cluster.urls[2], "get", "greeting") == "greeting\nhello\n"


def test_members_stop_in_order_when_asked_to(cluster: Cluster) -> None:
    cluster.up()
    assert cluster.local("stop").returncode == 0
    for log in cluster.directory.glob("*.log"):
        text = log.read_text()
        assert "ready to serve client requests" in text
        assert "Traceback" not in text


def test_the_others_go_on_when_a_member_is_killed(cluster: Cluster) -> None:
    cluster.up()
    listed = cluster.local("ls").stdout.splitlines()
    name, pid, state = listed[1].split()[:3]
    assert (name, state) == ("m1", "healthy")
    os.kill(int(pid), signal.SIGKILL)
    endpoints = ",".join(cluster.urls[1:])
    assert cluster.control(endpoints, "--command-timeout", "15s", "put", "a", "1") == "OK\n"
    assert cluster.local("ls").stdout.splitlines()[1].split()[2] == "stopped"


def test_a_single_member_is_a_cluster_too(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "cluster", size=1)
    try:
        cluster.up()
        assert cluster.control(cluster.urls[0], "put", "a", "1") == "OK\n"
    finally:
        cluster.local("stop")


@pytest.mark.skipif(not (BIN / "kvstore").exists(), reason="the project is not installed")
def test_the_console_scripts_are_there() -> None:
    for script in ("kvstore", "kvstored", "kvstorectl"):
        done = subprocess.run(
            [BIN / script, "--help"], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
