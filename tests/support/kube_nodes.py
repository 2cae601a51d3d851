"""`kvstore local up --kube --nodes N`, as a user has it, and Python's Kubernetes client."""

import contextlib
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.config import new_client_from_config
from kubernetes.stream import stream

from tests.support.ports import free_base_port

TIMEOUT_S = 180.0
NAMESPACE = "default"
SERVER = (
    "import http.server, os;"
    "H = type('H', (http.server.BaseHTTPRequestHandler,), {"
    "'do_GET': lambda s: (s.send_response(200), s.end_headers(),"
    " s.wfile.write(os.environ['POD_NAME'].encode())), 'log_message': lambda s, *a: None});"
    "http.server.ThreadingHTTPServer((os.environ['POD_IP'], 8080), H).serve_forever()"
)


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def web_template(app: str, *, version: str = "1", drain_s: int = 0) -> dict[str, Any]:
    """Return a pod template: a web server that answers with its pod's name.

    `drain_s`: for how long it goes on when it is asked to end, so that proxies hear of it first.
    """
    container: dict[str, Any] = {
        "name": "web",
        "image": "python:3",
        "args": ["python3", "-c", SERVER],
        "env": [
            _field("POD_NAME", "metadata.name"),
            _field("POD_IP", "status.podIP"),
            {"name": "VERSION", "value": version},
        ],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {
            "httpGet": {"port": "http", "path": "/"},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        },
    }
    if drain_s:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": drain_s}}}
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"terminationGracePeriodSeconds": drain_s + 2, "containers": [container]},
    }


def replication_controller(app: str, replicas: int) -> dict[str, Any]:
    return {
        "metadata": {"name": app},
        "spec": {"replicas": replicas, "selector": {"app": app}, "template": web_template(app)},
    }


def deployment(app: str, replicas: int, *, version: str) -> dict[str, Any]:
    return {
        "metadata": {"name": app},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": web_template(app, version=version, drain_s=4),
        },
    }


def service(app: str) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "metadata": {"name": app},
        "spec": {"type": "NodePort", "selector": {"app": app}, "ports": ports},
    }


def local(*arguments: str, directory: Path) -> str:
    """Run a `kvstore local` command on a cluster; return what it prints."""
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


def until(what: str, is_so: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.2)


def processes(pattern: str) -> set[int]:
    """Return the pids of the processes whose command line has `pattern`."""
    found = subprocess.run(
        ["pgrep", "-f", "--", pattern], capture_output=True, text=True, check=False
    )
    return {int(pid) for pid in found.stdout.split()}


def is_ready(pod: Any) -> bool:
    """Whether a pod is to be sent requests."""
    conditions = pod.status.conditions or []
    return pod.metadata.deletion_timestamp is None and any(
        one.type == "Ready" and one.status == "True" for one in conditions
    )


class NodesCluster:
    """A cluster that runs, and clients of it."""

    def __init__(self, directory: Path, kubeconfig: Path, base_port: int) -> None:
        self.base_port = base_port
        self.directory = directory
        self.kubeconfig = kubeconfig
        self._api = new_client_from_config(str(kubeconfig))
        self.core = client.CoreV1Api(self._api)
        self.apps = client.AppsV1Api(self._api)

    def close(self) -> None:
        """Close the clients."""
        self._api.close()

    def pods(self, app: str) -> list[Any]:
        """Return the pods of an application."""
        return list(self.core.list_namespaced_pod(NAMESPACE, label_selector=f"app={app}").items)

    def ready(self, app: str) -> set[str]:
        """Return the names of its pods that are ready."""
        return {pod.metadata.name for pod in self.pods(app) if is_ready(pod)}

    def until_ready(self, app: str, count: int) -> None:
        """Wait until so many pods are ready, and there are no others."""
        until(
            f"{count} pods of {app} are ready",
            lambda: len(self.ready(app)) == count == len(self.pods(app)),
        )

    def urls(self, app: str) -> list[str]:
        """Return where a service is: its own address, and its port of the first node."""
        spec = self.core.read_namespaced_service(app, NAMESPACE).spec
        node = self.core.read_node("n1").status.addresses[0].address
        return [f"http://{spec.cluster_ip}/", f"http://{node}:{spec.ports[0].node_port}/"]

    def run(self, pod: str, *command: str, text: str = "") -> tuple[str, int]:
        """Run a command in a pod; return its output and its exit code."""
        session = stream(
            self.core.connect_get_namespaced_pod_exec,
            pod,
            NAMESPACE,
            command=list(command),
            stdin=bool(text),
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        try:
            if text:
                session.write_stdin(text)
            session.run_forever(timeout=TIMEOUT_S)
            return session.read_stdout(timeout=0) or "", session.returncode
        finally:
            session.close()

    def component(self, name: str) -> set[int]:
        """Return the pids of a component: `kube scheduler`, `kube apiserver` ..."""
        return processes(f"{name} .*{self.directory}")


@contextlib.contextmanager
def nodes_cluster(directory: Path, *, nodes: int, members: int = 1) -> Iterator[NodesCluster]:
    """Start a cluster, and remove every process of it in the end."""
    port = free_base_port(members)
    flags = ["-n", str(members), "--kube", "--nodes", str(nodes), "-d", "--base-port", str(port)]
    try:
        printed = local("up", *flags, directory=directory)
        config = next(line for line in printed.splitlines() if line.startswith("kubeconfig: "))
        cluster = NodesCluster(directory, Path(config.removeprefix("kubeconfig: ")), port)
        try:
            yield cluster
        finally:
            cluster.close()
    finally:
        local("stop", directory=directory)
    assert processes(str(directory)) == set(), "processes are left behind"


def answers(url: str, count: int) -> Counter[str]:
    """Ask so many times; return who answered how often."""
    found: Counter[str] = Counter()
    for _ in range(count):
        with urllib.request.urlopen(url, timeout=30) as answer:
            found[answer.read().decode()] += 1
    return found


def answers_at_all(url: str) -> bool:
    """Whether anybody answers."""
    try:
        return bool(answers(url, 1))
    except OSError:
        return False


@contextlib.contextmanager
def load(url: str) -> Iterator[Counter[str]]:
    """Ask all the time inside the block; count answers by who gave them, failures by their text."""
    found: Counter[str] = Counter()
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.wait(0.02):
            try:
                found.update(answers(url, 1))
            except OSError as error:
                found[f"failed: {error}"] += 1

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield found
    finally:
        stopping.set()
        asking.join()
