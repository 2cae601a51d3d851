"""`kvstore local up --kube --nodes 2`: what a user makes runs, is reached, and heals."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.kubectl import Kubectl, kubectl_or_skip
from tests.support.ports import free_base_port

pytestmark = pytest.mark.slow

TIMEOUT_S = 120.0
SERVER = (
    "import http.server, os;"
    "H = type('H', (http.server.BaseHTTPRequestHandler,), {"
    "'do_GET': lambda s: (s.send_response(200), s.end_headers(),"
    " s.wfile.write(os.environ['POD_NAME'].encode())), 'log_message': lambda s, *a: None});"
    "http.server.ThreadingHTTPServer((os.environ['POD_IP'], 8080), H).serve_forever()"
)


def field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


CONTROLLER = {
    "apiVersion": "v1",
    "kind": "ReplicationController",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "selector": {"app": "web"},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "terminationGracePeriodSeconds": 2,
                "containers": [
                    {
                        "name": "web",
                        "image": "python:3",
                        "args": ["python3", "-c", SERVER],
                        "env": [
                            field("POD_NAME", "metadata.name"),
                            field("POD_IP", "status.podIP"),
                        ],
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {
                            "httpGet": {"port": "http", "path": "/"},
                            "periodSeconds": 1,
                            "timeoutSeconds": 5,
                        },
                    }
                ],
            },
        },
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {
        "type": "NodePort",
        "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
    },
}


def local(*arguments: str, directory: Path) -> str:
    command = [sys.executable, "-m", "kvstore.cli.umbrella", "local", *arguments]
    done = subprocess.run(
        [*command, "--dir", str(directory)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "cluster"
    yield path
    local("stop", directory=path)
    left = subprocess.run(
        ["pgrep", "-f", str(path)], capture_output=True, text=True, check=False
    ).stdout
    assert left == "", "processes are left behind"


def until(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.2)


def listed(kubectl: Kubectl, *arguments: str) -> list[Any]:
    return list(json.loads(kubectl("get", *arguments, "-o", "json"))["items"])


def ready_pods(kubectl: Kubectl) -> set[str]:
    return {
        pod["metadata"]["name"]
        for pod in listed(kubectl, "pods", "-l", "app=web")
        if "deletionTimestamp" not in pod["metadata"]
        and any(
            one["type"] == "Ready" and one["status"] == "True"
            for one in pod["status"].get("conditions", [])
        )
    }


def answers(url: str, count: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(count):
        with urllib.request.urlopen(url, timeout=30) as answer:
            found[answer.read().decode()] += 1
    return found


@pytest.mark.timeout(600)
def test_pods_run_are_reached_by_their_service_and_replaced(directory: Path) -> None:
    port = str(free_base_port(1))
    printed = local(
        "up", "-n", "1", "--kube", "--nodes", "2", "-d", "--base-port", port, directory=directory
    )
    config = next(line for line in printed.splitlines() if line.startswith("kubeconfig: "))
    kubectl = kubectl_or_skip(Path(config.removeprefix("kubeconfig: ")))
    everything = {"apiVersion": "v1", "kind": "List", "items": [CONTROLLER, SERVICE]}
    (directory / "web.json").write_text(json.dumps(everything))
    kubectl("apply", "-f", str(directory / "web.json"))
    until("three pods are ready", lambda: len(ready_pods(kubectl)) == 3)
    pods = listed(kubectl, "pods", "-l", "app=web")
    assert {pod["spec"]["nodeName"] for pod in pods} == {"n1", "n2"}

    service = json.loads(kubectl("get", "service", "web", "-o", "json"))["spec"]
    address = json.loads(kubectl("get", "node", "n1", "-o", "json"))["status"]["addresses"][0]
    until("the proxy listens", lambda: _answers_at_all(f"http://{service['clusterIP']}/"))
    urls = [
        f"http://{service['clusterIP']}/",
        f"http://{address['address']}:{service['ports'][0]['nodePort']}/",
    ]
    for url in urls:
        spread = answers(url, 60)
        assert set(spread) == ready_pods(kubectl)
        assert min(spread.values()) >= 5, spread

    _what_a_container_says_can_be_read(kubectl, directory)
    _a_killed_container_runs_again(kubectl, pods[0])
    _a_killed_kubelet_finds_its_pods(kubectl, directory)
    before = ready_pods(kubectl)
    gone = min(before)
    kubectl("delete", "pod", gone, "--wait=true")
    until("it is replaced", lambda: len(ready_pods(kubectl) - {gone}) == 3)
    assert sum(answers(urls[0], 30).values()) == 30
    kubectl("scale", "rc", "web", "--replicas=0")
    until("all are gone", lambda: not listed(kubectl, "pods", "-l", "app=web"))


def _answers_at_all(url: str) -> bool:
    try:
        return bool(answers(url, 1))
    except OSError:
        return False


def _what_a_container_says_can_be_read(kubectl: Kubectl, directory: Path) -> None:
    command = ["sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done"]
    talker = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "talker"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "busybox", "command": command}],
        },
    }
    (directory / "talker.json").write_text(json.dumps(talker))
    kubectl("apply", "-f", str(directory / "talker.json"))
    until("it has begun", lambda: kubectl.run("logs", "talker").returncode == 0)
    assert kubectl("logs", "-f", "talker") == "line 1\nline 2\nline 3\n"
    assert kubectl("logs", "talker", "--tail=1") == "line 3\n"
    assert kubectl.run("logs", "talker", "-p").returncode == 1
    kubectl("delete", "pod", "talker")


def _processes_of(pod: Any) -> list[int]:
    address = pod["status"]["podIP"]
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                env = (folder / "environ").read_bytes()
            except OSError:
                continue
            if f"POD_IP={address}\0".encode() in env:
                found.append(int(folder.name))
    return found


def _a_killed_container_runs_again(kubectl: Kubectl, pod: Any) -> None:
    name = pod["metadata"]["name"]
    for pid in _processes_of(pod):
        os.kill(pid, signal.SIGKILL)

    def has_restarted() -> bool:
        live = json.loads(kubectl("get", "pod", name, "-o", "json"))
        status = live["status"]["containerStatuses"][0]
        return bool(status["restartCount"] == 1 and status["ready"])

    until("the container runs again", has_restarted)
    live = json.loads(kubectl("get", "pod", name, "-o", "json"))
    ended = live["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["exitCode"], ended["signal"]) == (137, 9)


def _a_killed_kubelet_finds_its_pods(kubectl: Kubectl, directory: Path) -> None:
    """Its supervisor starts it again; no container is started twice, or ended."""
    pods = [
        pod
        for pod in listed(kubectl, "pods", "-l", "app=web")
        if pod["spec"]["nodeName"] == "n1" and "deletionTimestamp" not in pod["metadata"]
    ]
    before = {pod["metadata"]["name"]: _processes_of(pod) for pod in pods}
    assert before
    assert all(before.values())
    pattern = f"kube kubelet .*--root-dir={directory}/kube/n1"
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=True)
    old = {int(pid) for pid in found.stdout.split()}
    for pid in old:
        os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        again = subprocess.run(
            ["pgrep", "-f", pattern], capture_output=True, text=True, check=False
        )
        return bool({int(pid) for pid in again.stdout.split()} - old)

    until("the kubelet is back", is_back)
    probe = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "after"}}
    probe["spec"] = {
        "nodeName": "n1",
        "restartPolicy": "Never",
        "containers": [{"name": "c", "image": "busybox", "command": ["true"]}],
    }
    (directory / "after.json").write_text(json.dumps(probe))
    kubectl("apply", "-f", str(directory / "after.json"))

    def has_run() -> bool:
        live = json.loads(kubectl("get", "pod", "after", "-o", "json"))
        return bool(live["status"].get("phase") == "Succeeded")

    until("the kubelet works", has_run)
    kubectl("delete", "pod", "after")
    assert {pod["metadata"]["name"]: _processes_of(pod) for pod in pods} == before
