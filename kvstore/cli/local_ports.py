"""Whether a port is free, and who holds it if not."""

import errno
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from kvstore.cli.local_topology import HOST, Topology

_PROC = Path("/proc")
_LISTENING = "0A"
_CANDIDATE_STEP = 1000
_PORT_MAX = 65_535


def taken_ports(ports: Iterable[int]) -> list[int]:
    """Return those of `ports` that a member could not listen on."""
    return [port for port in ports if not _is_free(port)]


def ports_of(topology: Topology) -> list[int]:
    """Return every port of a cluster."""
    return [port for member in topology.members for port in (member.client_port, member.peer_port)]


def free_base_port(topology: Topology) -> int | None:
    """Return a base port under which the whole cluster would find its ports free."""
    for base_port in range(topology.base_port + _CANDIDATE_STEP, _PORT_MAX, _CANDIDATE_STEP):
        moved = Topology(directory=topology.directory, base_port=base_port, size=topology.size)
        ports = ports_of(moved)
        if max(ports) <= _PORT_MAX and not taken_ports(ports):
            return base_port
    return None


def owner(port: int, *, proc: Path = _PROC) -> str | None:
    """Return `pid 12 (etcd --name x)` for the process that listens on `port`.

    None where the system does not say: not Linux, or a process of another user.
    """
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port, proc)}
    if not inodes:
        return None
    for descriptor in proc.glob("[0-9]*/fd/*"):
        with suppress(OSError):  # the process may end, or not be ours, while we look
            if str(descriptor.readlink()) in inodes:
                process = descriptor.parent.parent
                words = process.joinpath("cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                command = b" ".join(words).decode(errors="replace")
                return f"pid {process.name} ({command[:120]})"
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the member itself does; without it the port of a member that just ended looks taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def _listening_inodes(port: int, proc: Path) -> list[str]:
    found = []
    for table in ("net/tcp", "net/tcp6"):
        with suppress(OSError):
            for line in proc.joinpath(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                    found.append(columns[9])
    return found
