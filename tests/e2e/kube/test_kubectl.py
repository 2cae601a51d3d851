"""The real kubectl, command by command; and its recorded requests, where there is no kubectl.

`KVSTORE_RECORD=1` writes the recording anew.
"""

import os
import re
from pathlib import Path

import pytest
import yaml

from tests.e2e.kube.kubectl_traces import TRACES, arguments
from tests.support import kube_recording
from tests.support.kube_process import KubeClient
from tests.support.kube_recording import NAMESPACE, Recorded, recording
from tests.support.kubectl import kubectl_or_skip

pytestmark = pytest.mark.slow

RECORDING = Path(__file__).parent / "recorded" / "kubectl-1.33.jsonl"


def config_of(url: str, directory: Path) -> Path:
    path = directory / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [
                    {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}
                ],
                "current-context": "c",
            }
        )
    )
    return path


def test_every_command_prints_what_people_expect(kube: KubeClient, tmp_path: Path) -> None:
    kubectl = kubectl_or_skip(config_of(kube.url, tmp_path))
    kube.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    with recording(kube.url) as (url, proxy):
        config_of(url, tmp_path)
        wrong = []
        for command, given, wanted in TRACES:
            proxy.command = command
            done = kubectl.run(*arguments(command), stdin=given)
            printed = (done.stdout + done.stderr).strip()
            if not re.search(wanted, printed, re.MULTILINE | re.DOTALL):
                wrong.append(f"$ kubectl {command}\n{printed}\n  has no {wanted}")
    assert not wrong, "\n".join(wrong)
    if os.environ.get("KVSTORE_RECORD") == "1":
        RECORDING.parent.mkdir(exist_ok=True)
        RECORDING.write_text(kube_recording.written(proxy.recorded))


def test_recorded_requests_of_kubectl_are_answered_as_they_were(kube: KubeClient) -> None:
    namespace = "replayed-namespace"
    kube.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    wrong = []
    for one in kube_recording.read(RECORDING):
        answered = kube_recording.replayed(kube, one, namespace)
        if answered != (one.code, one.kind):
            wrong.append(f"{_told(one)}: {answered}, not {(one.code, one.kind)}")
    assert not wrong, "\n".join(wrong)


def _told(one: Recorded) -> str:
    return f"kubectl {one.command}: {one.method} {one.path}"
