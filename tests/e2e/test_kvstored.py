"""`kvstored` as init systems and etcd's own test harness see it: lines, signals, exit codes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_base_port

READY = "ready to serve client requests"

pytestmark = pytest.mark.slow


def flags(directory: Path, base_port: int) -> list[str]:
    client, peer = (f"http://127.0.0.1:{base_port + offset}" for offset in (0, 1))
    return [
        f"--data-dir={directory}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    ]


def start(arguments: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "kvstore.cli.server", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def ready(
    arguments: list[str], environment: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    with start(arguments, {**os.environ, **(environment or {})}) as process:
        try:
            assert process.stderr is not None
            assert any(READY in line for line in process.stderr), "it ended before it was ready"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_member_stops_in_order_at_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with ready(flags(tmp_path / "data", free_base_port(1))) as process:
        process.send_signal(number)
        _, rest = process.communicate(timeout=30)
        assert process.returncode == 0
    assert "Traceback" not in rest


def test_every_line_of_the_log_is_a_json_object(tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = flags(tmp_path / "data", free_base_port(1))
    with start([*arguments, f"--log-outputs=stderr,{log}"], dict(os.environ)) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if READY in line)
        process.terminate()
        process.communicate(timeout=30)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"level", "ts", "caller", "msg"} <= set.intersection(*map(set, lines))


def test_variables_configure_a_member_as_flags_do(tmp_path: Path) -> None:
    arguments = flags(tmp_path / "data", free_base_port(1))
    environment = {
        "ETCD_" + name.removeprefix("--").replace("-", "_").upper(): value
        for name, _, value in (argument.partition("=") for argument in arguments)
    }
    with ready([], environment):
        assert (tmp_path / "data").is_dir()


def test_a_port_that_is_taken_ends_a_member_with_1_and_the_address(tmp_path: Path) -> None:
    base_port = free_base_port(1)
    with socket.create_server(("127.0.0.1", base_port)):
        process = start(flags(tmp_path / "data", base_port), dict(os.environ))
        _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert str(base_port) in error
    assert "address already in use" in error


def test_a_data_directory_is_not_shared(tmp_path: Path) -> None:
    arguments = flags(tmp_path / "data", free_base_port(1))
    with ready(arguments):
        second = start(arguments, dict(os.environ))
        _, error = second.communicate(timeout=30)
    assert second.returncode == 1
    assert f"{tmp_path / 'data'}" in error
    assert "is open in another process" in error
