"""Where a run took place: what makes two results comparable, or not."""

import os
import platform
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
SYNCS = 200


class UnfitDirectory(Exception):
    """The data directory cannot give honest figures."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts that belong to every result."""

    commit: str
    kernel: str
    cpu: str
    cpus: int
    python: str
    file_system: str
    fdatasync_p50_us: float
    fdatasync_p99_us: float

    def fields(self) -> dict[str, str | float]:
        """For a JSON line."""
        return asdict(self)


def machine(directory: Path) -> Machine:
    """Collect the facts; `directory` is where the servers will keep their data.

    Raises:
        UnfitDirectory: it lies in memory.
    """
    file_system = file_system_of(directory)
    if file_system.split()[0] in MEMORY_FILE_SYSTEMS:
        raise UnfitDirectory(f"{directory} is {file_system}: a sync costs nothing there")
    p50, p99 = measured_fdatasync_us(directory)
    return Machine(
        commit=_commit(),
        kernel=platform.release(),
        cpu=_cpu(),
        cpus=os.cpu_count() or 0,
        python=platform.python_version(),
        file_system=file_system,
        fdatasync_p50_us=p50,
        fdatasync_p99_us=p99,
    )


def file_system_of(directory: Path) -> str:
    """Type and device of the file system, such as `ext4 /dev/vda`."""
    resolved = str(directory.resolve())
    best = ("", "unknown unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        device, mount_point, kind = line.split()[:3]
        prefix = mount_point.rstrip("/") + "/"
        if (resolved + "/").startswith(prefix) and len(prefix) > len(best[0]):
            best = (prefix, f"{kind} {device}")
    return best[1]


def measured_fdatasync_us(directory: Path) -> tuple[float, float]:
    """p50 and p99 of overwriting 4 KiB in place and syncing it, as a log does."""
    took = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        descriptor = file.fileno()
        os.pwrite(descriptor, bytes(4096 * SYNCS), 0)
        os.fsync(descriptor)
        for number in range(SYNCS):
            started = time.perf_counter()
            os.pwrite(descriptor, b"x" * 4096, 4096 * number)
            os.fdatasync(descriptor)
            took.append((time.perf_counter() - started) * 1e6)
    return round(statistics.median(took), 1), round(sorted(took)[int(SYNCS * 0.99)], 1)


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
