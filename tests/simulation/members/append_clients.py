"""Clients that append to lists in transactions, optimistically; judged by the cycle checker.

A list is the value of a key, its elements with commas between. A transaction reads some lists, then
appends to one or two of them if none of those it read has changed since.
"""

from kvstore.check import History, Outcome
from kvstore.check import Operation as Noted
from kvstore.check.json_value import Json
from kvstore.check.transactions import check_transactions
from kvstore.check.verdict import Verdict
from kvstore.wire.pb import kv_pb2, rpc_pb2
from tests.simulation.members.clients import Recorder
from tests.simulation.members.oracle import Oracle
from tests.simulation.members.records import Fate, Operation

_PREFIX = b"a/"
_LISTS = 3
_ELEMENTS_A_CLIENT = 100_000
_OUTCOMES = {
    Fate.OK: Outcome.OK,
    Fate.REFUSED: Outcome.REFUSED,
    Fate.UNKNOWN: Outcome.UNKNOWN,
}


class AppendRecords:
    """The transactions of all clients, as the checker reads them."""

    def __init__(self) -> None:
        self._operations: list[Noted] = []

    def note(self, operation: Operation, outcome: Outcome, invoked: float, ops: Json) -> None:
        """Remember a transaction: what it read, and what it appended if it did."""
        self._operations.append(
            Noted(
                index=len(self._operations),
                client=operation.client,
                kind="transaction",
                arguments={"ops": ops},
                invoked=invoked,
                returned=operation.returned,
                outcome=outcome,
                result={"ops": ops} if outcome is Outcome.OK else None,
            )
        )

    def judge(self, oracle: Oracle) -> None:
        """Raise the first anomaly."""
        for finding in check_transactions(History(operations=tuple(self._operations))):
            if finding.verdict is not Verdict.HOLDS:
                oracle.fail("transactions", finding.summary)


class AppendClient:
    """One transaction after the other."""

    def __init__(self, number: int, recorder: Recorder, records: AppendRecords) -> None:
        self._name = f"a{number}"
        self._recorder = recorder
        self._records = records
        self._world = recorder.world
        self._dice = recorder.world.dice
        self._next = number * _ELEMENTS_A_CLIENT
        self._again_soon()

    def _again_soon(self) -> None:
        self._world.after(self._dice.uniform(0.1, 2.5), self._read)

    def _read(self) -> None:
        if self._recorder.cluster.is_quiet:
            return
        keys = [_PREFIX + b"%d" % number for number in range(_LISTS)]
        chosen = self._dice.sample(keys, self._dice.choice((1, 2, 3)))
        request = rpc_pb2.TxnRequest()
        for key in chosen:
            request.success.add().request_range.key = key
        invoked = self._world.now

        def read(operation: Operation) -> None:
            response = operation.response
            if not isinstance(response, rpc_pb2.TxnResponse):
                self._again_soon()
                return
            found = [part.response_range.kvs for part in response.responses]
            held = {
                key: kvs[0] if kvs else kv_pb2.KeyValue()
                for key, kvs in zip(chosen, found, strict=True)
            }
            if self._dice.random() < 0.3:
                ops = [["r", key.decode(), _elements(value)] for key, value in held.items()]
                self._records.note(operation, Outcome.OK, invoked, ops)
                self._again_soon()
            else:
                self._append(held, invoked)

        self._recorder.ask(self._name, request, read)

    def _append(self, held: dict[bytes, kv_pb2.KeyValue], invoked: float) -> None:
        request = rpc_pb2.TxnRequest()
        ops: list[Json] = []
        count = min(len(held), self._dice.choice((1, 2)))
        for position, (key, value) in enumerate(held.items()):
            request.compare.add(
                key=key,
                target=rpc_pb2.Compare.MOD,
                result=rpc_pb2.Compare.EQUAL,
                mod_revision=value.mod_revision,
            )
            ops.append(["r", key.decode(), _elements(value)])
            if position < count:
                self._next += 1
                longer = b"%s,%d" % (value.value, self._next) if value.value else b"%d" % self._next
                request.success.add().request_put.CopyFrom(
                    rpc_pb2.PutRequest(key=key, value=longer)
                )
                ops.append(["append", key.decode(), self._next])

        def appended(operation: Operation) -> None:
            outcome = _OUTCOMES[operation.fate]
            if isinstance(operation.response, rpc_pb2.TxnResponse):
                if operation.response.succeeded:
                    self._recorder.cluster.oracle.note("lists appended to")
                else:
                    outcome = Outcome.REFUSED
            self._records.note(operation, outcome, invoked, ops)
            self._again_soon()

        self._recorder.ask(self._name, request, appended)


def _elements(value: kv_pb2.KeyValue) -> list[Json]:
    return [int(element) for element in value.value.split(b",") if element]
