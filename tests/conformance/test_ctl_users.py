"""Users, roles and locks by command line: etcdctl and kvstorectl, on the real etcd and on ours."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.etcdctl_script import Step, step
from tests.conformance.etcdctl_session import run, transcript
from tests.support.cluster_process import ClusterProcess, Program
from tests.support.ctl_zygote import CtlZygote

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

OURS = (sys.executable, "-m", "kvstore.cli.control")
ROOT = " --user root:pw"
SCRIPT: tuple[Step, ...] = (
    step("role add r"),
    step("role add r"),
    step("role grant-permission r read a"),
    step("role grant-permission r readwrite b c"),
    step("role grant-permission r write d --prefix"),
    step("role grant-permission r read e --from-key"),
    step("role grant-permission r reading a"),
    step("role grant-permission r read"),
    *(step(f"role get r -w {form}") for form in ("simple", "json", "fields")),
    step("role revoke-permission r a"),
    step("role revoke-permission r b c"),
    step("role revoke-permission r zz"),
    *(step(f"role list -w {form}") for form in ("simple", "json", "fields")),
    step("user add u:secret"),
    step("user add v --new-user-password secret -w json"),
    step("user add w --interactive=false", stdin="secret\n"),
    step("user add cn --no-password"),
    step("user add :x"),
    step("user grant-role u r"),
    step("user get u"),
    step("user get u -w json"),
    step("user get u --detail"),
    *(step(f"user list -w {form}") for form in ("simple", "json")),
    step("user passwd v --interactive=false", stdin="another\n"),
    step("user revoke-role u r"),
    step("user revoke-role u r"),
    step("auth enable"),
    step("user add root:pw"),
    step("auth status"),
    step("auth enable"),
    step("put a b --user root:wrong"),
    step("put a b" + ROOT),
    step("get a --user u:secret"),
    step("auth status" + ROOT),
    step("user get root" + ROOT),
    step("role get r --user u:secret"),
    step("user grant-role u r" + ROOT),
    step("role get r --user u:secret"),
    step("put d1 x --user u:secret"),
    step("put x1 x --user u:secret"),
    step("role delete r" + ROOT),
    step("auth disable" + ROOT),
    step("elect e -l value"),
    step("lock l printenv ETCD_LOCK_REV"),
    step("lock l false"),
    step("get l --prefix"),
)


def etcdctl() -> tuple[str, ...]:
    """The real one, beside this Python."""
    beside = Path(sys.executable).parent / "etcdctl"
    found = str(beside) if beside.exists() else shutil.which("etcdctl")
    assert found is not None, "install the dev group: it brings etcdctl"
    return ("env", "ETCDCTL_API=3", found)


def test_kvstorectl_and_ours_print_what_etcdctl_and_etcd_print(
    reference_etcd: Program, candidate: Program
) -> None:
    printed = {}
    pairs = [("etcd", reference_etcd, etcdctl()), ("kvstored", candidate, OURS)]
    if "KVSTORE_FULL" in os.environ:
        pairs.append(("kvstored", candidate, etcdctl()))
    for server, program, command in pairs:
        with ClusterProcess(program, flags=["--bcrypt-cost=4"]) as cluster, CtlZygote() as zygote:
            printed[server, command] = transcript(
                command, cluster.endpoints[0], SCRIPT, zygote if command is OURS else None
            )
    expected, *others = printed.values()
    for found in others:
        for ours, theirs in zip(found, expected, strict=True):
            assert ours == theirs


def test_a_lock_is_let_go_of_by_a_signal(candidate: Program) -> None:
    with ClusterProcess(candidate) as cluster:
        words = [*OURS, "--endpoints", cluster.endpoints[0]]
        for command, key in ((["lock", "l"], b"l/"), (["elect", "e", "me"], b"e/")):
            with subprocess.Popen([*words, *command], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                assert process.stdout.readline().startswith(key)
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
            code, output = run(Step(("get",)), [*words, "get", "--prefix", key.decode()])
            assert (code, output) == (0, "")
