"""etcd 3.6, which PyPI does not have: `tools/interop/etcd36.sh` builds it and names it here."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cluster_process import Program
from tests.support.etcd_process import etcd_version

DIRECTORY = "KVSTORE_ETCD36"
_ROWS = pytest.StashKey[list[str]]()


@dataclass(frozen=True, slots=True)
class Etcd36:
    """The server and the client, both of release 3.6."""

    server: Program
    client: str


@pytest.fixture(scope="session")
def etcd36() -> Etcd36:
    """What the script built; skips where it did not run."""
    directory = os.environ.get(DIRECTORY)
    if directory is None:
        pytest.skip(f"{DIRECTORY} is not set: `make interop` builds etcd 3.6 and sets it")
    server = Program("etcd", (str(Path(directory) / "etcd"),))
    assert etcd_version(server).startswith("3.6."), server
    return Etcd36(server, str(Path(directory) / "etcdctl"))


class Table:
    """What was compared, for the lines at the end of the run."""

    def __init__(self, rows: list[str]) -> None:
        self._rows = rows

    def add(self, what: str, *, compared: int, differing: int) -> None:
        """One line."""
        self._rows.append(f"{what:60} {compared:8} {differing:9}")


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """The table that is printed when all tests are done."""
    return Table(pytestconfig.stash.setdefault(_ROWS, []))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table."""
    if rows := config.stash.get(_ROWS, []):
        terminalreporter.section("compared with etcd 3.6")
        terminalreporter.write_line(f"{'':60} {'compared':>8} {'differing':>9}")
        for row in rows:
            terminalreporter.write_line(row)
