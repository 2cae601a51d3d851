"""Transactions: compare, choose, check, execute (rpc.proto TxnRequest).

Every compare, nested ones included, sees the keyspace before the transaction, so the branches are
chosen first; what could refuse an operation is checked next, against that same keyspace; only then
is anything written. Source: etcd's documented KV API guarantees.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from kvstore.apply.operations import Operations
from kvstore.apply.reply import Reply, operation_header, range_body
from kvstore.apply.requests import put_of, range_query
from kvstore.base.errors import Compacted, FutureRevision
from kvstore.base.key_range import KeyRange
from kvstore.mvcc import KeyspaceWriter, KeyValue, RangeQuery, ReadView, decode_key_value
from kvstore.wire.pb import rpc_pb2
from kvstore.wire.protobuf import message_field, varint_field

_Compare = rpc_pb2.Compare
_Operand = TypeVar("_Operand", int, bytes)
_Keyspace = KeyspaceWriter | ReadView


@dataclass(slots=True)
class _Branch:
    """One transaction with its branch chosen; `nested` holds its sub-transactions in order."""

    succeeded: bool
    operations: list[rpc_pb2.RequestOp]
    nested: list["_Branch"] = field(default_factory=list)


def apply_txn(request: rpc_pb2.TxnRequest, on: Operations) -> Generator[None, None, Reply]:
    """Carry out a transaction, in slices where it deletes, and return its response.

    Raises:
        RequestRefused: an operation of the chosen branches cannot be done; nothing was written.
    """
    counts = on.writer.counts
    before = counts.operations
    branch = _choose(request, on.writer)
    _check(branch, on)
    on.room.expect(0, sum(1 for _ in _chosen_operations(branch)))
    body = yield from _execute(branch, on)
    counts.txns += counts.operations - before > 1
    return Reply(on.writer.end_request(), body)


def read_txn(request: rpc_pb2.TxnRequest, view: ReadView) -> Reply:
    """Answer a transaction that holds nothing but ranges, from a view.

    Raises:
        RequestRefused: a range asks for a revision that is gone or not there yet.
    """
    branch = _choose(request, view)
    parts = [varint_field(2, int(branch.succeeded))]
    for operation in branch.operations:
        _check_revision(operation.request_range.revision, view)
    for operation in branch.operations:
        body = range_body(view.range(range_query(operation.request_range)))
        response = message_field(1, operation_header(view.revision) + body)
        parts.append(message_field(3, response))
    return Reply(view.revision, b"".join(parts))


def _choose(request: rpc_pb2.TxnRequest, keyspace: _Keyspace) -> _Branch:
    succeeded = all(_holds(compare, keyspace) for compare in request.compare)
    branch = _Branch(succeeded, list(request.success if succeeded else request.failure))
    for operation in branch.operations:
        if operation.WhichOneof("request") == "request_txn":
            branch.nested.append(_choose(operation.request_txn, keyspace))
    return branch


def _holds(compare: rpc_pb2.Compare, keyspace: _Keyspace) -> bool:
    found = list(_versions(compare, keyspace))
    if not found:
        # A missing key has no value at all, so no statement about its value is true.
        return compare.target != _Compare.VALUE and _relates(compare, 0, _number(compare))
    return all(_version_holds(compare, version) for version in found)


def _versions(compare: rpc_pb2.Compare, keyspace: _Keyspace) -> Iterator[KeyValue]:
    if compare.range_end:
        keys = KeyRange.of(compare.key, compare.range_end)
        yield from map(decode_key_value, keyspace.range(RangeQuery(keys=keys)).kvs)
    elif (found := keyspace.get(compare.key)) is not None:
        yield decode_key_value(found.key_value)


def _version_holds(compare: rpc_pb2.Compare, version: KeyValue) -> bool:
    match compare.target:
        case _Compare.VALUE:
            return _relates(compare, version.value, compare.value)
        case _Compare.VERSION:
            actual = version.version
        case _Compare.CREATE:
            actual = version.create_revision
        case _Compare.MOD:
            actual = version.mod_revision
        case _Compare.LEASE:
            actual = version.lease
        case _:
            actual = 0
    return _relates(compare, actual, _number(compare))


def _number(compare: rpc_pb2.Compare) -> int:
    """Return the operand; 0 if the request set one that does not fit its target."""
    match compare.target:
        case _Compare.VERSION:
            return compare.version
        case _Compare.CREATE:
            return compare.create_revision
        case _Compare.MOD:
            return compare.mod_revision
        case _Compare.LEASE:
            return compare.lease
        case _:
            return 0


def _relates(compare: rpc_pb2.Compare, actual: _Operand, wanted: _Operand) -> bool:
    match compare.result:
        case _Compare.EQUAL:
            return actual == wanted
        case _Compare.NOT_EQUAL:
            return actual != wanted
        case _Compare.GREATER:
            return actual > wanted
        case _Compare.LESS:
            return actual < wanted
        case _:
            return True


def _check(branch: _Branch, on: Operations) -> None:
    """Refuse what cannot be done, for the first operation that cannot: as etcd 3.6."""
    for operation in _chosen_operations(branch):
        if operation.HasField("request_put"):
            on.check_put_in_txn(put_of(operation.request_put))
        elif operation.HasField("request_range"):
            _check_revision(operation.request_range.revision, on.writer)


def _chosen_operations(branch: _Branch) -> Iterator[rpc_pb2.RequestOp]:
    """The operations that will run, those of nested transactions in their places."""
    nested = iter(branch.nested)
    for operation in branch.operations:
        if operation.HasField("request_txn"):
            yield from _chosen_operations(next(nested))
        else:
            yield operation


def _check_revision(revision: int, keyspace: _Keyspace) -> None:
    """Refuse a revision inside a transaction; as in etcd, a negative one may be compacted."""
    if revision > keyspace.revision:
        raise FutureRevision
    if revision != 0 and revision < keyspace.compact_revision:
        raise Compacted(keyspace.compact_revision)


def _execute(branch: _Branch, on: Operations) -> Generator[None, None, bytes]:
    """Run the operations in order; return TxnResponse without its header."""
    nested = iter(branch.nested)
    parts = [varint_field(2, int(branch.succeeded))]
    for operation in branch.operations:
        match operation.WhichOneof("request"):
            case "request_range":
                body = on.range_body(range_query(operation.request_range))
                response = message_field(1, operation_header(on.writer.revision) + body)
            case "request_put":
                body = on.put_body(put_of(operation.request_put))
                response = message_field(2, operation_header(on.writer.revision) + body)
            case "request_delete_range":
                body = yield from on.delete_range_body(operation.request_delete_range)
                response = message_field(3, operation_header(on.writer.revision) + body)
            case "request_txn":
                body = yield from _execute(next(nested), on)
                response = message_field(4, b"\x0a\x00" + body)
            case other:
                raise AssertionError(f"validated transaction holds operation {other!r}")
        parts.append(message_field(3, response))
    return b"".join(parts)
