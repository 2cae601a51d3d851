"""The processes of a local cluster: starting, asking after, and ending them."""

import fcntl
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kvstore.cli.local_topology import HOST, LocalState, MemberPlan, Topology
from kvstore.cli.tls_directory import TlsDirectory

MEMBER_COMMAND = (sys.executable, "-m", "kvstore.cli.server")
STATE_FILE = "cluster.json"
PROFILE_FILE = "profile.json"
"""What kvstorectl reads to find the cluster."""
LOCK_FILE = "up.lock"
HEALTH_TIMEOUT_S = 1.0
STOP_TIMEOUT_S = 15.0
"""How long a member may take to stop before it is killed."""
_POLL_S = 0.05


class LocalCluster:
    """The member processes that this process started."""

    def __init__(self, topology: Topology, *, command: Sequence[str] = MEMBER_COMMAND) -> None:
        self.topology = topology
        self._command = command
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start every member. Their output goes to their log files."""
        self.topology.directory.mkdir(parents=True, exist_ok=True)
        # The flags say everything; a variable meant for another etcd must not leak in.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
        for member in self.topology.members:
            with member.log_file.open("ab") as log:
                self._processes[member.name] = subprocess.Popen(
                    [*self._command, *self.topology.flags(member)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    # A session of its own: Ctrl-C reaches the launcher, which stops the members.
                    start_new_session=True,
                )

    def state(self, *, launcher_pid: int | None) -> LocalState:
        """Return what the state file should say."""
        pids = {name: process.pid for name, process in self._processes.items()}
        return LocalState(topology=self.topology, member_pids=pids, launcher_pid=launcher_pid)

    def pid(self, member: MemberPlan) -> int:
        """Return the process id of a started member."""
        return self._processes[member.name].pid

    def exit_code(self, member: MemberPlan) -> int | None:
        """Return how the member ended; None while it runs."""
        return self._processes[member.name].poll()

    @property
    def is_running(self) -> bool:
        """Whether any member runs."""
        return any(process.poll() is None for process in self._processes.values())

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask every member to stop, wait, and kill those that do not."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + timeout_s
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def is_healthy(member: MemberPlan) -> bool:
    """Whether the member says of itself that it can serve (`GET /health`)."""
    connection = _connection(member)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _connection(member: MemberPlan) -> http.client.HTTPConnection:
    if member.tls_directory is None:
        return http.client.HTTPConnection(HOST, member.client_port, timeout=HEALTH_TIMEOUT_S)
    files = TlsDirectory(member.tls_directory).client()
    context = ssl.create_default_context(cafile=files["cacert"])
    context.load_cert_chain(files["cert"], files["key"])
    return http.client.HTTPSConnection(
        HOST, member.client_port, timeout=HEALTH_TIMEOUT_S, context=context
    )


def write_profile(topology: Topology) -> Path:
    """Write down how clients find the cluster; return where."""
    file = topology.directory / PROFILE_FILE
    file.write_text(json.dumps(topology.profile, indent=2) + "\n")
    return file


def read_state(directory: Path) -> LocalState | None:
    """Return what is known of the cluster in `directory`; None if there is none.

    Raises:
        UnknownState: there is something, but not readable.
    """
    try:
        text = (directory / STATE_FILE).read_text()
    except FileNotFoundError:
        return None
    return LocalState.from_json(text, directory)


def write_state(state: LocalState) -> None:
    """Remember the cluster; a reader sees the old state or the new one."""
    directory = state.topology.directory
    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / f"{STATE_FILE}.new"
    fresh.write_text(state.to_json() + "\n")
    fresh.replace(directory / STATE_FILE)


def running_members(state: LocalState) -> dict[str, int]:
    """Return the pids of the members that still run, by name.

    A process is believed to be the member if its command line names the data directory: the pid
    alone may belong to somebody else by now.
    """
    return {
        member.name: pid
        for member in state.topology.members
        if (pid := state.member_pids.get(member.name)) is not None
        and f"--data-dir={member.data_dir}" in _command_line(pid)
    }


@contextmanager
def up_lock(directory: Path) -> Iterator[bool]:
    """Hold the right to be the one `up` of a directory; yield False if another process has it.

    The kernel lets go of it when its holder ends, however it ends.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_FILE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def stop_pids(pids: Mapping[str, int], *, launcher_pid: int | None) -> None:
    """Stop a cluster that another process started, and wait for its end."""
    targets = set(pids.values())
    if launcher_pid is not None:
        _signal(launcher_pid, signal.SIGTERM)  # it stops its members itself
        targets.add(launcher_pid)
    else:
        for pid in targets:
            _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while targets := {pid for pid in targets if _command_line(pid)}:
        if time.monotonic() > deadline:
            for pid in targets:
                _signal(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _command_line(pid: int) -> list[str]:
    """Return the words of a process's command line; empty when it has ended."""
    proc = Path("/proc")
    if proc.joinpath("self").exists():
        try:
            words = proc.joinpath(str(pid), "cmdline").read_bytes().split(b"\0")
        except OSError:
            return []
        return [word.decode(errors="replace") for word in words[:-1]]
    listed = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], check=False, capture_output=True, text=True
    )
    return listed.stdout.split()
