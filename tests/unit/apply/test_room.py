"""No turn takes more of the disk than was reserved for it, beside a reader that pins every page."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from google.protobuf.message import Message

from kvstore.apply import StateMachine
from kvstore.apply.command import (
    BatchId,
    OperationKind,
    count_operations,
    encode_batch,
    encode_entry,
)
from kvstore.apply.room import Room
from kvstore.backend.lmdb_backend import LmdbBackend
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.base.limits import GIB
from kvstore.wire.pb import rpc_pb2

KEYS = [b"%06d" % number for number in range(4000)]
LEASES = (5, 6)
Operation = tuple[OperationKind, Message]


def entry_of(*operations: Operation) -> bytes:
    pairs = [(int(kind), request.SerializeToString()) for kind, request in operations]
    return encode_entry([encode_batch(BatchId(MemberId(1), 1, 1), pairs)])


def put(key: bytes, value: bytes = b"", lease: int = 0, *, keeps: bool = False) -> Operation:
    request = rpc_pb2.PutRequest(key=key, value=value, lease=lease, ignore_value=keeps)
    return OperationKind.PUT, request


def apply(machine: StateMachine, entry: bytes) -> None:
    turn = machine.begin_turn(len(entry), count_operations(entry))
    index = LogIndex(machine.applied.index + 1)
    for _ in turn.apply(index, Term(1), entry):
        pass
    turn.commit()


@contextmanager
def full_keyspace(directory: Path, value_bytes: int, count: int) -> Iterator[StateMachine]:
    """Many leaves, filled in no order, all of them pinned."""
    backend = LmdbBackend(directory, quota_bytes=GIB)
    machine = StateMachine(backend)
    grants = [rpc_pb2.LeaseGrantRequest(ID=lease, TTL=60) for lease in LEASES]
    apply(machine, entry_of(*((OperationKind.LEASE_GRANT, grant) for grant in grants)))
    keys = KEYS[:count]
    Random(1).shuffle(keys)
    for start in range(0, len(keys), 500):
        some = keys[start : start + 500]
        apply(machine, entry_of(*(put(key, b"." * value_bytes, LEASES[0]) for key in some)))
    pin = backend.begin_read()
    yield machine
    pin.close()
    backend.close()


def scattered_puts() -> bytes:
    return entry_of(*(put(key, b"", LEASES[1]) for key in Random(2).sample(KEYS, 1000)))


def delete_of_all() -> bytes:
    request = rpc_pb2.DeleteRangeRequest(key=b"0", range_end=b"\0")
    return entry_of((OperationKind.DELETE_RANGE, request))


def revoke() -> bytes:
    request = rpc_pb2.LeaseRevokeRequest(ID=LEASES[0])
    return entry_of((OperationKind.LEASE_REVOKE, request))


def long_transaction() -> bytes:
    request = rpc_pb2.TxnRequest()
    for key in Random(2).sample(KEYS, 1000):
        request.success.add().request_put.key = key
    return entry_of((OperationKind.TXN, request))


def puts_that_keep_values() -> bytes:
    return entry_of(*(put(key, lease=LEASES[1], keeps=True) for key in KEYS[:60]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "value_bytes", "count"),
    [
        (scattered_puts, 1500, 4000),
        (delete_of_all, 1500, 4000),
        (revoke, 1500, 4000),
        (long_transaction, 1500, 4000),
        (puts_that_keep_values, 200_000, 60),
    ],
)
def test_no_turn_grows_the_file_by_more_than_was_reserved(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], bytes],
    value_bytes: int,
    count: int,
) -> None:
    with full_keyspace(tmp_path, value_bytes, count) as machine:
        backend = machine.backend
        assert isinstance(backend, LmdbBackend)
        page_bytes = backend.env.stat()["psize"]
        before, reserved = backend.size_bytes, 0

        def reserve(size: int, changes: int) -> None:
            nonlocal reserved
            reserved = max(reserved, backend._worst_case_pages(size, changes) * page_bytes)

        monkeypatch.setattr(backend, "reserve", reserve)
        apply(machine, make())
        grown = backend.size_bytes - before
        assert grown > 100 * page_bytes, "the case is hard"
        assert grown <= reserved


def test_what_turns_out_longer_is_added_to_what_was_reserved() -> None:
    asked: list[tuple[int, int]] = []
    room = Room(lambda size, changes: asked.append((size, changes)), 1000, 3)
    room.expect(0, 5)
    assert len(asked) == 1, "that much is spare"
    room.expect(400, 0)
    room.expect(0, 1000)
    first, second, third = asked
    assert second == (1400, first[1])
    assert third == (1400, first[1] + 1000)
