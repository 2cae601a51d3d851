"""Keeps a set of processes running: what dies is started again, what was started is ended."""

import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_POLL_S = 0.1
_BACKOFF_FIRST_S = 1.0
_BACKOFF_MAX_S = 10.0
_STEADY_AFTER_S = 30.0
_STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Program:
    """One process to be kept running."""

    name: str
    command: tuple[str, ...]
    log_file: Path


@dataclass(slots=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    due: float = 0.0
    failures: int = field(default=0)


class Supervisor:
    """Starts programs in their order, and ends them in the other."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._children = [_Child(program) for program in programs]

    def run(self, stopping: threading.Event) -> None:
        """Keep everything running until `stopping` is set; then end it."""
        try:
            while not stopping.is_set():
                self.look()
                stopping.wait(_POLL_S)
        finally:
            self.stop()

    def look(self) -> None:
        """Start what does not run and whose time has come."""
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                is_steady = now - child.started_at >= _STEADY_AFTER_S
                child.failures = 1 if is_steady else child.failures + 1
                wait_s = min(_BACKOFF_FIRST_S * 2.0 ** (child.failures - 1), _BACKOFF_MAX_S)
                child.process, child.due = None, now + wait_s
            if child.process is None and child.due <= now:
                child.process, child.started_at = _start(child.program), now

    def stop(self) -> None:
        """Ask each to end, the last one first; kill what does not in time."""
        for child in reversed(self._children):
            if child.process is None:
                continue
            child.process.send_signal(signal.SIGTERM)
            try:
                child.process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def _start(program: Program) -> subprocess.Popen[bytes]:
    with program.log_file.open("ab") as log:
        return subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
