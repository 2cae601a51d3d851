"""Sequential clients of the keyspace: each issues one operation after the other, at any member."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from kvstore.base.ids import MemberId
from kvstore.base.key_range import prefix_end
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Answer, Status, UnaryRequest, Wire
from tests.simulation.members.machine import Machine
from tests.simulation.members.records import Fate, Operation, Records, Request, Response
from tests.simulation.outcome import is_ahead

if TYPE_CHECKING:
    from tests.simulation.members.cluster import Cluster

_TIMEOUT_S = 9.0
_AT_EASE = 4.0
_PREFIX = b"k/"
_LAST_READABLE = 0.4
"""Chance that a look at the past goes as far back as can be."""
_LONG = b"x" * 600
"""Makes a key too long for one place in a tree."""

_METHODS: dict[type, tuple[str, Callable[[bytes], Response]]] = {
    rpc_pb2.PutRequest: ("KV/Put", rpc_pb2.PutResponse.FromString),
    rpc_pb2.DeleteRangeRequest: ("KV/DeleteRange", rpc_pb2.DeleteRangeResponse.FromString),
    rpc_pb2.TxnRequest: ("KV/Txn", rpc_pb2.TxnResponse.FromString),
    rpc_pb2.RangeRequest: ("KV/Range", rpc_pb2.RangeResponse.FromString),
    rpc_pb2.CompactionRequest: ("KV/Compact", rpc_pb2.CompactionResponse.FromString),
    rpc_pb2.LeaseGrantRequest: ("Lease/LeaseGrant", rpc_pb2.LeaseGrantResponse.FromString),
    rpc_pb2.LeaseRevokeRequest: ("Lease/LeaseRevoke", rpc_pb2.LeaseRevokeResponse.FromString),
}


class Recorder:
    """Carries the requests of all clients, and notes what becomes of them."""

    def __init__(self, wire: Wire, records: Records, cluster: "Cluster") -> None:
        self.wire = wire
        self.world = wire.world
        self.records = records
        self.cluster = cluster

    def send(  # noqa: PLR0913 - an rpc's fields
        self,
        client: str,
        path: str,
        request: Message,
        answered: Callable[[Answer], None],
        *,
        member: MemberId | None = None,
        token: str = "",
    ) -> Machine:
        """Make one rpc at any member if none is named; `answered` is called once. Return where."""
        machine = self.cluster.machines[member or self.cluster.any_member()]
        self.world.log(client, "asks", machine.id, type(request).__name__)
        message = request.SerializeToString()
        UnaryRequest(self.wire, machine, path, message, answered, timeout_s=_TIMEOUT_S, token=token)
        return machine

    def ask(
        self,
        client: str,
        request: Request,
        done: Callable[[Operation], None],
        *,
        member: MemberId | None = None,
        token: str = "",
    ) -> None:
        """Send one request, and record what becomes of it; `done` is called once."""
        world, note = self.world, self.cluster.oracle.note
        path, parse = _METHODS[type(request)]

        def answered(answer: Answer) -> None:
            operation.returned = world.now
            if isinstance(answer, Status):
                operation.why = answer.text
                operation.fate = Fate.UNKNOWN if answer.is_ambiguous else Fate.REFUSED
                note(f"refused: {answer.text}")
            else:
                operation.fate = Fate.OK
                operation.response = parse(answer)
                note("operation ok")
            world.log(operation)
            done(operation)

        path = f"/etcdserverpb.{path}"
        machine = self.send(client, path, request, answered, member=member, token=token)
        operation = Operation(client, machine.id, request, world.now)
        self.records.operations.append(operation)


class Client:
    """Draws its next operation from what it knows."""

    def __init__(self, name: str, recorder: Recorder) -> None:
        self._name = name
        self._recorder = recorder
        self._world = recorder.world
        self._profile = recorder.cluster.profile
        self._dice = recorder.world.dice
        self._number = 0
        self._known: dict[bytes, int] = {}
        """key -> mod revision, as last read."""
        self._revision = 1
        self._compacted = 1
        """The oldest revision that can still be read, as far as this client knows."""
        self._kinds: Sequence[tuple[int, Callable[[], Request]]] = (
            (30, self._put),
            (22, self._get),
            (5, self._list),
            (4, self._list_the_past),
            (5, self._get_serializable),
            (14, self._compare_and_set),
            (7, self._transfer),
            (6, self._delete),
            (2, self._delete_all),
            (3, self._compact),
        )
        self._weights = [weight for weight, _ in self._kinds]
        self._world.after(self._pause_s(), self._go_on)

    def _pause_s(self) -> float:
        think_s, wave_s = self._profile.think_s, self._profile.waves_s
        if is_ahead(self._recorder.cluster):
            think_s *= _AT_EASE
        pause_s = self._dice.expovariate(1 / think_s)
        if not wave_s:
            return pause_s
        now = self._world.now
        return ceil((now + pause_s) / wave_s) * wave_s - now

    def _go_on(self) -> None:
        if self._recorder.cluster.is_quiet:
            return
        self._number += 1
        _, make = self._dice.choices(self._kinds, self._weights)[0]
        self._recorder.ask(self._name, make(), self._done)

    def _done(self, operation: Operation) -> None:
        if operation.response is not None:
            self._learn(operation.response)
            if isinstance(operation.request, rpc_pb2.CompactionRequest):
                self._compacted = operation.request.revision
        self._world.after(self._pause_s(), self._go_on)

    def _learn(self, response: Response) -> None:
        self._revision = max(self._revision, response.header.revision)
        if isinstance(response, rpc_pb2.RangeResponse):
            for found in response.kvs:
                self._known[found.key] = found.mod_revision

    # --- requests

    def _key(self) -> bytes:
        number = self._dice.randrange(self._profile.keys)
        return _PREFIX + b"%d" % number + (_LONG if number == 3 else b"")

    def _value(self, suffix: bytes = b"") -> bytes:
        padding = b"." * self._profile.value_bytes
        return b"%s.%d%s%s" % (self._name.encode(), self._number, suffix, padding)

    def _put(self) -> Request:
        is_asking = self._dice.random() < 0.3
        return rpc_pb2.PutRequest(key=self._key(), value=self._value(), prev_kv=is_asking)

    def _get(self) -> Request:
        return rpc_pb2.RangeRequest(key=self._key())

    def _get_serializable(self) -> Request:
        return rpc_pb2.RangeRequest(key=self._key(), serializable=True)

    def _list(self) -> Request:
        return rpc_pb2.RangeRequest(key=_PREFIX, range_end=prefix_end(_PREFIX))

    def _list_the_past(self) -> Request:
        revision = max(1, self._revision - self._dice.choice((0, 1, 10, 50)))
        if self._dice.random() < _LAST_READABLE:
            revision = self._compacted
        return rpc_pb2.RangeRequest(key=_PREFIX, range_end=prefix_end(_PREFIX), revision=revision)

    def _delete(self) -> Request:
        return rpc_pb2.DeleteRangeRequest(key=self._key(), prev_kv=self._dice.random() < 0.3)

    def _delete_all(self) -> Request:
        return rpc_pb2.DeleteRangeRequest(key=_PREFIX, range_end=prefix_end(_PREFIX))

    def _compact(self) -> Request:
        revision = max(1, self._revision - self._dice.choice((0, 0, 5, 20)))
        return rpc_pb2.CompactionRequest(revision=revision, physical=self._dice.random() < 0.3)

    def _compare_and_set(self) -> Request:
        key = self._key()
        request = rpc_pb2.TxnRequest()
        request.compare.add(
            key=key,
            target=rpc_pb2.Compare.MOD,
            result=rpc_pb2.Compare.EQUAL,
            mod_revision=self._known.get(key, 0),
        )
        request.success.add().request_put.CopyFrom(rpc_pb2.PutRequest(key=key, value=self._value()))
        request.failure.add().request_range.CopyFrom(rpc_pb2.RangeRequest(key=key))
        return request

    def _transfer(self) -> Request:
        """Write two keys and delete a third in one transaction, and look at it from inside."""
        keys = [_PREFIX + b"%d" % number for number in range(self._profile.keys + 2)]
        first, second, third = self._dice.sample(keys, 3)
        request = rpc_pb2.TxnRequest()
        operations = request.success
        operations.add().request_put.CopyFrom(
            rpc_pb2.PutRequest(key=first, value=self._value(b"a"))
        )
        operations.add().request_delete_range.CopyFrom(rpc_pb2.DeleteRangeRequest(key=third))
        operations.add().request_put.CopyFrom(
            rpc_pb2.PutRequest(key=second, value=self._value(b"b"))
        )
        operations.add().request_range.CopyFrom(
            rpc_pb2.RangeRequest(key=_PREFIX, range_end=prefix_end(_PREFIX))
        )
        return request
