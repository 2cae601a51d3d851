from collections.abc import Sequence

import pytest

from kvstore.apply import Outcome, Reply, StateMachine, attributes_operation, meta
from kvstore.apply.command import BatchId, OperationKind, encode_batch, encode_entry
from kvstore.backend.memory_backend import MemoryBackend
from kvstore.base.errors import (
    Compacted,
    FutureRevision,
    KeyNotFound,
    LeaseExists,
    LeaseNotFound,
    SpaceExceeded,
)
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.mvcc import decode_key_value
from kvstore.wire.pb import raft_pb2, rpc_pb2

BATCH = BatchId(MemberId(7), 1, 1)


class Applying:
    """A state machine in memory, and the log index that it has reached."""

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.machine = StateMachine(self.backend)

    def apply(self, *operations: tuple[OperationKind, object]) -> Sequence[Outcome]:
        """Apply one entry with these operations; return their outcomes."""
        payloads = [
            (int(kind), request if isinstance(request, bytes) else request.SerializeToString())
            for kind, request in operations
        ]
        index = LogIndex(self.machine.applied.index + 1)
        turn = self.machine.begin_turn(0, 1)
        for _ in turn.apply(index, Term(1), encode_entry([encode_batch(BATCH, payloads)])):
            pass
        self.applied = turn.commit()
        ((_, outcomes),) = self.applied.batches
        return outcomes

    def put(self, key: bytes, value: bytes = b"v", lease: int = 0) -> Outcome:
        return self.apply(
            (OperationKind.PUT, rpc_pb2.PutRequest(key=key, value=value, lease=lease))
        )[0]

    def value(self, key: bytes) -> bytes | None:
        view = self.machine.store.view()
        found = view.get(key)
        view.close()
        if found is None:
            return None
        return decode_key_value(found.key_value).value


@pytest.fixture
def applying() -> Applying:
    return Applying()


def test_requests_of_one_entry_get_revisions_of_their_own(applying: Applying) -> None:
    put = rpc_pb2.PutRequest(key=b"k", value=b"v")

    outcomes = applying.apply((OperationKind.PUT, put), (OperationKind.PUT, put))

    assert outcomes == [Reply(2, b""), Reply(3, b"")]
    assert [revision for revision, _ in applying.applied.events] == [2, 3]


def test_a_refused_request_changes_nothing_and_the_next_one_is_applied(applying: Applying) -> None:
    unknown_lease = rpc_pb2.PutRequest(key=b"a", value=b"1", lease=9)

    refused, applied = applying.apply(
        (OperationKind.PUT, unknown_lease),
        (OperationKind.PUT, rpc_pb2.PutRequest(key=b"b", value=b"2")),
    )

    assert isinstance(refused, LeaseNotFound)
    assert applied == Reply(2, b"")
    assert applying.value(b"a") is None


def test_the_applied_index_is_stored_with_the_change_itself(applying: Applying) -> None:
    applying.put(b"k")

    txn = applying.backend.begin_read()
    assert meta.applied(txn) == meta.Applied(LogIndex(2), Term(1))
    txn.close()
    assert StateMachine(applying.backend).applied == applying.machine.applied


def test_an_entry_is_never_applied_twice(applying: Applying) -> None:
    applying.put(b"k")
    entry = encode_entry([encode_batch(BATCH, [])])
    turn = applying.machine.begin_turn(0, 1)

    with pytest.raises(AssertionError, match="2 applied after 2"):
        list(turn.apply(LogIndex(2), Term(1), entry))


def test_revoking_a_lease_deletes_its_keys_in_one_revision(applying: Applying) -> None:
    applying.apply((OperationKind.LEASE_GRANT, rpc_pb2.LeaseGrantRequest(ID=5, TTL=60)))
    applying.put(b"a", lease=5)
    applying.put(b"b", lease=5)
    applying.put(b"c")

    (outcome,) = applying.apply((OperationKind.LEASE_REVOKE, rpc_pb2.LeaseRevokeRequest(ID=5)))

    assert outcome == Reply(5, b"")
    ((revision, events),) = applying.applied.events
    assert (revision, [(event.key, event.is_delete) for event in events]) == (
        5,
        [(b"a", True), (b"b", True)],
    )
    assert applying.value(b"c") == b"v"


def test_a_key_put_without_its_lease_survives_the_revoke(applying: Applying) -> None:
    applying.apply((OperationKind.LEASE_GRANT, rpc_pb2.LeaseGrantRequest(ID=5, TTL=60)))
    applying.put(b"a", lease=5)
    applying.put(b"a", b"free")

    applying.apply((OperationKind.LEASE_REVOKE, rpc_pb2.LeaseRevokeRequest(ID=5)))

    assert applying.value(b"a") == b"free"


def test_leases_are_refused_in_the_words_of_what_is_wrong(applying: Applying) -> None:
    grant = rpc_pb2.LeaseGrantRequest(ID=5, TTL=60)
    applying.apply((OperationKind.LEASE_GRANT, grant))

    exists, unknown = applying.apply(
        (OperationKind.LEASE_GRANT, grant),
        (OperationKind.LEASE_REVOKE, rpc_pb2.LeaseRevokeRequest(ID=6)),
    )

    assert isinstance(exists, LeaseExists)
    assert isinstance(unknown, LeaseNotFound)


def test_keeping_the_value_of_a_key_that_is_not_there_is_refused(applying: Applying) -> None:
    (outcome,) = applying.apply(
        (OperationKind.PUT, rpc_pb2.PutRequest(key=b"k", ignore_value=True))
    )

    assert isinstance(outcome, KeyNotFound)


def test_a_transaction_that_would_fail_half_way_writes_nothing(applying: Applying) -> None:
    request = rpc_pb2.TxnRequest(
        success=[
            rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"a", value=b"1")),
            rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"b", value=b"2", lease=9)),
        ]
    )

    (outcome,) = applying.apply((OperationKind.TXN, request))

    assert isinstance(outcome, LeaseNotFound)
    assert applying.value(b"a") is None
    assert applying.machine.store.revision == 1


@pytest.mark.parametrize("revision", [2, -5])
def test_a_range_of_a_compacted_revision_inside_a_transaction_is_refused_before_its_writes(
    applying: Applying, revision: int
) -> None:
    """etcd #18667: no two members may take different branches. A negative one is compacted."""
    for number in range(5):
        applying.put(b"k", b"%d" % number)
    applying.apply((OperationKind.COMPACT, rpc_pb2.CompactionRequest(revision=4)))
    request = rpc_pb2.TxnRequest(
        success=[
            rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"new", value=b"1")),
            rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=b"k", revision=revision)),
        ]
    )

    (outcome,) = applying.apply((OperationKind.TXN, request))

    assert isinstance(outcome, Compacted)
    assert applying.value(b"new") is None


@pytest.mark.parametrize("is_range_first", [True, False])
def test_a_transaction_is_refused_for_the_first_operation_that_cannot_be_done(
    applying: Applying, *, is_range_first: bool
) -> None:
    put = rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"none", ignore_value=True))
    read = rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=b"k", revision=99))
    nested = rpc_pb2.RequestOp(request_txn=rpc_pb2.TxnRequest(success=[put]))
    request = rpc_pb2.TxnRequest(success=[read, nested] if is_range_first else [nested, read])

    (outcome,) = applying.apply((OperationKind.TXN, request))

    assert isinstance(outcome, FutureRevision if is_range_first else KeyNotFound)


def test_with_the_space_alarm_only_what_frees_space_is_applied(applying: Applying) -> None:
    applying.put(b"k")
    alarm = rpc_pb2.AlarmRequest(
        action=rpc_pb2.AlarmRequest.ACTIVATE, memberID=7, alarm=rpc_pb2.NOSPACE
    )
    applying.apply((OperationKind.ALARM, alarm))
    puts = rpc_pb2.TxnRequest(failure=[rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"x"))])

    put, txn, grant, delete = applying.apply(
        (OperationKind.PUT, rpc_pb2.PutRequest(key=b"x")),
        (OperationKind.TXN, puts),
        (OperationKind.LEASE_GRANT, rpc_pb2.LeaseGrantRequest(ID=1, TTL=5)),
        (OperationKind.DELETE_RANGE, rpc_pb2.DeleteRangeRequest(key=b"k")),
    )

    assert isinstance(put, SpaceExceeded)
    assert isinstance(txn, SpaceExceeded)
    assert isinstance(grant, SpaceExceeded)
    assert isinstance(delete, Reply)


def test_alarms_and_attributes_survive_a_restart(applying: Applying) -> None:
    alarm = rpc_pb2.AlarmRequest(
        action=rpc_pb2.AlarmRequest.ACTIVATE, memberID=7, alarm=rpc_pb2.CORRUPT
    )
    attributes = raft_pb2.MemberAttributes(name="n1", client_urls=["http://127.0.0.1:2379"])
    applying.apply(
        (OperationKind.ALARM, alarm),
        (OperationKind.MEMBER_ATTRIBUTES, attributes_operation(MemberId(7), attributes)),
    )

    again = StateMachine(applying.backend)

    assert again.alarms.raised() == [(MemberId(7), rpc_pb2.CORRUPT)]
    assert again.attributes == {MemberId(7): attributes}


def test_a_long_delete_pauses_between_slices_and_is_one_revision(applying: Applying) -> None:
    for number in range(600):
        applying.put(b"k%03d" % number)
    request = rpc_pb2.DeleteRangeRequest(key=b"k", range_end=b"l").SerializeToString()
    turn = applying.machine.begin_turn(0, 1)
    entry = encode_entry([encode_batch(BATCH, [(OperationKind.DELETE_RANGE, request)])])

    pauses = sum(1 for _ in turn.apply(LogIndex(602), Term(1), entry))
    applied = turn.commit()

    assert pauses >= 2
    ((_, events),) = applied.events
    assert len(events) == 600
