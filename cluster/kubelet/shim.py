"""The witness of one run of a container: starts it, keeps its output, writes down how it ended.

Run as a script, `shim.py DIRECTORY`, by an interpreter that loads no site packages: it imports only
what it needs, as there is one for every container, and it must not depend on the kubelet's life.
The directory has `config.json`; the shim writes `running.json` and at the end `exited.json`, each
under another name first, so that a reader finds all of it or nothing. Who connects to the socket
`attach` hears what the container says from then on, and is heard if the container has an input.
"""

import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import termios
import time
from datetime import UTC, datetime
from typing import Any

_CLONE_NEWNS = 0x00020000
_MS_BIND = 4096
_MS_REC_PRIVATE = 16384 | (1 << 18)
_LINE_BYTES_MAX = 16384
_UNSENT_BYTES_MAX = 1 << 20
_LAST_WORDS_S = 5.0
"""How long who is attached may take to read what is left at the end."""
_FRAME = struct.Struct(">BI")
"""What travels between the witness and who is attached: channel, size; the content follows."""
_STDIN, _RESIZE, _CLOSE = 0, 4, 255
_CHANNELS = {b"stdout": 1, b"stderr": 2}


def main(directory: str) -> None:
    """Be the witness of the run that `directory` describes."""
    with open(os.path.join(directory, "config.json")) as file:  # noqa: PTH118, PTH123 - lean on purpose
        config = json.load(file)
    streams = _Streams(config)
    listener = _listen(directory)
    pid = os.fork()
    if pid == 0:
        _become_container(config, streams)
    streams.close_theirs()
    _write(directory, "running.json", {"pid": pid, "born": born(pid), "started_at": time.time()})
    log = os.open(config["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    ended = _Pump(streams, log, pid, listener, hears_once=config["stdin_once"]).run()
    code, number = os.waitstatus_to_exitcode(ended), 0
    if code < 0:
        code, number = 128 - code, -code
    _write(
        directory,
        "exited.json",
        {"exit_code": code, "signal": number, "finished_at": time.time()},
    )


class _Streams:
    """What the container hears and says: pipes, or a terminal; our ends and its ends."""

    def __init__(self, config: dict[str, Any]) -> None:
        if config["tty"]:
            ours, theirs = os.openpty()
            self.theirs = (theirs, theirs, theirs)
            self.input: int | None = ours
            self.outputs = {ours: b"stdout"}
        else:
            out, err = os.pipe(), os.pipe()
            heard = os.pipe() if config["stdin"] else (os.open(os.devnull, os.O_RDONLY), None)
            self.theirs = (heard[0], out[1], err[1])
            self.input = heard[1]
            self.outputs = {out[0]: b"stdout", err[0]: b"stderr"}
        self.is_terminal = bool(config["tty"])
        if self.input is not None:
            os.set_blocking(self.input, False)

    def close_theirs(self) -> None:
        for descriptor in set(self.theirs):
            os.close(descriptor)


def _listen(directory: str) -> socket.socket:
    """Take connections of who attaches. The path goes by a descriptor: it may be too long."""
    listener = socket.socket(socket.AF_UNIX)
    descriptor = os.open(directory, os.O_RDONLY)
    listener.bind(f"/proc/self/fd/{descriptor}/attach")
    os.close(descriptor)
    listener.listen(4)
    listener.settimeout(0)
    return listener


def born(pid: int) -> int:
    """Return when a process was started, in ticks since the boot: a pid may be used again."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as above
        return int(file.read().rpartition(b")")[2].split()[19])


def _become_container(config: dict[str, Any], streams: _Streams) -> None:
    """Turn this process into the container's first one; what fails stands in its output."""
    os.setsid()
    for number, descriptor in enumerate(streams.theirs):
        os.dup2(descriptor, number)
    os.closerange(3, 256)
    if streams.is_terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
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


class _Client:
    """Somebody who is attached: hears what the container says from then on."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        self.connection = connection
        self.unread = bytearray()
        self.unsent = bytearray()

    def receive(self) -> list[tuple[int, bytes]] | None:
        """Return whole frames (channel, content) that have come; None at the end."""
        try:
            data = self.connection.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        self.unread += data
        found = []
        while len(self.unread) >= _FRAME.size:
            channel, size = _FRAME.unpack_from(self.unread)
            if len(self.unread) < _FRAME.size + size:
                break
            found.append((channel, bytes(self.unread[_FRAME.size : _FRAME.size + size])))
            del self.unread[: _FRAME.size + size]
        return found

    def flush(self) -> bool:
        """Send what can be sent; return whether the connection lives."""
        try:
            del self.unsent[: self.connection.send(self.unsent)]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


class _Pump:
    """Copies between the container, its log and who is attached, until the container has ended.

    Processes that it left behind may hold the pipes open: what comes after the end is not waited
    for, what was written before it is read. Who is attached and does not read slows the container
    down, as nothing is to be lost.
    """

    def __init__(
        self, streams: _Streams, log: int, pid: int, listener: socket.socket, *, hears_once: bool
    ) -> None:
        self._pipes = dict(streams.outputs)
        self._input = streams.input
        self._is_terminal = streams.is_terminal
        self._log = log
        self._pid = pid
        self._listener = listener
        self._hears_once = hears_once
        self._clients: list[_Client] = []
        self._unheard = bytearray()
        self._is_all_said = False
        self._rest = dict.fromkeys(self._pipes, b"")

    def run(self) -> int:
        """Return the container's wait status."""
        status: int | None = None
        while status is None or _is_readable(self._pipes):
            self._turn(0.05 if self._pipes else 0.0)
            if status is None:
                is_quiet = not self._pipes and not self._clients and not self._unheard
                found, waited = os.waitpid(self._pid, 0 if is_quiet else os.WNOHANG)
                status = waited if found else None
        for descriptor, name in self._pipes.items():
            if self._rest[descriptor]:
                _log(self._log, name, b"F", self._rest[descriptor])
        deadline = time.monotonic() + _LAST_WORDS_S
        while (waiting := [one for one in self._clients if one.unsent]) and (
            time.monotonic() < deadline
        ):
            select.select([], [one.connection for one in waiting], [], 0.1)
            self._clients = [one for one in self._clients if one.flush()]
        return status

    def _turn(self, patience_s: float) -> None:
        by_socket = {one.connection: one for one in self._clients}
        is_heard = len(self._unheard) < _UNSENT_BYTES_MAX
        is_read = all(len(one.unsent) < _UNSENT_BYTES_MAX for one in self._clients)
        readable, writable, _ = select.select(
            [self._listener, *(by_socket if is_heard else ()), *(self._pipes if is_read else ())],
            [one.connection for one in self._clients if one.unsent]
            + ([self._input] if self._unheard and self._input is not None else []),
            [],
            patience_s,
        )
        for descriptor in [one for one in self._pipes if one in readable]:
            self._hand_on(descriptor)
        for connection, client in by_socket.items():
            if connection in readable:
                self._hear(client)
            if connection in writable and not client.flush():
                self._drop(client)
        if self._input is not None and self._input in writable:
            self._tell()
        if self._listener in readable:
            self._clients.append(_Client(self._listener.accept()[0]))

    def _hand_on(self, descriptor: int) -> None:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # a terminal that nobody has open any more
            chunk = b""
        name = self._pipes[descriptor]
        self._rest[descriptor] = _log_lines(self._log, name, self._rest[descriptor] + chunk)
        if not chunk:
            del self._pipes[descriptor]
            return
        frame = _FRAME.pack(_CHANNELS[name], len(chunk)) + chunk
        for client in self._clients:
            client.unsent += frame

    def _hear(self, client: _Client) -> None:
        frames = client.receive()
        if frames is None:
            self._drop(client)
            return
        for channel, content in frames:
            if channel == _STDIN and self._input is not None and not self._is_all_said:
                self._unheard += content
            elif channel == _RESIZE and self._is_terminal and self._input is not None:
                fcntl.ioctl(self._input, termios.TIOCSWINSZ, content[:8].ljust(8, b"\0"))
            elif channel == _CLOSE:
                self._end_input()

    def _tell(self) -> None:
        assert self._input is not None, "there is something to tell"
        try:
            del self._unheard[: os.write(self._input, self._unheard)]
        except BlockingIOError:
            return
        except OSError:  # it listens no more
            self._unheard.clear()
        self._close_if_heard()

    def _drop(self, client: _Client) -> None:
        client.connection.close()
        self._clients.remove(client)
        if self._hears_once:
            self._end_input()

    def _end_input(self) -> None:
        """The container hears no more than what was said, if what it hears is a pipe."""
        self._is_all_said = not self._is_terminal
        self._close_if_heard()

    def _close_if_heard(self) -> None:
        if self._is_all_said and not self._unheard and self._input is not None:
            os.close(self._input)
            self._input = None


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
