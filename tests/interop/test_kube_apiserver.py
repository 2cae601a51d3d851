"""A real kube-apiserver on three members of ours, mutual TLS throughout, nothing else beside."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.ports import free_base_port

BINARIES = os.environ.get("KVSTORE_KUBERNETES", "")
COUNT = 1000
READY_S = 240.0

pytestmark = [
    pytest.mark.skipif(not BINARIES, reason="run by tools/interop/kube_apiserver.sh"),
    pytest.mark.timeout(1800),
]


def local(*arguments: str) -> str:
    command = [sys.executable, "-m", "kvstore.cli.umbrella", "local", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The endpoints, and the directory of the certificates."""
    directory = tmp_path_factory.mktemp("cluster")
    port = free_base_port(30)
    output = local(
        "up", "-n", "3", "--tls", "-d", "--dir", str(directory), "--base-port", str(port)
    )
    try:
        ready = next(line for line in output.splitlines() if line.startswith("ready: "))
        yield ready.removeprefix("ready: "), directory
    finally:
        local("stop", "--dir", str(directory))


class Kubectl:
    def __init__(self, url: str) -> None:
        self.command = [
            str(Path(BINARIES) / "kubectl"),
            f"--server={url}",
            "--insecure-skip-tls-verify",
            "--token=secret",
        ]

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        ended = subprocess.run(
            [*self.command, *arguments], input=stdin, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture(scope="module")
def kubectl(
    cluster: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubectl]:
    endpoints, certificates = cluster
    directory = tmp_path_factory.mktemp("apiserver")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    account = directory / "sa.key"
    account.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    tokens = directory / "tokens.csv"
    tokens.write_text("secret,admin,1,system:masters\n")
    port = free_base_port(1)
    profile = json.loads((certificates / "profile.json").read_text())
    flags = [
        f"--etcd-servers={endpoints}",
        f"--etcd-cafile={profile['cacert']}",
        f"--etcd-certfile={profile['cert']}",
        f"--etcd-keyfile={profile['key']}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={account}",
        f"--service-account-signing-key-file={account}",
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--cert-dir={directory}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--endpoint-reconciler-type=none",
        "--advertise-address=10.1.1.1",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
    ]
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(BINARIES) / "kube-apiserver", *flags],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            client = Kubectl(f"https://127.0.0.1:{port}")
            wait_until_ready(client, process, log)
            yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def wait_until_ready(client: Kubectl, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        probe = [*client.command, "get", "--raw", "/readyz"]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.5)
    raise AssertionError(log.read_text(errors="replace")[-4000:])


def config_map(number: int) -> dict[str, object]:
    name = f"c{number:04}"
    metadata = {"name": name, "labels": {"made": "here"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": name}}


def test_a_thousand_configmaps_are_created_watched_listed_and_deleted(kubectl: Kubectl) -> None:
    watching = subprocess.Popen(
        [*kubectl.command, "get", "configmaps", "-w", "-o", "name", "-l", "made=here"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        started = time.monotonic()
        items = [config_map(number) for number in range(COUNT)]
        created = {"apiVersion": "v1", "kind": "List", "items": items}
        kubectl("create", "-f", "-", stdin=json.dumps(created))
        print(f"created {COUNT} in {time.monotonic() - started:.1f} s")
        listed = kubectl("get", "configmaps", "-o", "name", "-l", "made=here", "--chunk-size=100")
        names = [f"configmap/c{number:04}" for number in range(COUNT)]
        assert listed.split() == names
        assert watching.stdout is not None
        seen = [next(watching.stdout).strip() for _ in range(COUNT)]
        assert sorted(seen) == names
        found = json.loads(kubectl("get", "configmap", "c0500", "-o", "json"))
        assert found["data"] == {"n": "c0500"}
        kubectl("delete", "configmaps", "-l", "made=here")
        assert kubectl("get", "configmaps", "-o", "name", "-l", "made=here") == ""
        print(f"and gone after {time.monotonic() - started:.1f} s")
    finally:
        watching.kill()
        watching.communicate()
