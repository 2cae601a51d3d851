"""`kvstore local up --kube --nodes 2`: what a user makes runs, is reached, and heals."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward
from urllib3.exceptions import HTTPError

from cluster.kubelet.process_runtime import can_mount
from cluster.launcher import addresses
from cluster.launcher.nodes import DNS_PORT, dns_port
from tests.support.kube_nodes import (
    NAMESPACE,
    NodesCluster,
    answers,
    answers_at_all,
    deployment,
    load,
    nodes_cluster,
    processes,
    replication_controller,
    service,
    until,
)
from tests.support.kube_trace import the_page_tells_what_happens, the_pages_controller_counts

FULL = bool(os.environ.get("KVSTORE_FULL"))
REQUESTS = 1000 if FULL else 100
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800 if FULL else 900),
    # Python's client leaves the sockets of its streams to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_pods_are_reached_replaced_and_updated_though_components_die(tmp_path: Path) -> None:
    """One cluster for the whole story: to start it takes as long as the rest."""
    members = 3 if FULL else 1
    with nodes_cluster(tmp_path / "cluster", nodes=2, members=members) as cluster:
        the_pages_controller_counts(cluster)
        the_page_tells_what_happens(cluster)
        _pods_run_are_reached_by_their_service_and_replaced(cluster)
        _a_rolling_update_under_load_fails_no_request_though_components_die(cluster)


def _pods_run_are_reached_by_their_service_and_replaced(cluster: NodesCluster) -> None:
    core = cluster.core
    core.create_namespaced_replication_controller(NAMESPACE, replication_controller("web", 3))
    core.create_namespaced_service(NAMESPACE, service("web"))
    cluster.until_ready("web", 3)
    pods = cluster.pods("web")
    assert {pod.spec.node_name for pod in pods} == {"n1", "n2"}
    urls = cluster.urls("web")
    for url in urls:
        until("the proxy listens", lambda url=url: answers_at_all(url))  # type: ignore[misc]
        spread = answers(url, REQUESTS)
        assert set(spread) == cluster.ready("web")
        assert min(spread.values()) >= REQUESTS // 12, spread

    _its_name_leads_to_it(cluster, pods[0].metadata.name)
    _what_a_container_says_can_be_read(cluster)
    _containers_are_talked_with(cluster, pods[0].metadata.name)
    _a_killed_container_runs_again(cluster, pods[0])
    _a_killed_kubelet_finds_its_pods(cluster)
    gone = min(cluster.ready("web"))
    core.delete_namespaced_pod(gone, NAMESPACE)
    until("it is replaced", lambda: len(cluster.ready("web") - {gone}) == 3)
    assert sum(answers(urls[0], 30).values()) == 30
    for replicas in (10 if FULL else 6, 0):
        core.patch_namespaced_replication_controller_scale(
            "web", NAMESPACE, {"spec": {"replicas": replicas}}
        )
        cluster.until_ready("web", replicas)


def _a_rolling_update_under_load_fails_no_request_though_components_die(
    cluster: NodesCluster,
) -> None:
    cluster.apps.create_namespaced_deployment(NAMESPACE, deployment("app", 3, version="1"))
    cluster.core.create_namespaced_service(NAMESPACE, service("app"))
    cluster.until_ready("app", 3)
    url = cluster.urls("app")[0]
    until("the proxy listens", lambda: answers_at_all(url))
    victims = ["kube controller-manager"]
    if FULL:
        victims += ["kube scheduler", "kube apiserver", "kvstored"]
    with load(url) as found:
        for version, victim in enumerate(["", *victims], 2):
            _roll_out(cluster, str(version), victim)
    assert not [text for text in found if text.startswith("failed")], found
    assert sum(found.values()) > REQUESTS
    cluster.apps.delete_namespaced_deployment("app", NAMESPACE)
    cluster.until_ready("app", 0)


def _its_name_leads_to_it(cluster: NodesCluster, pod: str) -> None:
    """The cluster's DNS knows the service; where they can be told, so do the pod's processes."""
    address = cluster.core.read_namespaced_service("web", NAMESPACE).spec.cluster_ip
    question = dns.message.make_query("web.default.svc.cluster.local.", "A")
    where, port = addresses.dns_address(cluster.base_port), dns_port()
    found = dns.query.udp(question, where, port=port, timeout=30)
    assert [one.to_text() for one in found.answer[0]] == [address]
    if can_mount() and port == DNS_PORT:
        code = "import socket; print(socket.gethostbyname('web'))"
        assert cluster.run(pod, "python3", "-c", code) == (f"{address}\n", 0)


def _roll_out(cluster: NodesCluster, version: str, victim: str) -> None:
    """Change the template, kill `victim` when the first new pod is there, and see the end."""
    before = {pod.metadata.name for pod in cluster.pods("app")}
    cluster.apps.patch_namespaced_deployment(
        "app", NAMESPACE, deployment("app", 3, version=version)
    )
    if victim:
        until("it has begun", lambda: {p.metadata.name for p in cluster.pods("app")} > before)
        _kill(cluster, victim)

    def is_done() -> bool:
        try:
            live = cluster.apps.read_namespaced_deployment("app", NAMESPACE)
        except (ApiException, HTTPError):  # the API server is away
            return False
        status = live.status
        return bool(
            status.observed_generation == live.metadata.generation
            and (status.updated_replicas, status.replicas, status.available_replicas) == (3, 3, 3)
        )

    until(f"version {version} is out, after the end of {victim or 'nothing'}", is_done)
    until("the old pods are gone", lambda: len(cluster.pods("app")) == 3)
    environments = [pod.spec.containers[0].env for pod in cluster.pods("app")]
    values = {one.value for env in environments for one in env if one.name == "VERSION"}
    assert values == {version}


def _kill(cluster: NodesCluster, victim: str) -> None:
    """Kill a component; the launcher's supervisor, or for the API server its operator, mends it."""
    pid = min(cluster.component(victim))
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    os.kill(pid, signal.SIGKILL)
    if victim == "kube apiserver":
        with (cluster.directory / "kube" / "apiserver.log").open("ab") as log:
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _what_a_container_says_can_be_read(cluster: NodesCluster) -> None:
    core = cluster.core
    command = ["sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done"]
    core.create_namespaced_pod(NAMESPACE, _pod("talker", command))

    def has_begun() -> bool:
        return bool(core.read_namespaced_pod("talker", NAMESPACE).status.phase != "Pending")

    until("it has begun", has_begun)
    followed = core.read_namespaced_pod_log("talker", NAMESPACE, follow=True)
    assert followed == "line 1\nline 2\nline 3\n"
    assert core.read_namespaced_pod_log("talker", NAMESPACE, tail_lines=1) == "line 3\n"
    with pytest.raises(ApiException, match="previous terminated container"):
        core.read_namespaced_pod_log("talker", NAMESPACE, previous=True)
    core.delete_namespaced_pod("talker", NAMESPACE)


def _containers_are_talked_with(cluster: NodesCluster, pod: str) -> None:
    said, code = cluster.run(pod, "sh", "-c", "read it; echo heard $it; exit 5", text="this\n")
    assert (said, code) == ("heard this\n", 5)
    with pytest.raises(ApiException, match="nope is not valid for pod"):
        cluster.core.connect_get_namespaced_pod_attach(
            pod, NAMESPACE, container="nope", stdout=True
        )
    forwarded = portforward(
        cluster.core.connect_get_namespaced_pod_portforward, pod, NAMESPACE, ports="8080"
    )
    connection = forwarded.socket(8080)
    connection.setblocking(True)
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answered = b""
    while chunk := connection.recv(4096):
        answered += chunk
    connection.close()
    assert answered.endswith(pod.encode())
    for log in ("apiserver.log", "kubelet-n1.log", "kubelet-n2.log"):
        assert "Traceback" not in (cluster.directory / "kube" / log).read_text()


def _pod(name: str, command: list[str], **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "busybox", "command": command}
    return {
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [container], **spec},
    }


def _processes_of(pod: Any) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                env = (folder / "environ").read_bytes()
            except OSError:
                continue
            if f"POD_IP={pod.status.pod_ip}\0".encode() in env:
                found.append(int(folder.name))
    return found


def _a_killed_container_runs_again(cluster: NodesCluster, pod: Any) -> None:
    name = pod.metadata.name
    for pid in _processes_of(pod):
        os.kill(pid, signal.SIGKILL)

    def has_restarted() -> bool:
        status = cluster.core.read_namespaced_pod(name, NAMESPACE).status.container_statuses[0]
        return bool(status.restart_count == 1 and status.ready)

    until("the container runs again", has_restarted)
    live = cluster.core.read_namespaced_pod(name, NAMESPACE)
    ended = live.status.container_statuses[0].last_state.terminated
    assert (ended.exit_code, ended.signal) == (137, 9)


def _a_killed_kubelet_finds_its_pods(cluster: NodesCluster) -> None:
    """Its supervisor starts it again; no container is started twice, or ended."""
    pods = [
        pod
        for pod in cluster.pods("web")
        if pod.spec.node_name == "n1" and pod.metadata.deletion_timestamp is None
    ]
    before = {pod.metadata.name: _processes_of(pod) for pod in pods}
    assert before
    assert all(before.values())
    pattern = f"kube kubelet .*--root-dir={cluster.directory}/kube/n1"
    old = processes(pattern)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    until("the kubelet is back", lambda: bool(processes(pattern) - old))
    cluster.core.create_namespaced_pod(NAMESPACE, _pod("after", ["true"], nodeName="n1"))

    def has_run() -> bool:
        return bool(
            cluster.core.read_namespaced_pod("after", NAMESPACE).status.phase == "Succeeded"
        )

    until("the kubelet works", has_run)
    cluster.core.delete_namespaced_pod("after", NAMESPACE)
    assert {pod.metadata.name: _processes_of(pod) for pod in pods} == before
