"""The real kubectl talks with containers, follows rollouts and undoes them: `make interop`."""

import os
import pty
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kube_nodes import (
    NAMESPACE,
    NodesCluster,
    deployment,
    nodes_cluster,
    replication_controller,
    until,
)
from tests.support.kubectl import Kubectl, kubectl_program

PROGRAM = kubectl_program()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        PROGRAM is None or not os.environ.get("KVSTORE_INTEROP"),
        reason="run by tools/interop/kubectl_on_nodes.sh, which needs kubectl",
    ),
]
OVER_SPDY = {
    "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false",
    "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodesCluster]:
    directory = tmp_path_factory.mktemp("kubectl") / "cluster"
    with nodes_cluster(directory, nodes=1) as one:
        one.core.create_namespaced_replication_controller(
            NAMESPACE, replication_controller("web", 1)
        )
        one.until_ready("web", 1)
        yield one


@pytest.fixture(params=[{}, OVER_SPDY], ids=["websocket", "spdy"])
def kubectl(
    request: pytest.FixtureRequest, cluster: NodesCluster, monkeypatch: pytest.MonkeyPatch
) -> Kubectl:
    """kubectl, over each of the protocols that it speaks."""
    assert PROGRAM is not None
    return Kubectl(PROGRAM, cluster.kubeconfig, environment=request.param)


@pytest.fixture
def pod(cluster: NodesCluster) -> str:
    return min(cluster.ready("web"))


def test_exec_carries_input_output_and_the_exit_code(kubectl: Kubectl, pod: str) -> None:
    text = "line\n" * 50_000
    assert kubectl("exec", "-i", pod, "--", "cat", stdin=text) == text
    done = kubectl.run("exec", pod, "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert done.stderr == "err\ncommand terminated with exit code 3\n"


def test_cp_brings_files_there_and_back(kubectl: Kubectl, pod: str, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "here").write_bytes(content)
    kubectl("cp", str(tmp_path / "here"), f"{pod}:{tmp_path}/there")
    kubectl("cp", f"{pod}:{tmp_path}/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content


def test_exec_with_a_terminal_gives_the_command_one(kubectl: Kubectl, pod: str) -> None:
    ours, theirs = pty.openpty()
    command = kubectl.command(
        "exec", "-it", pod, "--", "sh", "-c", "tty; echo $TERM; read x; echo got $x"
    )
    process = subprocess.Popen(
        command.argv, stdin=theirs, stdout=theirs, stderr=theirs, env=command.environment
    )
    os.close(theirs)
    os.write(ours, b"typed\n")
    said = b""
    while b"got typed" not in said:
        said += os.read(ours, 4096)
    assert process.wait(60) == 0
    os.close(ours)
    assert b"/dev/pts/" in said
    assert b"xterm" in said


def test_attach_says_and_hears(kubectl: Kubectl) -> None:
    done = kubectl.run(
        *("run", "-i", "--rm", "--restart=Never", "--image=busybox", "asked", "--"),
        *("sh", "-c", "read x; sleep 1; echo heard $x"),
        stdin="this\n",
    )
    assert "heard this" in done.stdout


def test_port_forward_carries_many_connections(kubectl: Kubectl, pod: str) -> None:
    command = kubectl.command("port-forward", f"pod/{pod}", ":8080")
    with subprocess.Popen(
        command.argv, stdout=subprocess.PIPE, text=True, env=command.environment
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().partition("127.0.0.1:")[2].split()[0]
        for _ in range(20):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                assert answer.read().decode() == pod
        process.terminate()


def test_rollouts_are_followed_listed_and_undone(cluster: NodesCluster) -> None:
    assert PROGRAM is not None
    kubectl = Kubectl(PROGRAM, cluster.kubeconfig)
    cluster.apps.create_namespaced_deployment(NAMESPACE, deployment("app", 1, version="1"))
    kubectl("rollout", "status", "deployment/app", "--timeout=90s")
    cluster.apps.patch_namespaced_deployment("app", NAMESPACE, deployment("app", 1, version="2"))
    kubectl("rollout", "status", "deployment/app", "--timeout=90s")
    listed = kubectl("rollout", "history", "deployment/app").splitlines()
    assert [line.split()[0] for line in listed if line[:1].isdigit()] == ["1", "2"]
    kubectl("rollout", "undo", "deployment/app")
    kubectl("rollout", "status", "deployment/app", "--timeout=90s")
    until("the old pods are gone", lambda: len(cluster.pods("app")) == 1)
    env = cluster.pods("app")[0].spec.containers[0].env
    assert [one.value for one in env if one.name == "VERSION"] == ["1"]
    told = kubectl("describe", "deployment", "app")
    assert "Scaled up replica set" in told
    kubectl("delete", "deployment", "app", "--wait=false")


def test_describe_shows_what_happened_to_a_pod(cluster: NodesCluster, pod: str) -> None:
    assert PROGRAM is not None
    told = Kubectl(PROGRAM, cluster.kubeconfig)("describe", "pod", pod)
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        assert reason in told
