"""The port to containers: start, stop, look, read. What they are made of, the adapter knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol


class ContainerId(NamedTuple):
    """One run of one container of one pod; `attempt` counts its restarts."""

    pod_uid: str
    name: str
    attempt: int

    def __str__(self) -> str:
        return f"process://{self.pod_uid}.{self.name}.{self.attempt}"


class Phase(Enum):
    """Where a run of a container is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of one run. Times in seconds since 1970; 0 for what has not happened."""

    id: ContainerId
    phase: Phase
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """All that a run needs, decided before it starts."""

    argv: Sequence[str]
    env: Mapping[str, str]
    working_directory: str
    mounts: Mapping[str, str] = field(default_factory=dict)
    """Paths that the container sees, and the directories or files that stand there."""
    log: str = ""
    termination_log: str = ""
    memory_bytes_max: int = 0
    """0 for no limit."""


class CannotStart(Exception):
    """A container cannot be run; `reason` is the word for its status."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Runtime(Protocol):
    """Containers of this node."""

    def runs(self, pod_uid: str = "") -> Sequence[Run]:
        """Return the latest run of every container of a pod, or of all pods that are known here."""
        ...

    def start(self, container: ContainerId, config: ContainerConfig) -> None:
        """Start a run; one that was started before is left as it is.

        Raises:
            CannotStart: there is no such program, or it may not be run.
        """
        ...

    def signal(self, container: ContainerId, number: int) -> None:
        """Send a signal to all processes of a run, if it still runs."""
        ...

    async def execute(
        self, container: ContainerId, command: Sequence[str], timeout_s: float
    ) -> tuple[int, str]:
        """Run a command beside a run; return its exit code and the beginning of its output."""
        ...

    def forget(self, pod_uid: str) -> None:
        """Remove every trace of a pod, none of which may run any more."""
        ...

    def directory(self, pod_uid: str) -> Path:
        """Return where a pod's files are; it exists."""
        ...

    def log_path(self, container: ContainerId) -> Path:
        """Return where the output of a run is, in the CRI's log format."""
        ...
