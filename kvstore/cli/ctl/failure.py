"""How a command ends early: etcdctl's exit codes."""

from enum import IntEnum


class Exit(IntEnum):
    """etcdctl's exit codes (`pkg/cobrautl`)."""

    OK = 0
    ERROR = 1
    BAD_CONNECTION = 2
    INVALID_INPUT = 3
    BAD_FEATURE = 4
    INTERRUPTED = 5
    IO = 6
    BAD_ARGS = 128


class Stop(Exception):
    """Ends the command: `Error: <message>` on standard error, unless the message is empty."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
