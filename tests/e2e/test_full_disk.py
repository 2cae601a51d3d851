"""A file system of limited size that fills up: a clear refusal, nothing lost, no signal."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvstore.wire.pb import rpc_pb2
from tests.support.cluster_process import ClusterProcess, Program
from tests.support.target import Outcome, Target

pytestmark = [pytest.mark.slow]

DISK_MIB = 1024
BALLAST_MIB = 200
"""What an operator removes to make space."""
MORE_REFUSALS = 10
VALUE = bytes(range(256)) * 4096
"""1 MiB."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of `DISK_MIB`; only root can mount one."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system of limited size needs root")
    where = tmp_path / "disk"
    where.mkdir()
    options = f"size={DISK_MIB}m"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "kvstore-test", str(where)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"mount refused: {mounted.stderr.strip()}")
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def put(target: Target, number: int, value: bytes = VALUE) -> Outcome:
    request = rpc_pb2.PutRequest(key=b"%d" % number, value=value)
    return target.start("Put", request, timeout_s=20).outcome()


def keys(target: Target) -> set[bytes]:
    request = rpc_pb2.RangeRequest(key=b"\0", range_end=b"\0", keys_only=True)
    outcome = target.call("Range", request)
    assert isinstance(outcome.response, rpc_pb2.RangeResponse), outcome
    return {kv.key for kv in outcome.response.kvs}


def test_a_full_disk_refuses_writes_and_loses_nothing(candidate: Program, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(BALLAST_MIB << 20))
    with ClusterProcess(candidate, 1, data_dirs=[small_disk / "data"]) as cluster:
        target = Target("candidate", cluster.endpoints)
        member = cluster.members[0]
        acknowledged: set[bytes] = set()
        refusal = None
        for number in range(DISK_MIB):
            outcome = put(target, number)
            if not outcome.is_ok:
                refusal = outcome
                break
            acknowledged.add(b"%d" % number)
        assert refusal is not None, "the disk never filled up"
        assert refusal.code in {"RESOURCE_EXHAUSTED", "UNAVAILABLE"}, refusal
        assert member.is_running, f"the member ended with {member.exit_code}"
        assert len(acknowledged) > 10
        assert acknowledged <= keys(target), "acknowledged keys are not read while the disk is full"
        # The log's upkeep gives blocks back and takes them again, so a put now and then may pass.
        refusals = 0
        number = DISK_MIB
        while refusals < MORE_REFUSALS:
            number += 1
            assert number < 2 * DISK_MIB, "the disk is full, and puts go on"
            outcome = put(target, number)
            if outcome.is_ok:
                acknowledged.add(b"%d" % number)
            else:
                assert (outcome.code, outcome.text) == (refusal.code, refusal.text)
                refusals += 1
        assert member.stop() in {0, -15}
        ballast.unlink()
        cluster.start()
        assert acknowledged <= keys(target), "acknowledged keys are gone after a restart"
        assert put(target, 2 * DISK_MIB).is_ok, "writes are refused though there is space again"
        target.close()
