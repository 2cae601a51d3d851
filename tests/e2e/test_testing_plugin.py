"""The pytest plugin, as somebody who installed the package meets it."""

import pytest

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.slow]

SUITE = """
import pytest

seen = []

def test_of_its_own(cluster, key_prefix):
    seen.append(cluster.directory)
    with cluster.client() as client:
        assert client.get("shared") is None
        client.put(key_prefix + "k", "v")

def test_shared(session_cluster, key_prefix):
    seen.append(session_cluster.directory)
    with session_cluster.client() as client:
        client.put(key_prefix + "k", "v")
    session_cluster.members[0].kill()

def test_shared_and_healed(session_cluster, key_prefix):
    seen.append(session_cluster.directory)
    with session_cluster.client() as client:
        assert client.get(key_prefix + "k") is None
        assert client.get("test_suite.py::test_shared/k").value == b"v"

def test_that_fails(session_cluster):
    assert False, "on purpose"

def test_directories():
    own, shared, again = seen
    assert shared == again != own
    assert not own.exists()
"""

AT_THE_SAME_TIME = """
import pytest

@pytest.mark.kvstore(size=2)
def test_marked(cluster):
    assert len(cluster.members) == 2

@pytest.mark.parametrize("number", range(4))
def test_alone(session_cluster, number):
    with session_cluster.client() as client:
        revision = client.put("k", str(number)).header.revision
        assert client.put("k", "again").header.revision == revision + 1
"""


def test_two_processes_have_clusters_of_their_own_and_logs_of_what_failed(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(test_suite=SUITE, test_at_the_same_time=AT_THE_SAME_TIME)
    result = pytester.runpytest_subprocess(
        "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider", timeout=280
    )
    result.assert_outcomes(passed=9, failed=1)
    result.stdout.fnmatch_lines(["*logs of session_cluster*", "*ready to serve client requests*"])


@pytest.mark.etcd
def test_the_same_tests_run_on_a_real_etcd(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_version(cluster):
            assert cluster.program.name == "etcd"
            with cluster.client() as client:
                assert client.status().version.startswith("3.5")
        """
    )
    result = pytester.runpytest_subprocess("--kvstore-server", "etcd", timeout=120)
    result.assert_outcomes(passed=1)
