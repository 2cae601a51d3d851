"""HashKV at the compact revision itself, which 3.5.1 refuses and a fresh start of 3.6 answers.

While it runs, 3.6 answers from what it remembers of its own compactions instead.
"""

import random

import pytest

from kvstore.wire.pb import rpc_pb2
from tests.interop.conftest import Etcd36, Table
from tests.support.cluster_process import ClusterProcess, Program
from tests.support.target import Target

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

ROUNDS = 30
KEYS = [b"a", b"b", b"c", b"d"]


def hashes_at_compact_revisions(program: Program, seed: int) -> list[tuple[int, int, int]]:
    """Some history, compacted, then restarted; repeated."""
    dice = random.Random(seed)
    hashes = []
    with ClusterProcess(program) as cluster:
        (member,) = cluster.members
        target = Target(program.name, cluster.endpoints)
        for _ in range(ROUNDS):
            for _ in range(dice.randrange(1, 8)):
                key = dice.choice(KEYS)
                if dice.random() < 0.5:
                    request = rpc_pb2.DeleteRangeRequest(key=key)
                    assert target.call("DeleteRange", request).is_ok
                else:
                    value = dice.randbytes(3)
                    assert target.call("Put", rpc_pb2.PutRequest(key=key, value=value)).is_ok
            revision = target.barrier(0)
            if dice.random() < 0.3:
                continue
            compaction = rpc_pb2.CompactionRequest(revision=revision, physical=True)
            target.call("Compact", compaction)  # refused where the round changed nothing
            member.stop()
            cluster.start()
            response = target.call("HashKV", rpc_pb2.HashKVRequest(revision=revision)).response
            assert isinstance(response, rpc_pb2.HashKVResponse)
            hashes.append((response.hash, response.compact_revision, response.hash_revision))
        target.close()
    return hashes


def test_after_a_restart_the_hash_at_the_compact_revision_is_the_same(
    etcd36: Etcd36, candidate: Program, table: Table
) -> None:
    theirs = hashes_at_compact_revisions(etcd36.server, seed=1)
    ours = hashes_at_compact_revisions(candidate, seed=1)
    differing = sum(one != other for one, other in zip(theirs, ours, strict=True))
    table.add("HashKV at the compact revision", compared=len(theirs), differing=differing)
    assert len(theirs) > ROUNDS // 3
    assert ours == theirs
