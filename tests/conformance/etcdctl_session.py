"""A script of `etcdctl_script` run by a program that takes etcdctl's command line."""

import re
import signal
import subprocess
import threading
from collections.abc import Sequence

from tests.conformance.etcdctl_script import Step, masked
from tests.support.ctl_zygote import CtlZygote

COMMAND_TIMEOUT_S = 20
LEASE = re.compile(r"^lease ([0-9a-f]{8,16}) granted")


def transcript(
    command: Sequence[str],
    endpoint: str,
    script: Sequence[Step],
    zygote: CtlZygote | None = None,
) -> list[tuple[str, int, str]]:
    """Every command of the script with its exit code and its masked output.

    `zygote` runs what ends by itself, in place of `command`, which is kvstorectl.
    """
    lease = "0"
    lines = []
    for step in script:
        words = ["--endpoints", endpoint]
        words += [word.replace("{lease}", lease) for word in step.words]
        if zygote is not None and step.lines is None:
            code, output = zygote.run(words, step.stdin)
        else:
            code, output = run(step, [*command, *words])
        if found := LEASE.match(output):
            lease = found[1]
        lines.append((" ".join(step.words), code, masked(step, output)))
    return lines


def run(step: Step, words: list[str]) -> tuple[int, str]:
    """The exit code, and standard output followed by standard error."""
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
        words,
        stdin=subprocess.DEVNULL if step.stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        killer = threading.Timer(COMMAND_TIMEOUT_S, process.kill)
        killer.start()
        if process.stdin is not None and step.stdin is not None:
            process.stdin.write(step.stdin)
            process.stdin.flush()
        lines = [line for _, line in zip(range(step.lines), process.stdout, strict=False)]
        killer.cancel()
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return 0, "".join(lines)
