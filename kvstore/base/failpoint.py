"""Named points around each durable step at which a test can hold, fail or kill the process.

Inert unless the environment variable `KVSTORE_FAILPOINTS` names a directory. Then a file
`<directory>/<name>` arms the point; its text is the action: `hold` (wait until the file is gone),
`error` (raise `OSError(EIO)`), `full` (raise `OSError(ENOSPC)`) or `exit` (end the process without
clean-up). Simulations arm points in memory by `arm`.
"""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

_HOLD_POLL_S = 0.01
_KILLED = 137

_directory: Path | None = (
    Path(os.environ["KVSTORE_FAILPOINTS"]) if os.environ.get("KVSTORE_FAILPOINTS") else None
)
_never = threading.Event()
"""Waited for in real time, whatever clock the member uses; `time.sleep` fails under libfaketime."""
_armed: dict[str, Callable[[], None]] = {}


def arm(name: str, action: Callable[[], None]) -> None:
    """Run `action` whenever the point `name` is hit in this process."""
    _armed[name] = action


def disarm(name: str) -> None:
    """Make the point `name` inert again."""
    _armed.pop(name, None)


def hit(name: str) -> None:
    """Pass the point `name`: nothing happens unless a test armed it."""
    if _armed and (action := _armed.get(name)) is not None:
        action()
    if _directory is not None:
        _obey(_directory / name)


def _obey(file: Path) -> None:
    try:
        action = file.read_text().strip()
    except FileNotFoundError:
        return
    match action:
        case "hold":
            while file.exists():
                _never.wait(_HOLD_POLL_S)
        case "error":
            raise OSError(errno.EIO, f"failpoint {file.name}")
        case "full":
            raise OSError(errno.ENOSPC, f"failpoint {file.name}")
        case "exit":
            os._exit(_KILLED)
        case unknown:
            raise ValueError(f"failpoint {file.name}: unknown action {unknown!r}")
