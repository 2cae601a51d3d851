"""A member whose stored bytes are changed: it does not start, or is named by an alarm."""

import time

import pytest

from kvstore.backend.lmdb_backend import LmdbBackend
from kvstore.backend.schema import REVISIONS
from kvstore.client import Client
from tests.support.cluster_process import KVSTORED, ClusterProcess, MemberProcess

pytestmark = pytest.mark.slow

KEYS = 20


def flip_a_stored_byte(member: MemberProcess) -> None:
    (keyspace,) = member.data_dir.glob("member/keyspace.[0-9]*")
    backend = LmdbBackend(keyspace, quota_bytes=1 << 30)
    txn = backend.begin_write()
    place, record = next(iter(txn.scan(REVISIONS)))
    txn.put(REVISIONS, place, record[:-1] + bytes([record[-1] ^ 1]))
    txn.commit()
    backend.close()


def test_a_corrupt_member_does_not_start_or_is_named_by_an_alarm() -> None:
    with ClusterProcess(KVSTORED, 3, flags=["--corrupt-check-time=1s"]) as cluster:
        with Client(cluster.endpoints) as client:
            for number in range(KEYS):
                client.put(f"k{number}", "v")
        corrupt, *others = cluster.members
        corrupt.stop()
        flip_a_stored_byte(corrupt)

        corrupt.start_with("--feature-gates=InitialCorruptCheck=true")
        assert corrupt.wait_for_exit() == 1
        assert "found data inconsistency with peers" in corrupt.log()

        corrupt.start()
        with Client([other.endpoint for other in others]) as client:
            own = next(one.member_id for one in client.member_list() if one.name == corrupt.name)
            deadline = time.monotonic() + 60
            while not (found := client.alarms()):
                assert time.monotonic() < deadline, "nobody noticed"
                time.sleep(0.1)
        assert [(alarm.member_id, alarm.kind) for alarm in found] == [(own, "CORRUPT")]
