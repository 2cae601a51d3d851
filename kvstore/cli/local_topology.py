"""Who makes up a local cluster, where each member listens and lies, and which flags it is given.

Pure: the same answer for the same question, so that a second `up` starts the same cluster again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kvstore.cli.tls_directory import TlsDirectory

HOST = "127.0.0.1"
BASE_PORT_DEFAULT = 2379
MEMBERS_DEFAULT = 3
MEMBERS_MAX = 9
PORT_STEP = 10
"""Between the client ports of two members; a member's peer port follows its client port."""
FORMAT = 1
"""Of the state file."""

_HISTORY_KEPT = "1h"
"""Local clusters forget older history by themselves, or their disks would fill."""


class UnknownState(Exception):
    """The state file is none that this release can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPlan:
    """One member of a local cluster."""

    name: str
    client_port: int
    data_dir: Path
    log_file: Path
    tls_directory: Path | None = None
    """Where its certificates lie; None without TLS."""

    @property
    def peer_port(self) -> int:
        """Where it listens for peers."""
        return self.client_port + 1

    @property
    def client_url(self) -> str:
        """Where clients find it."""
        return f"{self._scheme}://{HOST}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """Where peers find it."""
        return f"{self._scheme}://{HOST}:{self.peer_port}"

    @property
    def _scheme(self) -> str:
        return "http" if self.tls_directory is None else "https"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A local cluster; what is in it never changes while its directory exists."""

    directory: Path
    base_port: int
    size: int
    is_tls: bool = False
    """Mutual TLS, between members and with clients; certificates lie in `tls_directory`."""

    @property
    def tls_directory(self) -> Path:
        """Where the certificates lie."""
        return self.directory / "tls"

    @property
    def profile(self) -> dict[str, str]:
        """What kvstorectl has to know, by the names of its flags."""
        found = {"endpoints": self.client_urls}
        return found | TlsDirectory(self.tls_directory).client() if self.is_tls else found

    @property
    def members(self) -> tuple[MemberPlan, ...]:
        """The members, in order of their ports."""
        return tuple(
            MemberPlan(
                name=f"m{number + 1}",
                client_port=self.base_port + number * PORT_STEP,
                data_dir=self.directory / f"m{number + 1}.data",
                log_file=self.directory / f"m{number + 1}.log",
                tls_directory=self.tls_directory if self.is_tls else None,
            )
            for number in range(self.size)
        )

    @property
    def client_urls(self) -> str:
        """All client URLs, as `--endpoints` takes them."""
        return ",".join(member.client_url for member in self.members)

    def flags(self, member: MemberPlan) -> list[str]:
        """Return the command line of `member`, without the program."""
        cluster = ",".join(f"{other.name}={other.peer_url}" for other in self.members)
        return [
            f"--name={member.name}",
            f"--data-dir={member.data_dir}",
            f"--listen-client-urls={member.client_url}",
            f"--advertise-client-urls={member.client_url}",
            f"--listen-peer-urls={member.peer_url}",
            f"--initial-advertise-peer-urls={member.peer_url}",
            f"--initial-cluster={cluster}",
            "--initial-cluster-state=new",
            "--initial-cluster-token=kvstore-local",
            f"--auto-compaction-retention={_HISTORY_KEPT}",
            *(TlsDirectory(self.tls_directory).member_flags() if self.is_tls else ()),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalState:
    """What the state file remembers: the cluster, and the processes last started for it."""

    topology: Topology
    member_pids: Mapping[str, int]
    launcher_pid: int | None
    """The `up` in whose foreground the members run; None when detached."""

    def to_json(self) -> str:
        """Return the text of the state file."""
        return json.dumps(
            {
                "format": FORMAT,
                "base_port": self.topology.base_port,
                "size": self.topology.size,
                "tls": self.topology.is_tls,
                "member_pids": dict(self.member_pids),
                "launcher_pid": self.launcher_pid,
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str, directory: Path) -> "LocalState":
        """Read the text of the state file that lies in `directory`.

        Raises:
            UnknownState: it was written by another release, or is damaged.
        """
        try:
            stored = json.loads(text)
            if stored["format"] != FORMAT:
                raise UnknownState(f"the state has format {stored['format']}, expected {FORMAT}")
            return cls(
                topology=Topology(
                    directory=directory,
                    base_port=int(stored["base_port"]),
                    size=int(stored["size"]),
                    is_tls=bool(stored.get("tls", False)),
                ),
                member_pids={str(name): int(pid) for name, pid in stored["member_pids"].items()},
                launcher_pid=stored["launcher_pid"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnknownState(f"the state cannot be read: {error!r}") from error
