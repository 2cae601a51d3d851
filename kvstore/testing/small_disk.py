"""A file system of a few MiB for one member, so that it can be full: no privileges needed.

A tmpfs, mounted in a user and mount namespace of its own, which a helper process holds: only
processes that enter the namespace see it, and nothing is left of it when the last of them ended.
The world outside reaches its files through `/proc`.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kvstore.testing.errors import FaultUnavailable

_SCRIPT = 'mount -t tmpfs -o "size=$1m" kvstore-test "$2" && echo ready && exec cat'
_BALLAST = "ballast"
_BLOCKS = (1 << 20, 1 << 12)


class SmallDisk:
    """One such file system, mounted at `where` for those that enter it."""

    def __init__(self, where: Path, *, size_mib: int) -> None:
        """Mount it.

        Raises:
            FaultUnavailable: the machine does not let us.
        """
        for tool in ("unshare", "nsenter"):
            if shutil.which(tool) is None:
                raise FaultUnavailable(f"a small disk needs {tool} (util-linux), which is not here")
        where.mkdir(parents=True, exist_ok=True)
        self.where = where
        unshare = ("unshare", "--user", "--map-root-user", "--mount", "--")
        self._holder = subprocess.Popen(
            [*unshare, "sh", "-c", _SCRIPT, "sh", str(size_mib), str(where)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            assert self._holder.stderr is not None
            why = self._holder.stderr.read().decode(errors="replace").strip()
            self.close()
            raise FaultUnavailable(f"a small disk cannot be mounted in a user namespace: {why}")

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs `command` where the file system is seen."""
        target = ("nsenter", "--target", str(self._holder.pid), "--user", "--mount")
        return [*target, "--preserve-credentials", "--", *command]

    @property
    def seen_from_outside(self) -> Path:
        """Where this process finds what lies in the file system."""
        return Path(f"/proc/{self._holder.pid}/root") / self.where.relative_to("/")

    def fill(self) -> None:
        """Take all space that is left."""
        with (self.seen_from_outside / _BALLAST).open("ab", buffering=0) as ballast:
            for size in _BLOCKS:
                with contextlib.suppress(OSError):
                    while os.write(ballast.fileno(), bytes(size)):
                        pass

    def free(self) -> None:
        """Give back what `fill` took."""
        (self.seen_from_outside / _BALLAST).unlink(missing_ok=True)

    @property
    def is_full(self) -> bool:
        """Whether `fill` was called and `free` was not."""
        return (self.seen_from_outside / _BALLAST).exists()

    def close(self) -> None:
        """Let go of it; it vanishes with the last process inside."""
        with contextlib.suppress(BrokenPipeError):
            self._holder.communicate()
