"""`kvstore local up --kube`, as a newcomer does it: TLS, an administrator's kubeconfig, users."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kube_nodes import local
from tests.support.kubectl import Kubectl, kubectl_or_skip
from tests.support.ports import free_base_port

pytestmark = pytest.mark.slow


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "cluster"
    yield path
    if path.exists():
        local("stop", directory=path)
        shutil.rmtree(path)


def test_a_cluster_with_an_api_server_comes_up_stops_and_comes_up_again(directory: Path) -> None:
    port = str(free_base_port(1))
    printed = local("up", "-n", "1", "--kube", "-d", "--base-port", port, directory=directory)
    config = next(line for line in printed.splitlines() if line.startswith("kubeconfig: "))
    kubectl = kubectl_or_skip(Path(config.removeprefix("kubeconfig: ")))
    kubectl("create", "configmap", "kept", "--from-literal=x=1")
    assert "kube" in local("stop", directory=directory)
    local("up", "-d", directory=directory)  # it remembers that there was an API server
    assert json.loads(kubectl("get", "configmap", "kept", "-o", "json"))["data"] == {"x": "1"}
    _users_have_what_roles_give(kubectl)


def _users_have_what_roles_give(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "robot")
    token = kubectl("create", "token", "robot").strip()
    as_robot = kubectl.with_token(token)
    assert "system:serviceaccount:default:robot" in as_robot("auth", "whoami")
    refused = as_robot.run("get", "configmaps")
    assert refused.stderr == (
        "Error from server (Forbidden): configmaps is forbidden: User"
        ' "system:serviceaccount:default:robot" cannot list resource "configmaps" in API group ""'
        ' in the namespace "default"\n'
    )
    kubectl("create", "rolebinding", "look", "--clusterrole=view", "--serviceaccount=default:robot")
    assert "kept" in as_robot("get", "configmaps")
    assert as_robot.run("get", "secrets").returncode == 1
