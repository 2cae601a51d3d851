"""kvstorectl, many times over for the price of once: a process that has it loaded, and forks.

Loading takes a third of a second, a command itself some milliseconds. Each command still runs in a
process of its own, with its own standard streams and exit code.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import kvstore.client  # noqa: F401 - what takes long to load
from kvstore.cli.ctl.commands import run

TIMEOUT_S = 60.0


class CtlZygote:
    """Runs command lines of kvstorectl, inside its `with` block."""

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="kvstore-ctl-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ctl_zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=TIMEOUT_S)  # ends at the end of its input
        self._directory.cleanup()

    def run(self, arguments: list[str], stdin: str | None) -> tuple[int, str]:
        """Return the exit code, and standard output followed by standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        files = {name: str(Path(self._directory.name) / name) for name in ("in", "out", "err")}
        Path(files["in"]).write_text(stdin or "")
        request = {"arguments": arguments, **files}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return code, Path(files["out"]).read_text() + Path(files["err"]).read_text()


def _child(request: dict[str, str], arguments: list[str]) -> None:
    """Become the command."""
    for number, name, flags in (
        (0, "in", os.O_RDONLY),
        (1, "out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, "err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        descriptor = os.open(request[name], flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    code = 1
    try:
        code = run(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def main() -> None:
    """Fork for each line of the input."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _child(request, request["arguments"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
