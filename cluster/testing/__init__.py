"""A Kubernetes API for tests: a real API server over a real store, and kubeconfigs to reach it.

    def test_my_operator(kubeconfig): ...        # a path; its context is a namespace of this test
    def test_many_things(kube_cluster): ...      # the cluster itself

    with KubeCluster() as cluster:               # without pytest
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig())

It is what envtest is for Go: no node, no controllers, nothing that runs pods; but all of the
API, users and roles included. The fixtures share one cluster a test process.
"""

from cluster.testing.kube_cluster import KubeCluster

__all__ = ["KubeCluster"]
