"""HashKV, and what it is taken over, against the real etcd: one random history for both."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest

from kvstore.backend.memory_backend import MemoryBackend
from kvstore.base.key_range import ALL_KEYS_FROM, KeyRange
from kvstore.mvcc.hash import HashResult
from kvstore.mvcc.range import RangeQuery
from kvstore.mvcc.store import Store
from kvstore.wire.pb import rpc_pb2, rpc_pb2_grpc
from tests.support.cluster_process import Program
from tests.support.etcd_process import real_etcd

_LEASES = [7, 2**62]
_KEYS = [b"a", b"a\x00", b"b", b"b/1", b"b/2", b"c\xff", b"\x00", b"k" * 480, b"k" * 2000]
_STEPS = 250

Operation = tuple[str, KeyRange, bytes, int]
"""Put or delete, keys, value, lease."""


@dataclass
class Both:
    """The real etcd, and a keyspace of ours that is told the same."""

    channel: grpc.Channel
    store: Store
    backend: MemoryBackend

    def __post_init__(self) -> None:
        self.kv = rpc_pb2_grpc.KVStub(self.channel)
        self.maintenance = rpc_pb2_grpc.MaintenanceStub(self.channel)
        lease = rpc_pb2_grpc.LeaseStub(self.channel)
        for number in _LEASES:
            lease.LeaseGrant(rpc_pb2.LeaseGrantRequest(ID=number, TTL=100_000))

    def execute(self, operations: list[Operation]) -> None:
        """One transaction."""
        request = rpc_pb2.TxnRequest()
        txn = self.backend.begin_write()
        writer = self.store.begin(txn)
        for kind, keys, value, lease in operations:
            operation = request.success.add()
            if kind == "put":
                put = operation.request_put
                put.key, put.value, put.lease = keys.start, value, lease
                writer.put(keys.start, value, lease)
            else:
                delete = operation.request_delete_range
                delete.key = keys.start
                delete.range_end = ALL_KEYS_FROM if keys.end is None else keys.end
                writer.delete_range(keys)
        ours = writer.end_request()
        writer.finish()
        txn.commit()
        self.store.commit(writer)
        assert self.kv.Txn(request).header.revision == ours

    def compact(self, revision: int, removal_steps: int) -> None:
        """Real etcd removes all at once; ours as many slices as it is told."""
        txn = self.backend.begin_write()
        writer = self.store.begin(txn)
        writer.compact(revision)
        writer.finish()
        txn.commit()
        self.store.commit(writer)
        for _ in range(removal_steps):
            if (removal := self.store.removal()) is not None:
                txn = self.backend.begin_write()
                removal.step(txn, 7)
                txn.commit()
        self.kv.Compact(rpc_pb2.CompactionRequest(revision=revision, physical=True))

    def compare(self, revision: int) -> None:
        """Hash and list at `revision`."""
        view = self.store.view()
        slices = view.hash_kv(revision)
        result: HashResult | None = None
        while result is None:
            try:
                next(slices)
            except StopIteration as stop:
                result = stop.value
        ours = view.range(RangeQuery(keys=KeyRange(b"\x00", None), revision=revision))
        view.close()
        theirs = self.maintenance.HashKV(rpc_pb2.HashKVRequest(revision=revision))
        assert (result.crc, result.compact_revision) == (theirs.hash, theirs.compact_revision)
        listed = self.kv.Range(
            rpc_pb2.RangeRequest(key=b"\x00", range_end=ALL_KEYS_FROM, revision=revision)
        )
        assert ours.kvs == [kv.SerializeToString() for kv in listed.kvs]


@pytest.fixture
def both(reference_etcd: Program) -> Iterator[Both]:
    assert reference_etcd
    backend = MemoryBackend()
    with (
        real_etcd() as cluster,
        grpc.insecure_channel(cluster.members[0].endpoint) as channel,
    ):
        yield Both(channel, Store(backend), backend)


@pytest.mark.etcd
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_both_have_the_same_hash_after_the_same_history(both: Both, seed: int) -> None:
    dice = random.Random(seed)
    compared = compacted = 0
    for _ in range(_STEPS):
        choice = dice.random()
        current, oldest = both.store.revision, both.store.compact_revision
        if choice < 0.75:
            both.execute(_request(dice))
        elif choice < 0.80:
            both.execute([("delete", KeyRange(b"\x00", None), b"", 0)])
        elif choice < 0.87 and oldest < current:
            both.compact(dice.randint(oldest + 1, current), dice.randint(0, 4))
            compacted += 1
        elif max(oldest, 0) < current:
            # At the compact revision itself 3.5.1 refuses; its successors and we do not.
            both.compare(dice.randint(max(oldest, 0) + 1, current))
            compared += 1
    assert compared > 10
    assert compacted > 3


def _request(dice: random.Random) -> list[Operation]:
    """A valid transaction: every key at most once."""
    keys = dice.sample(_KEYS, dice.randint(1, 4))
    operations: list[Operation] = []
    for key in keys:
        if dice.random() < 0.7:
            lease = dice.choice([0, 0, *_LEASES])
            operations.append(
                ("put", KeyRange.single(key), dice.randbytes(dice.randint(0, 9)), lease)
            )
        else:
            operations.append(("delete", KeyRange.single(key), b"", 0))
    return operations
