import pytest

from kvstore.base.errors import (
    DuplicateKey,
    InvalidRequest,
    InvalidSortOption,
    KeyNotFound,
    KeyNotProvided,
    LeaseProvided,
    RequestRefused,
    TooManyOperations,
    ValueProvided,
)
from kvstore.rpc import kv_checks
from kvstore.wire.pb import rpc_pb2
from kvstore.wire.pb.rpc_pb2 import (
    Compare,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)

OPS_MAX = 4


def put(key: bytes) -> RequestOp:
    return RequestOp(request_put=PutRequest(key=key))


def delete(key: bytes, range_end: bytes = b"") -> RequestOp:
    return RequestOp(request_delete_range=DeleteRangeRequest(key=key, range_end=range_end))


def get(key: bytes, *, serializable: bool = False) -> RequestOp:
    return RequestOp(request_range=RangeRequest(key=key, serializable=serializable))


def nested(*success: RequestOp, failure: tuple[RequestOp, ...] = ()) -> RequestOp:
    return RequestOp(request_txn=TxnRequest(success=success, failure=failure))


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (RangeRequest(), KeyNotProvided),
        (RangeRequest(key=b"k", sort_order=3), InvalidSortOption),
        (RangeRequest(key=b"k", sort_target=5), InvalidSortOption),
        (RangeRequest(sort_order=3), KeyNotProvided),
    ],
)
def test_a_range_is_refused_for_the_first_thing_wrong_with_it(
    request_: RangeRequest, refusal: type[RequestRefused]
) -> None:
    with pytest.raises(refusal):
        kv_checks.check_range(request_)


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (PutRequest(value=b"v", ignore_value=True), KeyNotProvided),
        (PutRequest(key=b"k", value=b"v", ignore_value=True, ignore_lease=True), ValueProvided),
        (PutRequest(key=b"k", lease=1, ignore_lease=True), LeaseProvided),
    ],
)
def test_a_put_is_refused_for_the_first_thing_wrong_with_it(
    request_: PutRequest, refusal: type[RequestRefused]
) -> None:
    with pytest.raises(refusal):
        kv_checks.check_put(request_)


def test_bytes_that_are_no_message_are_refused() -> None:
    for parse in (kv_checks.parse_range, kv_checks.parse_delete_range, kv_checks.parse_txn):
        with pytest.raises(InvalidRequest):
            parse(b"\xff\xff")


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (TxnRequest(success=[put(b"a")] * (OPS_MAX + 1)), TooManyOperations),
        (TxnRequest(compare=[Compare(key=b"a")] * (OPS_MAX + 1)), TooManyOperations),
        (TxnRequest(compare=[Compare()], success=[put(b"")]), KeyNotProvided),
        (TxnRequest(failure=[put(b"")]), KeyNotProvided),
        (TxnRequest(success=[delete(b"")]), KeyNotProvided),
        (TxnRequest(success=[RequestOp()]), KeyNotFound),
        # What is left for a nested transaction is the limit less its parent's longest list.
        (
            TxnRequest(success=[get(b"a"), get(b"b"), nested(get(b"c"), get(b"d"))]),
            TooManyOperations,
        ),
    ],
)
def test_a_transaction_is_refused_for_the_first_thing_wrong_with_it(
    request_: TxnRequest, refusal: type[RequestRefused]
) -> None:
    with pytest.raises(refusal):
        kv_checks.check_txn(request_, OPS_MAX)


@pytest.mark.parametrize(
    "operations",
    [
        [put(b"a"), put(b"a")],
        [put(b"b"), delete(b"a", b"c")],
        [delete(b"b"), put(b"b")],
        [put(b"a"), nested(put(b"a"))],
        [nested(put(b"a")), nested(failure=(put(b"a"),))],
        [nested(put(b"b")), delete(b"a", b"c")],
        [nested(delete(b"a", b"c")), put(b"b")],
        [nested(delete(b"a", b"c")), nested(put(b"b"))],
    ],
)
def test_writes_of_one_branch_that_meet_are_refused(operations: list[RequestOp]) -> None:
    for request in (TxnRequest(success=operations), TxnRequest(failure=operations)):
        with pytest.raises(DuplicateKey):
            kv_checks.check_txn(request, 128)


@pytest.mark.parametrize(
    "operations",
    [
        [delete(b"a", b"c"), delete(b"b")],
        [get(b"a"), put(b"a")],
        # The branches of one nested transaction exclude each other.
        [nested(put(b"a"), failure=(put(b"a"),))],
        # Two gaps that etcd has too.
        [put(b"b"), delete(b"a", b"\0")],
        [nested(put(b"b")), nested(delete(b"a", b"c"))],
    ],
)
def test_writes_that_do_not_meet_pass(operations: list[RequestOp]) -> None:
    kv_checks.check_txn(TxnRequest(success=operations), 128)


def test_the_two_branches_of_a_transaction_may_write_the_same_key() -> None:
    kv_checks.check_txn(TxnRequest(success=[put(b"a")], failure=[put(b"a")]), 128)


def test_a_transaction_is_read_only_if_it_holds_nothing_but_ranges() -> None:
    assert kv_checks.is_read_only(TxnRequest())
    assert kv_checks.is_read_only(TxnRequest(success=[get(b"a")], failure=[get(b"b")]))
    assert not kv_checks.is_read_only(TxnRequest(failure=[put(b"a")]))
    assert not kv_checks.is_read_only(TxnRequest(success=[nested(get(b"a"))]))


def test_it_is_serializable_if_every_range_is() -> None:
    local, barrier = get(b"a", serializable=True), get(b"b")

    assert kv_checks.is_serializable(TxnRequest())
    assert kv_checks.is_serializable(TxnRequest(success=[local]))
    assert not kv_checks.is_serializable(TxnRequest(success=[local], failure=[barrier]))


def test_the_cost_of_a_transaction_is_that_of_its_costlier_branch() -> None:
    cheap = [put(b"k")]
    dear = [nested(put(b"key1"), put(b"key2")), get(b"x"), delete(b"y")]

    assert kv_checks.txn_cost(TxnRequest(success=cheap, failure=dear)) == 2 * (256 + 4)
    assert kv_checks.txn_cost(rpc_pb2.TxnRequest(success=[get(b"x")])) == 0
