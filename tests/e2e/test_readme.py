"""Every example of README.md runs as it stands, on other ports and in another directory."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_base_port
from tests.support.readme import Block, blocks

BIN = Path(sys.executable).parent

pytestmark = [
    pytest.mark.slow,
    pytest.mark.etcd,  # one example uses etcdctl
    pytest.mark.skipif(not (BIN / "kvstorectl").exists(), reason="the project is not installed"),
    pytest.mark.skipif(not (BIN / "etcdctl").exists(), reason="there is no etcdctl"),
]


@contextmanager
def cluster(directory: Path, base_port: int) -> Iterator[None]:
    """Do what `make cluster` does, in `directory`; end it with Ctrl-C."""
    command = [str(BIN / "kvstore"), "local", "up", "-n", "3", "--base-port", str(base_port)]
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = next((line for line in process.stdout if line.startswith("ready: ")), "")
            assert ready == on_ports(
                "ready: http://127.0.0.1:2379,http://127.0.0.1:2389,http://127.0.0.1:2399\n",
                base_port,
            )
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        assert process.returncode == 0


def on_ports(text: str, base_port: int) -> str:
    """Return `text` with the ports of README.md replaced by those of the test."""
    for number in range(3):
        text = text.replace(str(2379 + 10 * number), str(base_port + 10 * number))
    return text


def script(examples: list[Block], base_port: int) -> str:
    """Return all shell examples after `make cluster` as one script: a reader uses one terminal."""
    shell = [block.text for block in examples if block.language == "sh"]
    assert shell[0] == "make cluster\n"
    text = on_ports("".join(["set -eux\n", *shell[1:]]), base_port)
    # The default endpoint is not where this cluster is.
    return re.sub(
        r"kvstorectl (?!--endpoints)", f"kvstorectl --endpoints 127.0.0.1:{base_port} ", text
    )


def test_the_examples_of_the_readme_run(tmp_path: Path) -> None:
    base_port = free_base_port()
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    with cluster(tmp_path, base_port):
        shell = subprocess.run(
            ["bash", "-c", script(blocks(), base_port)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert shell.returncode == 0, shell.stdout + shell.stderr
        assert "greeting\nhello\n" in shell.stdout
        assert '{"health":"true","reason":""}' in shell.stdout
        assert "hello from etcdctl" in shell.stdout
        printed = "".join(
            python(on_ports(block.text, base_port), tmp_path)
            for block in blocks()
            if block.language == "python"
        )
        assert "taken: True\njobs/1 is waiting\njobs/1 is taken\n" in printed
        assert "watched: python\n" in printed


def python(program: str, directory: Path) -> str:
    """Run a program; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
