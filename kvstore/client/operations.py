"""The parts of a transaction: comparisons written as Python expressions, and operations.

client.txn(
    compare=[Version("k") == 0, ModRevision(prefix("jobs/")) < 90],
    success=[Put("k", "v")],
    failure=[Get("k")],
)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kvstore.client.keys import Keys, Text, encoded, on_the_wire
from kvstore.wire.pb import rpc_pb2

_Result = rpc_pb2.Compare.CompareResult


@dataclass(frozen=True, slots=True)
class Comparison:
    """A condition that the store evaluates, for every key of its range."""

    message: rpc_pb2.Compare

    def __bool__(self) -> bool:
        """Refuse: `a and b` or `if a` would drop a condition silently.

        Raises:
            TypeError: always.
        """
        raise TypeError("a comparison is evaluated by the store; pass a list of them to txn()")


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """What is compared; a key that does not exist counts as 0."""

    keys: Keys

    def __eq__(self, operand: int) -> Comparison:  # type: ignore[override]
        """Return the condition that both are equal."""
        return self._compared(rpc_pb2.Compare.EQUAL, operand)

    def __ne__(self, operand: int) -> Comparison:  # type: ignore[override]
        """Return the condition that they differ."""
        return self._compared(rpc_pb2.Compare.NOT_EQUAL, operand)

    def __lt__(self, operand: int) -> Comparison:
        """Return the condition that the store's is less."""
        return self._compared(rpc_pb2.Compare.LESS, operand)

    def __gt__(self, operand: int) -> Comparison:
        """Return the condition that the store's is greater."""
        return self._compared(rpc_pb2.Compare.GREATER, operand)

    __hash__ = None  # type: ignore[assignment]  # equality is not an answer here

    def _compared(self, result: "_Result.ValueType", operand: int) -> Comparison:
        key, range_end = on_the_wire(self.keys)
        message = rpc_pb2.Compare(key=key, range_end=range_end, result=result)
        self._set(message, operand)
        return Comparison(message)

    def _set(self, message: rpc_pb2.Compare, operand: int) -> None:
        raise NotImplementedError


class Version(_Target):
    """How many times the key was put since it was created; 0: it does not exist."""

    def _set(self, message: rpc_pb2.Compare, operand: int) -> None:
        message.target, message.version = rpc_pb2.Compare.VERSION, operand


class CreateRevision(_Target):
    """The revision that created the key; 0: it does not exist."""

    def _set(self, message: rpc_pb2.Compare, operand: int) -> None:
        message.target, message.create_revision = rpc_pb2.Compare.CREATE, operand


class ModRevision(_Target):
    """The revision that last changed the key; 0: it does not exist."""

    def _set(self, message: rpc_pb2.Compare, operand: int) -> None:
        message.target, message.mod_revision = rpc_pb2.Compare.MOD, operand


class LeaseOf(_Target):
    """The lease the key is attached to; 0: none."""

    def _set(self, message: rpc_pb2.Compare, operand: int) -> None:
        message.target, message.lease = rpc_pb2.Compare.LEASE, operand


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """The value of the key; of a key that does not exist every comparison is false."""

    keys: Keys

    def __eq__(self, operand: Text) -> Comparison:  # type: ignore[override]
        """Return the condition that both are equal."""
        return self._compared(rpc_pb2.Compare.EQUAL, operand)

    def __ne__(self, operand: Text) -> Comparison:  # type: ignore[override]
        """Return the condition that they differ."""
        return self._compared(rpc_pb2.Compare.NOT_EQUAL, operand)

    def __lt__(self, operand: Text) -> Comparison:
        """Return the condition that the store's comes before, in byte order."""
        return self._compared(rpc_pb2.Compare.LESS, operand)

    def __gt__(self, operand: Text) -> Comparison:
        """Return the condition that the store's comes after, in byte order."""
        return self._compared(rpc_pb2.Compare.GREATER, operand)

    __hash__ = None  # type: ignore[assignment]  # equality is not an answer here

    def _compared(self, result: "_Result.ValueType", operand: Text) -> Comparison:
        key, range_end = on_the_wire(self.keys)
        return Comparison(
            rpc_pb2.Compare(
                key=key,
                range_end=range_end,
                result=result,
                target=rpc_pb2.Compare.VALUE,
                value=encoded(operand),
            )
        )


@dataclass(frozen=True, slots=True)
class Put:
    key: Text
    value: Text
    lease: int = field(default=0, kw_only=True)
    previous: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Get:
    """Read one key or a range; a branch's reads see the writes before them in the branch."""

    keys: Keys
    limit: int = field(default=0, kw_only=True)
    revision: int = field(default=0, kw_only=True)
    keys_only: bool = field(default=False, kw_only=True)
    count_only: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Delete:
    keys: Keys
    previous: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Txn:
    """A transaction; inside another one it is decided by the state before the outermost."""

    compare: Sequence[Comparison] = ()
    success: Sequence["Operation"] = ()
    failure: Sequence["Operation"] = ()


Operation = Put | Get | Delete | Txn


def put_request(put: Put) -> rpc_pb2.PutRequest:
    return rpc_pb2.PutRequest(
        key=encoded(put.key), value=encoded(put.value), lease=put.lease, prev_kv=put.previous
    )


def get_request(get: Get) -> rpc_pb2.RangeRequest:
    key, range_end = on_the_wire(get.keys)
    return rpc_pb2.RangeRequest(
        key=key,
        range_end=range_end,
        limit=get.limit,
        revision=get.revision,
        keys_only=get.keys_only,
        count_only=get.count_only,
    )


def delete_request(delete: Delete) -> rpc_pb2.DeleteRangeRequest:
    key, range_end = on_the_wire(delete.keys)
    return rpc_pb2.DeleteRangeRequest(key=key, range_end=range_end, prev_kv=delete.previous)


def txn_request(txn: Txn) -> rpc_pb2.TxnRequest:
    return rpc_pb2.TxnRequest(
        compare=[comparison.message for comparison in txn.compare],
        success=[_operation(operation) for operation in txn.success],
        failure=[_operation(operation) for operation in txn.failure],
    )


def _operation(operation: Operation) -> rpc_pb2.RequestOp:
    match operation:
        case Put():
            return rpc_pb2.RequestOp(request_put=put_request(operation))
        case Get():
            return rpc_pb2.RequestOp(request_range=get_request(operation))
        case Delete():
            return rpc_pb2.RequestOp(request_delete_range=delete_request(operation))
        case Txn():
            return rpc_pb2.RequestOp(request_txn=txn_request(operation))
