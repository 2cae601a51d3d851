"""What is read and applied by hand is what the library and the general path make of it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvstore.apply import Outcome, StateMachine, state_machine
from kvstore.apply.command import BatchId, OperationKind, encode_batch, encode_entry
from kvstore.apply.plain_txn import plain_txns
from kvstore.backend.memory_backend import MemoryBackend
from kvstore.backend.schema import Tree
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.mvcc import Changes, ConditionalPut, Counts, Field
from kvstore.wire.pb import rpc_pb2

_COMPARE = rpc_pb2.Compare
KEYS = st.sampled_from([b"a", b"b", b"c", b"long" * 12])
NUMBERS = st.sampled_from([0, 1, 2, 3, 5, 130, 2**40])
OPERANDS = {
    Field.VERSION: "version",
    Field.CREATE: "create_revision",
    Field.MOD: "mod_revision",
    Field.VALUE: "value",
    Field.LEASE: "lease",
}


@st.composite
def compares(draw: st.DrawFn) -> rpc_pb2.Compare:
    target = draw(st.sampled_from(_COMPARE.CompareTarget.values()))
    compare = rpc_pb2.Compare(
        key=draw(KEYS),
        target=target,
        result=draw(st.sampled_from(_COMPARE.CompareResult.values())),
    )
    name = draw(st.sampled_from([list(OPERANDS.values())[target], None]))
    if name == "value":
        compare.value = draw(st.sampled_from([b"", b"x", b"y" * 50]))
    elif name is not None:
        setattr(compare, name, draw(NUMBERS))
    return compare


@st.composite
def plain(draw: st.DrawFn) -> rpc_pb2.TxnRequest:
    request = rpc_pb2.TxnRequest(compare=[draw(compares())])
    put = request.success.add().request_put
    put.key, put.value = draw(KEYS), draw(st.sampled_from([b"x", b"y" * 50, b"z" * 300]))
    if draw(st.booleans()):
        request.failure.add().request_range.key = draw(KEYS)
    return request


@st.composite
def any_txn(draw: st.DrawFn) -> rpc_pb2.TxnRequest:
    """A plain one with something more, or less."""
    request = draw(plain())
    match draw(st.integers(0, 9)):
        case 0:
            request.compare.append(draw(compares()))
        case 1:
            request.compare[0].range_end = b"z"
        case 2:
            request.success.add().request_range.key = b"a"
        case 3:
            request.success[0].request_put.lease = 7
        case 4:
            request.success[0].request_put.prev_kv = True
        case 5:
            request.failure.add().request_range.range_end = b"q"
        case 6:
            request.failure.add().request_delete_range.key = b"a"
        case 7:
            request.ClearField(draw(st.sampled_from(["compare", "success", "failure"])))
        case 8:
            request.compare[0].version = -1
        case _:
            request.compare[0].key = b""
    return request


def as_request(txn: ConditionalPut) -> rpc_pb2.TxnRequest:
    """The transaction that says this, with every operand spelled out."""
    compare = rpc_pb2.Compare(
        key=txn.compared,
        target=list(OPERANDS).index(Field(txn.field)),  # type: ignore[arg-type]
        result=txn.relation,  # type: ignore[arg-type]
    )
    setattr(compare, OPERANDS[Field(txn.field)], txn.operand)
    request = rpc_pb2.TxnRequest(compare=[compare])
    put = request.success.add().request_put
    put.key, put.value = txn.key, txn.value
    if txn.otherwise is not None:
        request.failure.add().request_range.key = txn.otherwise
    return request


def check_reading(raw: bytes) -> bool:
    """Check that `raw`, if it is read by hand, says what the library reads; whether it was."""
    found = plain_txns([raw])
    if found is None:
        return False
    expected = rpc_pb2.TxnRequest.FromString(raw)
    (compare,) = expected.compare
    if compare.WhichOneof("target_union") is None:  # means the same as its zero
        name = list(OPERANDS.values())[compare.target]
        setattr(compare, name, getattr(compare, name))
    assert as_request(found[0]) == expected
    return True


@given(plain())
def test_a_plain_transaction_is_read_by_hand_as_the_library_reads_it(
    request: rpc_pb2.TxnRequest,
) -> None:
    assert check_reading(request.SerializeToString())


@given(any_txn())
def test_a_transaction_of_another_shape_is_left_to_the_library(request: rpc_pb2.TxnRequest) -> None:
    check_reading(request.SerializeToString())


@given(plain(), st.data())
def test_damaged_transactions_are_never_read_as_something_else(
    request: rpc_pb2.TxnRequest, data: st.DataObject
) -> None:
    raw = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 2))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    check_reading(bytes(raw))
    check_reading(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


@given(st.binary(max_size=40))
@example(b"")
@example(b"\x0a")
def test_any_bytes_are_read_as_the_library_reads_them(raw: bytes) -> None:
    check_reading(raw)


Step = tuple[OperationKind, bytes]
STEPS = st.lists(
    st.one_of(
        plain().map(lambda request: (OperationKind.TXN, request.SerializeToString())),
        st.builds(
            lambda key, value, lease: (
                OperationKind.PUT,
                rpc_pb2.PutRequest(key=key, value=value, lease=lease).SerializeToString(),
            ),
            KEYS,
            st.just(b"x"),
            st.sampled_from([0, 0, 5]),
        ),
        st.builds(
            lambda key: (
                OperationKind.DELETE_RANGE,
                rpc_pb2.DeleteRangeRequest(key=key).SerializeToString(),
            ),
            KEYS,
        ),
    ),
    max_size=6,
)
TXNS = st.lists(
    plain().map(lambda request: (OperationKind.TXN, request.SerializeToString())),
    min_size=1,
    max_size=12,
)


def applied(earlier: list[Step], txns: list[Step]) -> tuple[object, ...]:
    """All that can be seen of a machine that has applied these."""
    backend = MemoryBackend()
    machine = StateMachine(backend)
    seen: list[tuple[list[Outcome], list[Changes], Counts]] = []
    lease = rpc_pb2.LeaseGrantRequest(ID=5, TTL=60).SerializeToString()
    batches: list[list[Step]] = [[(OperationKind.LEASE_GRANT, lease)], *([one] for one in earlier)]
    for batch in [*batches, txns]:
        index = LogIndex(machine.applied.index + 1)
        turn = machine.begin_turn(0, len(batch))
        encoded = encode_batch(BatchId(MemberId(7), 1, index), batch)
        for _ in turn.apply(index, Term(1), encode_entry([encoded])):
            pass
        result = turn.commit()
        seen.append((result.batches[0][1], list(result.events), result.counts))
    txn = backend.begin_read()
    trees = [list(txn.scan(tree)) for tree in Tree]
    return repr(seen), trees, machine.store.revision


@given(STEPS, TXNS)
def test_transactions_in_one_step_leave_what_they_leave_one_by_one(
    earlier: list[Step], txns: list[Step]
) -> None:
    together = applied(earlier, txns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state_machine, "_WITH_PLAIN_SHAPE", frozenset())
        apart = applied(earlier, txns)
    assert together == apart
