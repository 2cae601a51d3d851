"""What refuses a request of the KV service before it is proposed, in etcd's order and words.

Source: the documented behaviour of etcd's v3 API (rpc.proto KV).
"""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from kvstore.apply.requests import PutRequest
from kvstore.base.errors import (
    DuplicateKey,
    InvalidSortOption,
    KeyNotFound,
    KeyNotProvided,
    LeaseProvided,
    TooManyOperations,
    ValueProvided,
)
from kvstore.rpc.pipeline import malformed
from kvstore.wire.pb import rpc_pb2

_SORT_ORDERS = frozenset(rpc_pb2.RangeRequest.SortOrder.values())
_SORT_TARGETS = frozenset(rpc_pb2.RangeRequest.SortTarget.values())

PUT_COST_BYTES = 256
LEASE_COST_BYTES = 64


def parse_range(raw: bytes) -> rpc_pb2.RangeRequest:
    """Decode and check a RangeRequest."""
    try:
        request = rpc_pb2.RangeRequest.FromString(raw)
    except DecodeError as error:
        raise malformed(error) from error
    check_range(request)
    return request


def check_range(request: rpc_pb2.RangeRequest) -> None:
    """Raise what refuses this range."""
    if not request.key:
        raise KeyNotProvided
    if request.sort_order not in _SORT_ORDERS or request.sort_target not in _SORT_TARGETS:
        raise InvalidSortOption


def check_put(request: PutRequest | rpc_pb2.PutRequest) -> None:
    """Raise what refuses this put."""
    if not request.key:
        raise KeyNotProvided
    if request.ignore_value and request.value:
        raise ValueProvided
    if request.ignore_lease and request.lease:
        raise LeaseProvided


def parse_delete_range(raw: bytes) -> rpc_pb2.DeleteRangeRequest:
    """Decode and check a DeleteRangeRequest."""
    try:
        request = rpc_pb2.DeleteRangeRequest.FromString(raw)
    except DecodeError as error:
        raise malformed(error) from error
    if not request.key:
        raise KeyNotProvided
    return request


def parse_txn(raw: bytes) -> rpc_pb2.TxnRequest:
    """Decode a TxnRequest; `check_txn` checks it."""
    try:
        return rpc_pb2.TxnRequest.FromString(raw)
    except DecodeError as error:
        raise malformed(error) from error


def check_txn(request: rpc_pb2.TxnRequest, ops_max: int) -> None:
    """Raise what refuses this transaction: sizes, operations, overlaps."""
    _check_txn_operations(request, ops_max)
    for branch in (request.success, request.failure):
        # One operation that holds no others cannot collide with any.
        if len(branch) > 1 or (branch and branch[0].HasField("request_txn")):
            _touched(branch)


def _check_txn_operations(request: rpc_pb2.TxnRequest, ops_max: int) -> None:
    longest = max(len(request.compare), len(request.success), len(request.failure))
    if longest > ops_max:
        raise TooManyOperations
    if any(not compare.key for compare in request.compare):
        raise KeyNotProvided
    for branch in (request.success, request.failure):
        for operation in branch:
            match operation.WhichOneof("request"):
                case "request_range":
                    check_range(operation.request_range)
                case "request_put":
                    check_put(operation.request_put)
                case "request_delete_range":
                    if not operation.request_delete_range.key:
                        raise KeyNotProvided
                case "request_txn":
                    _check_txn_operations(operation.request_txn, ops_max - longest)
                case _:
                    raise KeyNotFound


class _Touched:
    """Keys put and intervals deleted by some operations."""

    __slots__ = ("deletes", "puts")

    def __init__(self) -> None:
        self.puts: set[bytes] = set()
        self.deletes: list[tuple[bytes, bytes]] = []

    def deletes_key(self, key: bytes) -> bool:
        # A range_end of one zero byte is taken literally here, as etcd does: an empty interval.
        return any(key == start if not end else start <= key < end for start, end in self.deletes)


def _touched(operations: Sequence[rpc_pb2.RequestOp]) -> _Touched:
    """Return what a branch touches.

    Deletes of this branch are collected first, then nested transactions are compared with them and
    with what came before, then this branch's own puts: two gaps follow from that order, and etcd
    has the same (a put in an earlier nested transaction against a delete in a later one).
    """
    found = _Touched()
    for operation in operations:
        if operation.WhichOneof("request") == "request_delete_range":
            delete = operation.request_delete_range
            found.deletes.append((delete.key, delete.range_end))
    for operation in operations:
        if operation.WhichOneof("request") != "request_txn":
            continue
        nested = operation.request_txn
        then, otherwise = _touched(nested.success), _touched(nested.failure)
        # The branches of one nested transaction exclude each other: a key may be in both.
        for key in then.puts | otherwise.puts:
            if key in found.puts or found.deletes_key(key):
                raise DuplicateKey
        found.puts |= then.puts | otherwise.puts
        found.deletes += then.deletes + otherwise.deletes
    for operation in operations:
        if operation.WhichOneof("request") != "request_put":
            continue
        key = operation.request_put.key
        if key in found.puts or found.deletes_key(key):
            raise DuplicateKey
        found.puts.add(key)
    return found


def is_read_only(request: rpc_pb2.TxnRequest) -> bool:
    """Whether both branches hold ranges only; a nested transaction never counts as such."""
    return all(
        operation.WhichOneof("request") == "request_range"
        for branch in (request.success, request.failure)
        for operation in branch
    )


def is_serializable(request: rpc_pb2.TxnRequest) -> bool:
    """Whether every range of a read-only transaction may be served from local state."""
    return all(
        operation.request_range.serializable
        for branch in (request.success, request.failure)
        for operation in branch
    )


def txn_cost(request: rpc_pb2.TxnRequest) -> int:
    """Return the bytes that the costlier branch may add to the keyspace."""
    return max(_branch_cost(request.success), _branch_cost(request.failure))


def _branch_cost(operations: Sequence[rpc_pb2.RequestOp]) -> int:
    cost = 0
    for operation in operations:
        match operation.WhichOneof("request"):
            case "request_put":
                put = operation.request_put
                cost += PUT_COST_BYTES + len(put.key) + len(put.value)
            case "request_txn":
                cost += txn_cost(operation.request_txn)
            case _:
                pass
    return cost
