"""Making one member's syncs slow, while it runs.

A server of ours has a failpoint before each sync of its log, which is held and let go again. Into
any other, strace puts a delay: it needs to be installed, and to be allowed to trace.
"""

import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Protocol

from kvstore.testing.errors import FaultUnavailable
from kvstore.testing.program import Program
from kvstore.testing.waiting import wait_until

_SYNC = "wal_before_sync"
_LET_GO_S = 0.03
"""Longer than the point's own look at the file, so that each waiting sync passes."""


class SlowDisk(Protocol):
    """Syncs are slow until `stop`."""

    def stop(self) -> None:
        """Make them quick again."""
        ...


def slow_disk(program: Program, *, pid: int, failpoints: Path, delay_s: float) -> SlowDisk:
    """Delay each sync of the process `pid` by about `delay_s`.

    Raises:
        FaultUnavailable: there is no way to.
    """
    slowness_is_available(program)
    if program.has_failpoints:
        return _HeldFailpoint(failpoints / _SYNC, delay_s)
    return _Strace(pid, delay_s)


def slowness_is_available(program: Program) -> None:
    """Return if `slow_disk` has a way to slow `program`.

    Raises:
        FaultUnavailable: it has none.
    """
    if not program.has_failpoints and shutil.which("strace") is None:
        raise FaultUnavailable(f"the disk of {program.name} is slowed by strace, which is not here")


class _HeldFailpoint:
    def __init__(self, file: Path, delay_s: float) -> None:
        self._file = file
        self._delay_s = delay_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._hold_and_let_go, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _hold_and_let_go(self) -> None:
        staged = self._file.with_suffix(".staged")
        while not self._stopping.is_set():
            staged.write_text("hold")
            staged.rename(self._file)
            self._stopping.wait(self._delay_s)
            self._file.unlink(missing_ok=True)
            self._stopping.wait(_LET_GO_S)


class _Strace:
    def __init__(self, pid: int, delay_s: float) -> None:
        calls = "fsync,fdatasync"
        self._process = subprocess.Popen(
            [
                "strace",
                "--attach",
                str(pid),
                "--follow-forks",
                "--trace",
                calls,
                "--inject",
                f"{calls}:delay_enter={int(delay_s * 1_000_000)}",
                "--output",
                "/dev/null",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        wait_until(
            lambda: self._process.poll() is not None or _is_traced(pid),
            what="strace to attach",
        )
        if self._process.poll() is not None:
            assert self._process.stderr is not None
            why = self._process.stderr.read().decode(errors="replace").strip()
            self._process.stderr.close()
            raise FaultUnavailable(f"strace may not slow the disk of process {pid}: {why}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # it detaches from all threads and ends
        self._process.communicate()


def _is_traced(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "TracerPid:\t0\n" not in status
