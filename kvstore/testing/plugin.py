"""The pytest plugin: fixtures that are clusters. pytest finds it by its entry point.

    def test_something(cluster): ...             # one member, new for this test
    def test_more(cluster_of_3): ...             # three members, new for this test
    def test_quickly(session_cluster): ...       # one member, shared by all tests of the process
    def test_all(session_cluster_of_3): ...      # three members, shared

    @pytest.mark.kvstore(disk_mib=300, own_clocks=True)   # how the test's own cluster is made
    def test_on_a_small_disk(cluster): ...

A shared cluster is healed between two tests and keeps its data: use `key_prefix` to stay apart.
`--kvstore-server etcd` runs the same tests on a real etcd. When a test fails, the logs of its
members are in the report. Nothing of kvstore is imported before a fixture is used.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kvstore.testing.cluster import Cluster
    from kvstore.testing.program import Program

_CLUSTERS = ("cluster", "cluster_of_3", "session_cluster", "session_cluster_of_3")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of the server."""
    parser.getgroup("kvstore").addoption(
        "--kvstore-server",
        default="kvstored",
        metavar="SERVER",
        help="what clusters in tests consist of: kvstored, etcd, or the path of an etcd",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "kvstore(**options): arguments of kvstore.testing.Cluster for this test's cluster",
    )


@pytest.fixture(scope="session")
def kvstore_program(pytestconfig: pytest.Config) -> "Program":
    """What clusters consist of."""
    from kvstore.testing.program import KVSTORED, etcd

    name = pytestconfig.getoption("--kvstore-server")
    if name == "kvstored":
        return KVSTORED
    return etcd(None if name == "etcd" else name)


@pytest.fixture
def cluster(request: pytest.FixtureRequest, kvstore_program: "Program") -> Iterator["Cluster"]:
    """A cluster of one member, for this test alone."""
    yield from _cluster(1, kvstore_program, _options(request))


@pytest.fixture
def cluster_of_3(request: pytest.FixtureRequest, kvstore_program: "Program") -> Iterator["Cluster"]:
    """A cluster of three members, for this test alone."""
    yield from _cluster(3, kvstore_program, _options(request))


@pytest.fixture(scope="session")
def _session_cluster(kvstore_program: "Program") -> Iterator["Cluster"]:
    yield from _cluster(1, kvstore_program, {})


@pytest.fixture(scope="session")
def _session_cluster_of_3(kvstore_program: "Program") -> Iterator["Cluster"]:
    yield from _cluster(3, kvstore_program, {})


@pytest.fixture
def session_cluster(_session_cluster: "Cluster") -> Iterator["Cluster"]:
    """A cluster of one member that all tests of this process share."""
    yield from _healed(_session_cluster)


@pytest.fixture
def session_cluster_of_3(_session_cluster_of_3: "Cluster") -> Iterator["Cluster"]:
    """A cluster of three members that all tests of this process share."""
    yield from _healed(_session_cluster_of_3)


@pytest.fixture
def key_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for keys that no other test of the run has."""
    return f"{request.node.nodeid}/"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the members' logs to the report of a test that failed."""
    report = yield
    if report.failed and call.when == "call":
        for name in _CLUSTERS:
            used = getattr(item, "funcargs", {}).get(name)
            if used is not None and hasattr(used, "logs"):
                report.sections.append((f"logs of {name}", used.logs()))
    return report


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("kvstore")
    return dict(marker.kwargs) if marker is not None else {}


def _cluster(size: int, program: "Program", options: dict[str, Any]) -> Iterator["Cluster"]:
    from kvstore.testing.cluster import Cluster

    with Cluster(**{"size": size, "program": program, **options}) as started:
        yield started


def _healed(shared: "Cluster") -> Iterator["Cluster"]:
    if shared.is_faulty:  # the test before left it so
        shared.heal()
    yield shared
    if shared.is_faulty:
        shared.heal()
