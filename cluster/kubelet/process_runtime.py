"""Containers as processes of this machine, each with a witness that outlives the kubelet.

A run is a directory, `pods/UID/containers/NAME/ATTEMPT`, and its files say all there is to know:
`config.json` was decided before the start, `running.json` names the process, `exited.json` says how
it ended. The witness holds a lock on `lock` as long as it lives, and was given it with its birth. A
run without witness and process that nobody saw end has ended for a reason unknown.
"""

import asyncio
import ctypes
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster.kubelet import enter, shim
from cluster.kubelet.conversations import Attachment, Command, Ends
from cluster.kubelet.runtime import (
    CannotStart,
    Channel,
    ContainerConfig,
    ContainerId,
    Conversation,
    Phase,
    Run,
)

_UNKNOWN_EXIT_CODE = 137
_TERMINATION_BYTES_MAX = 4096
_OUTPUT_BYTES_MAX = 10240
_CLONE_NEWNS = 0x00020000


class ProcessRuntime:
    """The adapter; `root` is the kubelet's directory, used by no other."""

    def __init__(self, root: Path) -> None:
        self._root = root / "pods"
        self._root.mkdir(parents=True, exist_ok=True)
        self._shims: dict[ContainerId, subprocess.Popen[bytes]] = {}
        self._ended: dict[ContainerId, Run] = {}

    def runs(self, pod_uid: str = "") -> Sequence[Run]:
        """Return the latest runs of a pod, or of all. Cost: one or two small files each."""
        for container, process in list(self._shims.items()):
            if process.poll() is not None:
                del self._shims[container]
        return [self._run(container) for container in self._latest(pod_uid or "*")]

    def start(self, container: ContainerId, config: ContainerConfig) -> None:
        """Write down what is to run, then let the witness start it."""
        if shutil.which(config.argv[0], path=config.env.get("PATH")) is None:
            raise CannotStart("StartError", f'exec: "{config.argv[0]}": executable file not found')
        directory = self._directory(container)
        if (directory / "config.json").exists():
            return
        directory.mkdir(parents=True, exist_ok=True)
        log = config.log or str(self.log_path(container))
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        draft = directory / ".config.json"
        draft.write_text(json.dumps({**asdict(config), "log": log}))
        draft.chmod(0o600)  # environments hold secrets
        draft.rename(directory / "config.json")
        with (directory / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._shims[container] = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", "-S", shim.__file__, str(directory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[lock.fileno()],
                cwd="/",
            )

    def signal(self, container: ContainerId, number: int) -> None:
        """Send a signal to the run's process group."""
        running = _read(self._directory(container) / "running.json")
        if running is not None and _is_alive(running):
            try:
                os.killpg(int(running["pid"]), number)
            except ProcessLookupError:
                return  # it ended just now

    async def execute(
        self, container: ContainerId, command: Sequence[str], timeout_s: float
    ) -> tuple[int, str]:
        """Run a command beside a run, in its environment and its view of the file system."""
        nothing, piped = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
        process = await self.open(container, command, nothing, piped, asyncio.subprocess.STDOUT)
        if process is None:
            return 126, "the container is not running"
        try:
            async with asyncio.timeout(timeout_s):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return 124, f"command timed out after {timeout_s:g}s"
        code = process.returncode or 0
        return (code if code >= 0 else 128 - code), output[:_OUTPUT_BYTES_MAX].decode(
            errors="replace"
        )

    async def open(
        self,
        container: ContainerId,
        command: Sequence[str],
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> asyncio.subprocess.Process | None:
        """Start a command beside a run, with pipes or descriptors as said; None if it ended."""
        directory = self._directory(container)
        running, config = _read(directory / "running.json"), _read(directory / "config.json")
        if running is None or config is None or not _is_alive(running):
            return None
        program = [sys.executable, "-I", "-S", enter.__file__]
        return await asyncio.create_subprocess_exec(
            *program,
            str(running["pid"]),
            config["working_directory"],
            *command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={"TERM": "xterm", **config["env"]} if os.isatty(stdin) else config["env"],
            start_new_session=True,
        )

    async def command(
        self, container: ContainerId, argv: Sequence[str], *, hears: bool, tty: bool
    ) -> Conversation | None:
        """Start a command with pipes, or with a terminal of its own."""
        if tty:
            ours, theirs = os.openpty()
            ends = Ends({Channel.STDOUT: ours}, os.dup(ours), is_terminal=True)
            given = (theirs, theirs, theirs)
        else:
            out, err = os.pipe(), os.pipe()
            heard = os.pipe() if hears else (os.open(os.devnull, os.O_RDONLY), None)
            ends = Ends({Channel.STDOUT: out[0], Channel.STDERR: err[0]}, heard[1])
            given = (heard[0], out[1], err[1])
        try:
            process = await self.open(container, argv, *given)
        finally:
            for descriptor in set(given):
                os.close(descriptor)
        if process is None:
            for end in (*ends.outputs.values(), ends.input):
                if end is not None:
                    os.close(end)
            return None
        return await Command.over(process, ends)

    async def attach(self, container: ContainerId) -> Conversation | None:
        """Connect to the witness."""
        directory = os.open(self._directory(container), os.O_RDONLY)
        try:
            path = f"/proc/self/fd/{directory}/attach"
            return Attachment(*await asyncio.open_unix_connection(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        finally:
            os.close(directory)

    def forget(self, pod_uid: str) -> None:
        """Remove a pod's directory."""
        for container in [one for one in self._ended if one.pod_uid == pod_uid]:
            del self._ended[container]
        shutil.rmtree(self._root / pod_uid, ignore_errors=True)

    def directory(self, pod_uid: str) -> Path:
        """Return a pod's directory."""
        found = self._root / pod_uid
        found.mkdir(parents=True, exist_ok=True)
        return found

    def log_path(self, container: ContainerId) -> Path:
        """Return the log of a run."""
        return self._directory(container) / "log"

    def _directory(self, container: ContainerId) -> Path:
        pod_uid, name, attempt = container
        return self._root / pod_uid / "containers" / name / str(attempt)

    def _latest(self, pod: str) -> Iterator[ContainerId]:
        for directory in sorted(self._root.glob(f"{pod}/containers/*")):
            attempts = [int(one.name) for one in directory.iterdir() if one.name.isdecimal()]
            if attempts:
                yield ContainerId(directory.parts[-3], directory.name, max(attempts))

    def _run(self, container: ContainerId) -> Run:
        ended = self._ended.get(container)
        if ended is not None:
            return ended
        directory = self._directory(container)
        running = _read(directory / "running.json")
        exited = _read(directory / "exited.json")
        started_at = float(running["started_at"]) if running is not None else 0.0
        if exited is None:
            if _is_locked(directory) or (running is not None and _is_alive(running)):
                phase = Phase.STARTING if running is None else Phase.RUNNING
                return Run(container, phase, started_at)
            exited = _read(directory / "exited.json")  # it may have ended between the two looks
        if exited is None:
            text = "The container could not be located when the pod was terminated"
            run = Run(
                container,
                Phase.EXITED,
                started_at,
                started_at,
                _UNKNOWN_EXIT_CODE,
                reason="ContainerStatusUnknown",
                message=text,
            )
        else:
            code, number = int(exited["exit_code"]), int(exited["signal"])
            run = Run(
                container,
                Phase.EXITED,
                started_at,
                float(exited["finished_at"]),
                code,
                number,
                reason="Completed" if code == 0 else "Error",
                message=self._last_words(directory),
            )
        self._ended[container] = run
        return run

    def _last_words(self, directory: Path) -> str:
        config = _read(directory / "config.json") or {}
        try:
            with Path(config.get("termination_log") or os.devnull).open("rb") as file:
                return file.read(_TERMINATION_BYTES_MAX).decode(errors="replace")
        except OSError:
            return ""


def can_mount() -> bool:
    """Whether this process may show containers other directories than its own: it is privileged."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ctypes.CDLL(None).unshare(_CLONE_NEWNS) == 0 else 1)
    return os.waitpid(pid, 0)[1] == 0


def _is_locked(directory: Path) -> bool:
    """Whether the witness lives: it has had the lock since before it was started."""
    try:
        with (directory / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _is_alive(running: dict[str, Any]) -> bool:
    """Whether the process that was started is the one that has the pid now, and no zombie."""
    try:
        return shim.born(int(running["pid"])) == running["born"] and not _is_zombie(running)
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_zombie(running: dict[str, Any]) -> bool:
    stat = Path(f"/proc/{int(running['pid'])}/stat").read_bytes()
    return stat.rpartition(b")")[2].split()[0] == b"Z"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
