"""One member of a cluster: its flags never change, its process comes and goes."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kvstore.base.errors import RpcError
from kvstore.client import AsyncClient, Client, MemberStatus, Timing
from kvstore.testing.errors import FaultUnavailable, MemberDidNotStart
from kvstore.testing.member_clock import MemberClock
from kvstore.testing.program import Program
from kvstore.testing.slow_disk import SlowDisk, slow_disk
from kvstore.testing.small_disk import SmallDisk
from kvstore.testing.waiting import wait_until

READY_LINE = "ready to serve client requests"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 15.0
STATUS_TIMEOUT_S = 2.0
_LOG_SHOWN = 4000
"""Characters of a log's end in an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPlan:
    """Where a member lives and how it is started."""

    name: str
    directory: Path
    client_port: int
    peer_port: int
    flags: Sequence[str] = ()
    disk_mib: int | None = None
    has_own_clock: bool = False


class Member:
    """A member of a `Cluster`, and what can be done to it."""

    def __init__(self, program: Program, plan: MemberPlan) -> None:
        self.name = plan.name
        self.endpoint = f"127.0.0.1:{plan.client_port}"
        """`host:port` for clients."""
        self.log_file = plan.directory / "log"
        self._program = program
        self._plan = plan
        self._failpoints = plan.directory / "failpoints"
        self._failpoints.mkdir(parents=True)
        self._disk: SmallDisk | None = None
        self._clock = MemberClock(plan.directory / "clock", program) if plan.has_own_clock else None
        self._slow: SlowDisk | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_paused = False
        self._log_start = 0
        self._client: Client | None = None
        place = plan.directory / "disk"
        if plan.disk_mib is not None:
            self._disk = SmallDisk(place, size_mib=plan.disk_mib)
        self._data_dir = place / "data"

    def __repr__(self) -> str:
        return f"<{self.name} at {self.endpoint}>"

    @property
    def data_dir(self) -> Path:
        """Where its data can be seen from here."""
        return self._data_dir if self._disk is None else self._disk.seen_from_outside / "data"

    @property
    def is_running(self) -> bool:
        """Whether its process exists, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_paused(self) -> bool:
        """Whether it was paused and not resumed."""
        return self._is_paused and self.is_running

    @property
    def pid(self) -> int | None:
        """The id of its process; None while it has none."""
        return self._process.pid if self._process is not None and self.is_running else None

    @property
    def exit_code(self) -> int | None:
        """How its last process ended; None while it runs, or before it did."""
        return None if self._process is None else self._process.poll()

    # --- clients

    def client(self, *, timing: Timing | None = None) -> Client:
        """Return a new blocking client that knows this member only."""
        return Client(self.endpoint, timing=timing)

    def async_client(self, *, timing: Timing | None = None) -> AsyncClient:
        """Return a new asyncio client that knows this member only."""
        return AsyncClient(self.endpoint, timing=timing)

    def status(self) -> MemberStatus | None:
        """Return what the member says of itself; None if it does not answer at once."""
        if not self.is_running or self.is_paused:
            return None
        if self._client is None:
            self._client = Client(self.endpoint, timing=Timing(timeout_s=STATUS_TIMEOUT_S))
        try:
            return self._client.status()
        except RpcError:
            return None

    def is_healthy(self) -> bool:
        """Whether `GET /health` says that linearizable reads work here."""
        if not self.is_running or self.is_paused:
            return False
        with contextlib.suppress(urllib.error.URLError, OSError):
            url = f"http://{self.endpoint}/health"
            with urllib.request.urlopen(url, timeout=STATUS_TIMEOUT_S) as answer:
                return b'"health":"true"' in answer.read()
        return False

    # --- its process

    def start(self) -> None:
        """Start its process; does not wait until it is ready."""
        assert not self.is_running, f"{self.name} runs already"
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        command = [*self._program.command, *self._flags()]
        if self._disk is not None:
            command = self._disk.inside(command)
        # A variable meant for another etcd must not leak in.
        inherited = {name: value for name, value in os.environ.items() if name[:5] != "ETCD_"}
        clock = self._clock.environment if self._clock is not None else {}
        self._is_paused = False
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **inherited,
                    "KVSTORE_FAILPOINTS": str(self._failpoints),
                    **self._program.environment,
                    **clock,
                },
                # A session of its own: Ctrl-C reaches the test, which ends the members itself.
                start_new_session=True,
            )

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until its log says that it serves clients.

        Raises:
            MemberDidNotStart: it ended first, or `timeout_s` passed.
        """
        deadline = time.monotonic() + timeout_s
        while READY_LINE not in self.log():
            if not self.is_running:
                raise MemberDidNotStart(self._end_of_log(f"ended with {self.exit_code}"))
            if time.monotonic() > deadline:
                raise MemberDidNotStart(self._end_of_log(f"was not ready in {timeout_s:g} s"))
            time.sleep(0.02)

    def wait_until_healthy(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until linearizable reads work here.

        Raises:
            MemberDidNotStart: its process ended.
            TimeoutError: they did not, for `timeout_s`.
        """

        def is_healthy() -> bool:
            if not self.is_running:
                raise MemberDidNotStart(self._end_of_log("was not healthy before it ended"))
            return self.is_healthy()

        wait_until(is_healthy, timeout_s=timeout_s, what=f"{self.name} to be healthy")

    def log(self) -> str:
        """Return what its last process has written so far."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def stop(self) -> int:
        """Ask it to end (SIGTERM), wait, and return its exit code."""
        assert self._process is not None, f"{self.name} was never started"
        self.make_disk_quick()
        self.resume()
        self._process.terminate()
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    # --- faults

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        self.make_disk_quick()
        if self._process is not None and self.is_running:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Stop it where it is (SIGSTOP); it does not notice."""
        assert self.is_running, f"{self.name} does not run"
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        self._is_paused = True

    def resume(self) -> None:
        """Let it go on after `pause`."""
        if self._process is not None and self.is_running:
            self._process.send_signal(signal.SIGCONT)
        self._is_paused = False

    def skew(self, offset_s: float) -> None:
        """Make its wall clock jump to `offset_s` seconds ahead of the true time.

        Raises:
            FaultUnavailable: it has no clock of its own.
        """
        if self._clock is None:
            raise FaultUnavailable("its clock is the machine's: ask for a cluster with own_clocks")
        self._clock.set(offset_s)

    def fill_disk(self) -> None:
        """Leave no space where its data lies.

        Raises:
            FaultUnavailable: it has no disk of its own.
        """
        if self._disk is None:
            raise FaultUnavailable("its disk is the machine's: ask for a cluster with disk_mib")
        self._disk.fill()

    def free_disk(self) -> None:
        """Give back what `fill_disk` took."""
        if self._disk is not None:
            self._disk.free()

    def slow_disk(self, delay_s: float) -> None:
        """Make each sync of its log take about `delay_s` longer.

        Raises:
            FaultUnavailable: there is no way to, for this program on this machine.
        """
        assert self.pid is not None, f"{self.name} does not run"
        self.make_disk_quick()
        self._slow = slow_disk(
            self._program, pid=self.pid, failpoints=self._failpoints, delay_s=delay_s
        )

    def make_disk_quick(self) -> None:
        """End `slow_disk`."""
        slow, self._slow = self._slow, None
        if slow is not None:
            slow.stop()

    def heal(self) -> None:
        """Undo every fault; if its process ended, start it again (without waiting)."""
        self.make_disk_quick()
        self.free_disk()
        if self._clock is not None and self._clock.offset_s:
            self._clock.set(0.0)
        self.resume()
        if not self.is_running:
            self.start()

    @property
    def faults(self) -> list[str]:
        """What was done to it and not undone, in words; that it was killed is not among them."""
        offset_s = 0.0 if self._clock is None else self._clock.offset_s
        found = {
            "paused": self.is_paused,
            "slow disk": self._slow is not None,
            "full disk": self._disk is not None and self._disk.is_full,
            f"clock off by {offset_s:+g} s": offset_s != 0.0,
        }
        return [words for words, is_so in found.items() if is_so]

    @property
    def is_faulty(self) -> bool:
        """Whether something is wrong with it that `heal` undoes."""
        return not self.is_running or bool(self.faults)

    def close(self) -> None:
        """Kill its process and let go of all that it had."""
        self.kill()
        if self._client is not None:
            self._client.close()
        if self._disk is not None:
            self._disk.close()

    def _end_of_log(self, why: str) -> str:
        return f"{self.name} {why}, {self.log_file}:\n{self.log()[-_LOG_SHOWN:]}"

    def _flags(self) -> list[str]:
        peer = f"http://127.0.0.1:{self._plan.peer_port}"
        return [
            f"--name={self.name}",
            f"--data-dir={self._data_dir}",
            f"--listen-client-urls=http://{self.endpoint}",
            f"--advertise-client-urls=http://{self.endpoint}",
            f"--listen-peer-urls={peer}",
            *self._plan.flags,
        ]
