"""The port to containers: start, stop, look, read. What they are made of, the adapter knows."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
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
    stdin: bool = False
    """Whether it hears who attaches to it; else its input is at its end."""
    stdin_once: bool = False
    """Whether its input ends when the first one who attached goes."""
    tty: bool = False
    """Whether it has a terminal."""


class Channel(IntEnum):
    """What a piece of a conversation with a container is; numbered as `channel.k8s.io` does."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4
    CLOSE = 255


class Size(NamedTuple):
    """Of a terminal, in characters."""

    width: int
    height: int


Sink = Callable[[Channel, bytes], Awaitable[None]]


class Conversation(Protocol):
    """Talk with processes of a container: a command beside it, or itself."""

    async def copy_output(self, sink: Sink) -> None:
        """Hand on all that is said, until nothing is said any more."""
        ...

    async def write(self, data: bytes) -> None:
        """Say something; what nobody listens to is lost."""
        ...

    async def end_input(self) -> None:
        """Say that nothing more will be said."""
        ...

    def resize(self, size: Size) -> None:
        """Tell of the size of the window, if there is a terminal."""
        ...

    async def ended(self) -> int:
        """Wait for the end; return the exit code, 0 if it is not known."""
        ...

    def hang_up(self) -> None:
        """The other side is gone."""
        ...


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

    async def command(
        self, container: ContainerId, argv: Sequence[str], *, hears: bool, tty: bool
    ) -> Conversation | None:
        """Start a command beside a run, to talk with; None if the run has ended."""
        ...

    async def attach(self, container: ContainerId) -> Conversation | None:
        """Talk with a run itself; None if it has ended."""
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
