"""Ports for members: free now, and not given to another test process meanwhile."""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

_RANGE = range(20_000, 32_000)
"""Below what kernels hand out by themselves: no outgoing connection takes one of these first."""


class ReservedPorts:
    """Ports that no other `ReservedPorts` of this user has, in any process, until `release`.

    The kernel lets go of them when the process ends, however it ends.
    """

    def __init__(self, count: int) -> None:
        """Reserve `count` ports that nobody listens on.

        Raises:
            OSError: there are not so many.
        """
        directory = Path(tempfile.gettempdir()) / f"kvstore-ports-{os.getuid()}"
        directory.mkdir(mode=0o700, exist_ok=True)
        self._locks: list[IO[bytes]] = []
        self.ports: list[int] = []
        for port in random.Random(os.urandom(8)).sample(_RANGE, len(_RANGE)):
            if len(self.ports) == count:
                return
            self._try(directory, port)
        self.release()
        raise OSError(f"no {count} free ports between {_RANGE.start} and {_RANGE.stop}")

    def release(self) -> None:
        """Let others have them."""
        while self._locks:
            self._locks.pop().close()
        self.ports.clear()

    def _try(self, directory: Path, port: int) -> None:
        lock = (directory / str(port)).open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return
        if not _is_free(port):
            lock.close()
            return
        self._locks.append(lock)
        self.ports.append(port)


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False
