"""Deleting very many keys at once: no leader change, and reads of other keys go on."""

import threading
import time
from collections import deque

import pytest

from kvstore.wire.pb import rpc_pb2
from tests.support.cluster_process import ClusterProcess, Program
from tests.support.target import Pending, Target

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

FULL_KEYS = 1_000_000
SMALL_KEYS = 20_000
KEYS_PER_TXN = 128
TXNS_IN_FLIGHT = 32
OTHER = b"other"


def load(target: Target, count: int) -> None:
    """Put `count` keys under `many/`."""
    pending: deque[Pending] = deque()
    for start in range(0, count, KEYS_PER_TXN):
        request = rpc_pb2.TxnRequest()
        for number in range(start, min(start + KEYS_PER_TXN, count)):
            put = request.success.add().request_put
            put.key = b"many/%08d" % number
        pending.append(target.start("Txn", request, timeout_s=60))
        if len(pending) >= TXNS_IN_FLIGHT:
            assert pending.popleft().outcome().is_ok
    assert all(call.outcome().is_ok for call in pending)


class Reader:
    """Reads another key from one member without pause, and keeps the longest wait."""

    def __init__(self, target: Target, member: int, *, serializable: bool) -> None:
        self.name = f"{'serializable' if serializable else 'linearizable'}, member {member}"
        self.longest_s = 0.0
        self.reads = 0
        self.failures: list[str] = []
        self._target = target
        self._member = member
        self._serializable = serializable
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _read(self) -> None:
        request = rpc_pb2.RangeRequest(key=OTHER, serializable=self._serializable)
        while not self._stopping.is_set():
            started = time.monotonic()
            outcome = self._target.start("Range", request, self._member, timeout_s=300).outcome()
            self.longest_s = max(self.longest_s, time.monotonic() - started)
            self.reads += 1
            if not outcome.is_ok:
                self.failures.append(f"{outcome.code} {outcome.text}")
            time.sleep(0.002)


def term(target: Target) -> int:
    outcome = target.call("Status", rpc_pb2.StatusRequest())
    assert isinstance(outcome.response, rpc_pb2.StatusResponse)
    return outcome.response.raftTerm


def test_deleting_a_huge_prefix_changes_no_leader_and_lets_reads_go_on(
    candidate: Program, *, full: bool
) -> None:
    count = FULL_KEYS if full else SMALL_KEYS
    with ClusterProcess(candidate, 3) as cluster:
        target = Target("candidate", cluster.endpoints)
        assert target.call("Put", rpc_pb2.PutRequest(key=OTHER, value=b"here")).is_ok
        load(target, count)
        term_before = term(target)
        readers = [
            Reader(target, member, serializable=serializable)
            for member in range(3)
            for serializable in (False, True)
        ]
        time.sleep(0.5)
        started = time.monotonic()
        request = rpc_pb2.DeleteRangeRequest(key=b"many/", range_end=b"many0")
        deleted = target.start("DeleteRange", request, timeout_s=300).outcome()
        took = time.monotonic() - started
        time.sleep(0.5)
        for reader in readers:
            reader.stop()
        print(f"{count} keys deleted in {took:.2f} s; longest wait of a read, of how many:")
        for reader in readers:
            print(f"  {reader.name}: {reader.longest_s * 1000:.0f} ms of {reader.reads}")
        for member in range(3):
            target.barrier(member)
            left = target.call("Range", rpc_pb2.RangeRequest(key=b"many/", range_end=b"many0"))
            assert isinstance(left.response, rpc_pb2.RangeResponse)
            assert left.response.count == 0
        assert term(target) == term_before, "the leader changed"
        assert not any(reader.failures for reader in readers), [r.failures for r in readers]
        assert isinstance(deleted.response, rpc_pb2.DeleteRangeResponse), deleted
        assert deleted.response.deleted == count
        target.close()
