"""A keyspace directory belongs to one process at a time."""

import fcntl
import os
from pathlib import Path

from kvstore.base.errors import MemberFailed

LOCK_FILE = "keyspace.lock"


class KeyspaceInUse(MemberFailed):
    """Another process has this keyspace open."""


def lock_directory(directory: Path) -> int:
    """Lock `directory` until the returned descriptor is closed, or the process ends.

    Raises:
        KeyspaceInUse: it is locked already, here or in another process.
    """
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise KeyspaceInUse(f"{directory} is open in another process") from error
    return descriptor
