"""The pytest plugin: a cluster that all tests of a process share, a namespace for each test.

Nothing of the cluster is imported before a fixture is used.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cluster.testing.kube_cluster import KubeCluster


@pytest.fixture(scope="session")
def kube_cluster() -> Iterator["KubeCluster"]:
    """A Kubernetes API, started by the first test that asks for it."""
    from cluster.testing.kube_cluster import KubeCluster

    with KubeCluster() as cluster:
        yield cluster


@pytest.fixture
def kube_namespace(kube_cluster: "KubeCluster") -> str:
    """A namespace that only this test uses."""
    return kube_cluster.create_namespace()


@pytest.fixture
def kubeconfig(kube_cluster: "KubeCluster", kube_namespace: str) -> Path:
    """The path of an administrator's kubeconfig; its context is a namespace of this test."""
    return kube_cluster.kubeconfig(namespace=kube_namespace)
