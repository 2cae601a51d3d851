"""The witness of one run of a container: starts it, keeps its output, writes down how it ended.

Run as a script, `shim.py DIRECTORY`, by an interpreter that loads no site packages: it imports only
what it needs, as there is one for every container, and it must not depend on the kubelet's life.
The directory has `config.json`; the shim writes `running.json` and at the end `exited.json`, each
under another name first, so that a reader finds all of it or nothing.
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Any

_CLONE_NEWNS = 0x00020000
_MS_BIND = 4096
_MS_REC_PRIVATE = 16384 | (1 << 18)
_LINE_BYTES_MAX = 16384


def main(directory: str) -> None:
    """Be the witness of the run that `directory` describes."""
    with open(os.path.join(directory, "config.json")) as file:  # noqa: PTH118, PTH123 - lean on purpose
        config = json.load(file)
    out, err = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_container(config, out, err)
    os.close(out[1])
    os.close(err[1])
    _write(directory, "running.json", {"pid": pid, "born": born(pid), "started_at": time.time()})
    log = os.open(config["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    ended = _pump({out[0]: b"stdout", err[0]: b"stderr"}, log, pid)
    code, number = os.waitstatus_to_exitcode(ended), 0
    if code < 0:
        code, number = 128 - code, -code
    _write(
        directory,
        "exited.json",
        {"exit_code": code, "signal": number, "finished_at": time.time()},
    )


def born(pid: int) -> int:
    """Return when a process was started, in ticks since the boot: a pid may be used again."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as above
        return int(file.read().rpartition(b")")[2].split()[19])


def _become_container(config: dict[str, Any], out: tuple[int, int], err: tuple[int, int]) -> None:
    """Turn this process into the container's first one; what fails stands in its output."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out[1], 1)
    os.dup2(err[1], 2)
    os.closerange(3, 256)
    try:
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if config["mounts"]:
            _mount(config["mounts"])
        if config["memory_bytes_max"]:
            limit = config["memory_bytes_max"]
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        os.chdir(config["working_directory"])
        os.execvpe(config["argv"][0], config["argv"], config["env"])  # noqa: S606 - that is its job
    except OSError as error:
        os.write(2, f"{config['argv'][0]}: {error}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _mount(mounts: dict[str, str]) -> None:
    """Show directories at other paths, to this process and its children only."""
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int) -> None:
        if result:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    check(libc.unshare(_CLONE_NEWNS))
    check(libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None))
    for target, source in mounts.items():
        if os.path.isdir(source):  # noqa: PTH112 - as above
            os.makedirs(target, exist_ok=True)  # noqa: PTH103 - as above
        elif not os.path.exists(target):  # noqa: PTH110 - as above
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120 - as above
            os.close(os.open(target, os.O_CREAT, 0o644))
        check(libc.mount(source.encode(), target.encode(), None, _MS_BIND, None))


def _pump(pipes: dict[int, bytes], log: int, pid: int) -> int:
    """Copy output to the log until the first process has ended; return its wait status.

    Processes that it left behind may hold the pipes open: what comes after the end is not waited
    for, what was written before it is read.
    """
    rest = dict.fromkeys(pipes, b"")
    status: int | None = None
    while status is None or _is_readable(pipes):
        ready, _, _ = select.select(list(pipes), [], [], 0.05 if pipes else 0)
        for descriptor in ready:
            chunk = os.read(descriptor, 65536)
            rest[descriptor] = _log_lines(log, pipes[descriptor], rest[descriptor] + chunk)
            if not chunk:
                del pipes[descriptor]
        if status is None:
            found, waited = os.waitpid(pid, 0 if not pipes else os.WNOHANG)
            status = waited if found else None
    for descriptor, name in pipes.items():
        if rest[descriptor]:
            _log(log, name, b"F", rest[descriptor])
    return status


def _is_readable(pipes: dict[int, bytes]) -> bool:
    return bool(pipes and select.select(list(pipes), [], [], 0)[0])


def _log_lines(log: int, name: bytes, text: bytes) -> bytes:
    """Write whole lines, and what is too long for one in parts; return what is left."""
    *lines, rest = text.split(b"\n")
    for line in lines:
        _log(log, name, b"F", line)
    while len(rest) > _LINE_BYTES_MAX:
        _log(log, name, b"P", rest[:_LINE_BYTES_MAX])
        rest = rest[_LINE_BYTES_MAX:]
    return rest


def _log(log: int, name: bytes, tag: bytes, line: bytes) -> None:
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
    os.write(log, b"%b %b %b %b\n" % (stamp, name, tag, line))


def _write(directory: str, name: str, value: dict[str, Any]) -> None:
    draft = os.path.join(directory, f".{name}")  # noqa: PTH118 - as above
    with open(draft, "w") as file:  # noqa: PTH123 - as above
        json.dump(value, file)
    os.replace(draft, os.path.join(directory, name))  # noqa: PTH105, PTH118 - as above


if __name__ == "__main__":
    main(sys.argv[1])
