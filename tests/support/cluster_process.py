"""Real server processes, one or three members, started and broken like an operator's.

The same code runs etcd and `kvstored`: both take etcd's flags. Data lies in a temporary directory
on the file system of `TMPDIR`, logs in a file beside it; everything is removed when the cluster is
left without an error, and kept for inspection otherwise (its path is printed).
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

READY_LINE = "ready to serve client requests"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 15.0
_POLL_S = 0.02
_PORTS = range(20000, 32000)
"""Below the kernel's ephemeral range: an outgoing connection never takes one of them first."""


class ServerDidNotStart(Exception):
    """A member was not ready in time, or ended first; holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Program:
    """A server that takes etcd's flags: the command in front of them and extra environment."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


KVSTORED = Program("kvstored", (sys.executable, "-m", "kvstore.cli.server"))


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that were free a moment ago."""
    ports: list[int] = []
    for port in random.Random(f"{os.getpid()} {time.monotonic_ns()}").sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError("no free ports")


class Failpoint:
    """One named point of a member's process; see `kvstore.base.failpoint`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def arm(self, action: str) -> None:
        """Make every pass of the point do `action`: hold, error, full or exit."""
        staged = self._file.with_suffix(".staged")
        staged.write_text(action)
        staged.rename(self._file)  # the process never reads half an action

    def release(self) -> None:
        """Make the point inert; whatever waits in it goes on."""
        self._file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def armed(self, action: str) -> Iterator[None]:
        """Arm within the block."""
        self.arm(action)
        try:
            yield
        finally:
            self.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a member lives."""

    name: str
    directory: Path
    client_port: int
    peer_port: int
    data_dir: Path | None = None
    """Outside of `directory`, if given."""


class MemberProcess:
    """One member: its flags never change, its process comes and goes."""

    def __init__(self, program: Program, place: Place, flags: Sequence[str]) -> None:
        self.name = name = place.name
        self.peer_url = f"http://127.0.0.1:{place.peer_port}"
        self.data_dir = place.data_dir or place.directory / "data"
        self.log_file = place.directory / "log"
        self.endpoint = f"127.0.0.1:{place.client_port}"
        self.peer_port = peer_port = place.peer_port
        self._program = program
        self._arguments = [
            *program.command,
            "--name",
            name,
            "--data-dir",
            str(self.data_dir),
            "--listen-client-urls",
            f"http://{self.endpoint}",
            "--advertise-client-urls",
            f"http://{self.endpoint}",
            "--listen-peer-urls",
            f"http://127.0.0.1:{peer_port}",
            "--initial-advertise-peer-urls",
            f"http://127.0.0.1:{peer_port}",
            *flags,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._failpoints = place.directory / "failpoints"
        self._failpoints.mkdir(parents=True, exist_ok=True)

    @property
    def pid(self) -> int:
        """The id of the running process."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the last process ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def failpoint(self, name: str) -> Failpoint:
        """The point `name` of this member."""
        return Failpoint(self._failpoints / name)

    def start_with(self, *flags: str) -> None:
        """Start the process with more flags, this once."""
        self.start(flags)

    def start(self, flags: Sequence[str] = ()) -> None:
        """Start the process; does not wait for readiness."""
        assert not self.is_running, f"{self.name} runs already"
        inherited = {name: value for name, value in os.environ.items() if name[:5] != "ETCD_"}
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._arguments, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **inherited,
                    "KVSTORE_FAILPOINTS": str(self._failpoints),
                    **self._program.environment,
                },
            )

    def log(self) -> str:
        """What the last process has written so far."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def wait_for_log(self, text: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the last process has written `text`.

        Raises:
            ServerDidNotStart: it ended first, or `timeout_s` passed.
        """
        deadline = time.monotonic() + timeout_s
        while text not in (log := self.log()):
            if not self.is_running:
                raise ServerDidNotStart(
                    f"{self.name} ended with {self.exit_code}, {self.log_file}:\n{log[-4000:]}"
                )
            if time.monotonic() > deadline:
                raise ServerDidNotStart(
                    f"{self.name}: no {text!r} in {timeout_s} s, {self.log_file}:\n{log[-4000:]}"
                )
            time.sleep(_POLL_S)

    def is_healthy(self) -> bool:
        """Whether GET /health says that linearizable reads work here."""
        try:
            with urllib.request.urlopen(f"http://{self.endpoint}/health", timeout=3) as answer:
                return b'"health":"true"' in answer.read()
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL) and reap it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask the process to end (SIGTERM), wait, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def wait_for_exit(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until the process ends by itself and return its exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def pause(self) -> None:
        """Stop the process where it is (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def cpu_s(self) -> float:
        """User and system time of the process so far, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class ClusterProcess:
    """All members of one cluster; a context manager that starts and removes it."""

    def __init__(
        self,
        program: Program,
        member_count: int = 1,
        *,
        flags: Sequence[str] = (),
        directory: Path | None = None,
        data_dirs: Sequence[Path] = (),
    ) -> None:
        """Prepare the cluster.

        Args:
            program: the server.
            member_count: how many members.
            flags: more flags, the same for every member.
            directory: where the temporary directory is made; default: `TMPDIR`.
            data_dirs: places of the members' data, in order, if not in that directory.
        """
        self.program = program
        self._flags = flags
        self.directory = Path(tempfile.mkdtemp(prefix=f"{program.name}-", dir=directory))
        ports = free_ports(2 * member_count)
        clients, peers = ports[:member_count], ports[member_count:]
        initial_cluster = ",".join(
            f"m{index}=http://127.0.0.1:{port}" for index, port in enumerate(peers)
        )
        self.members = [
            MemberProcess(
                program,
                Place(
                    name=f"m{index}",
                    directory=self.directory / f"m{index}",
                    client_port=clients[index],
                    peer_port=peers[index],
                    data_dir=data_dirs[index] if data_dirs else None,
                ),
                [
                    "--initial-cluster",
                    initial_cluster,
                    "--initial-cluster-token",
                    self.directory.name,
                    "--initial-cluster-state",
                    "new",
                    *flags,
                ],
            )
            for index in range(member_count)
        ]

    def newcomer(self, name: str) -> MemberProcess:
        """Prepare a member that is to join, with ports of its own; `members` does not hold it."""
        client_port, peer_port = free_ports(2)
        return self._joining(name, client_port, peer_port, [])

    def join(self, newcomer: MemberProcess) -> None:
        """Start a member that was added to the cluster, and wait until it is ready."""
        self.members.append(
            self._joining(
                newcomer.name,
                int(newcomer.endpoint.rpartition(":")[2]),
                newcomer.peer_port,
                self.members,
            )
        )
        self.members[-1].start()
        self.members[-1].wait_for_log(READY_LINE)

    def _joining(
        self, name: str, client_port: int, peer_port: int, others: "Sequence[MemberProcess]"
    ) -> MemberProcess:
        known = [(other.name, other.peer_port) for other in others] + [(name, peer_port)]
        initial_cluster = ",".join(f"{each}=http://127.0.0.1:{port}" for each, port in known)
        flags = [
            "--initial-cluster",
            initial_cluster,
            "--initial-cluster-token",
            self.directory.name,
            "--initial-cluster-state",
            "existing",
            *self._flags,
        ]
        place = Place(
            name=name,
            directory=self.directory / f"{name}-{peer_port}",
            client_port=client_port,
            peer_port=peer_port,
        )
        return MemberProcess(self.program, place, flags)

    @property
    def endpoints(self) -> list[str]:
        """`host:port` of every member."""
        return [member.endpoint for member in self.members]

    def start(self) -> None:
        """Start every member that does not run and wait until all are ready."""
        for member in self.members:
            if not member.is_running:
                member.start()
        for member in self.members:
            member.wait_for_log(READY_LINE)
        self.wait_until_healthy()

    def wait_until_healthy(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until every running member answers /health with true."""
        running = [member for member in self.members if member.is_running]
        wait_until(
            lambda: all(member.is_healthy() for member in running),
            timeout_s,
            f"not healthy: {self.directory}",
        )

    def close(self) -> None:
        """Kill what still runs and remove the directory."""
        for member in self.members:
            if member.is_running:
                member.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._leave(keep=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave(keep=kind is not None)

    def _leave(self, *, keep: bool) -> None:
        if not keep:
            self.close()
            return
        print(f"kept for inspection: {self.directory}", file=sys.stderr)
        for member in self.members:
            if member.is_running:
                member.kill()


def wait_until(
    condition: Callable[[], bool], timeout_s: float, message: str, poll_s: float = _POLL_S
) -> None:
    """Poll `condition` until it is true.

    Raises:
        TimeoutError: with `message`, when `timeout_s` have passed.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout_s} s: {message}")
        time.sleep(poll_s)
