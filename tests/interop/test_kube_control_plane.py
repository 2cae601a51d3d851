"""The real controllers and scheduler of Kubernetes, at work against our API server."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.kube_process import KubeClient, kube_cluster

BINARIES = os.environ.get("KVSTORE_KUBERNETES", "")
WAIT_S = 120.0

pytestmark = [
    pytest.mark.skipif(not BINARIES, reason="run by tools/interop/kube_control_plane.sh"),
    pytest.mark.timeout(900),
]


def wait_for(what: str, found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        result = found()
        if result:
            return result
        time.sleep(0.2)
    raise AssertionError(f"waited {WAIT_S:.0f} s for {what}")


@contextlib.contextmanager
def running(program: str, directory: Path, *flags: str) -> Iterator[None]:
    command = [str(Path(BINARIES) / program), *flags]
    with (directory / f"{program}.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def kubeconfig(directory: Path, url: str) -> Path:
    file = directory / "kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: c, cluster: {{server: '{url}'}}}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n"
    )
    return file


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KubeClient, Path]]:
    """An API server with the real controllers and scheduler around it."""
    directory = tmp_path_factory.mktemp("control-plane")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (directory / "sa.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    with kube_cluster(directory) as client:
        config = kubeconfig(directory, client.url)
        common = (
            f"--kubeconfig={config}",
            "--kube-api-content-type=application/json",
            "--authentication-kubeconfig=",
            "--authorization-kubeconfig=",
            "--bind-address=127.0.0.1",
            "--secure-port=0",
        )
        controllers = running(
            "kube-controller-manager",
            directory,
            *common,
            f"--service-account-private-key-file={directory / 'sa.key'}",
            "--use-service-account-credentials=false",
            f"--flex-volume-plugin-dir={directory / 'flex'}",
        )
        with controllers, running("kube-scheduler", directory, *common):
            yield client, config


def register_node(client: KubeClient, name: str) -> None:
    amounts = {"cpu": "8", "memory": "16Gi", "pods": "110"}
    client.create(
        "/api/v1/nodes",
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {
                "capacity": amounts,
                "allocatable": amounts,
                "conditions": [
                    {"type": "Ready", "status": "True", "lastHeartbeatTime": now(), "reason": "x"}
                ],
            },
        },
    )


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def kubectl(config: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(Path(BINARIES) / "kubectl"), f"--kubeconfig={config}", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def beat(client: KubeClient, node: str) -> None:
    """Say that the node is well, as its kubelet does."""
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": now(), "reason": "x"}
    client.patch(
        f"/api/v1/nodes/{node}/status",
        {"status": {"conditions": [condition]}},
        kind="strategic-merge-patch+json",
    )


def test_both_take_their_leases(cluster: tuple[KubeClient, Path]) -> None:
    client, _ = cluster
    for name in ("kube-controller-manager", "kube-scheduler"):
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{name}"
        wait_for(f"the lease of {name}", lambda path=path: client.request("GET", path).code == 200)


def test_a_deployment_becomes_pods_on_a_node_and_all_of_it_goes_with_its_namespace(
    cluster: tuple[KubeClient, Path],
) -> None:
    client, config = cluster
    register_node(client, "n1")
    kubectl(config, "create", "namespace", "work")
    account = "/api/v1/namespaces/work/serviceaccounts/default"
    wait_for("the default account", lambda: client.request("GET", account).code == 200)
    kubectl(config, "create", "deployment", "web", "--image=nginx", "--replicas=3", "-n", "work")

    def bound() -> list[Any]:
        beat(client, "n1")
        pods = client.get("/api/v1/namespaces/work/pods")["items"]
        return pods if [pod["spec"].get("nodeName") for pod in pods] == ["n1"] * 3 else []

    pods = wait_for("three pods on the node", bound)
    owner = pods[0]["metadata"]["ownerReferences"][0]
    replica_set = client.get(f"/apis/apps/v1/namespaces/work/replicasets/{owner['name']}")
    assert replica_set["metadata"]["ownerReferences"][0]["name"] == "web"

    def counted() -> bool:
        deployment = client.get("/apis/apps/v1/namespaces/work/deployments/web")
        return bool(deployment["status"].get("replicas") == 3)

    wait_for("the deployment's status to count them", counted)

    kubectl(config, "delete", "namespace", "work", "--wait=false")

    def is_gone() -> bool:
        finish_deleted_pods(client, "work")
        return client.request("GET", "/api/v1/namespaces/work").code == 404

    wait_for("the namespace to go", is_gone)


def finish_deleted_pods(client: KubeClient, namespace: str) -> None:
    """Do a kubelet's last deed: remove the pods that are marked as being deleted."""
    for pod in client.get(f"/api/v1/namespaces/{namespace}/pods")["items"]:
        if pod["metadata"].get("deletionTimestamp"):
            path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}"
            client.request("DELETE", path, {"gracePeriodSeconds": 0})


def test_what_nobody_owns_any_more_is_collected(cluster: tuple[KubeClient, Path]) -> None:
    client, config = cluster
    kubectl(config, "create", "deployment", "old", "--image=nginx", "--replicas=1")
    path = "/apis/apps/v1/namespaces/default/replicasets"
    wait_for("a replica set", lambda: client.get(path)["items"])
    kubectl(config, "delete", "deployment", "old", "--cascade=background", "--wait=false")

    def is_empty() -> bool:
        finish_deleted_pods(client, "default")
        pods = client.get("/api/v1/namespaces/default/pods")["items"]
        return not client.get(path)["items"] and not pods

    wait_for("the replica set and its pods to go", is_empty)


def test_a_job_completes_when_its_pod_has_succeeded(cluster: tuple[KubeClient, Path]) -> None:
    client, config = cluster
    kubectl(config, "create", "job", "once", "--image=busybox", "--", "true")
    selector = {"labelSelector": "job-name=once"}
    pods = "/api/v1/namespaces/default/pods"
    (pod,) = wait_for("the pod of the job", lambda: client.get(pods, **selector)["items"])
    client.patch(
        f"{pods}/{pod['metadata']['name']}/status",
        {"status": {"phase": "Succeeded"}},
        kind="strategic-merge-patch+json",
    )
    path = "/apis/batch/v1/namespaces/default/jobs/once"
    job = wait_for("the job to complete", lambda: completed(client.get(path)))
    assert job["status"]["succeeded"] == 1


def completed(job: Any) -> Any:
    conditions = job.get("status", {}).get("conditions", [])
    return job if any(one["type"] == "Complete" for one in conditions) else None
