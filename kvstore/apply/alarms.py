"""Alarms: replicated, persistent statements that a member is out of space or corrupt."""

from struct import Struct

from kvstore.backend.backend import ReadTxn, WriteTxn
from kvstore.backend.schema import Tree
from kvstore.base.ids import MemberId
from kvstore.wire.pb import rpc_pb2
from kvstore.wire.protobuf import message_field, varint_field

_ALARM = Struct(">QI")

NOSPACE = int(rpc_pb2.NOSPACE)
CORRUPT = int(rpc_pb2.CORRUPT)
_NONE = int(rpc_pb2.NONE)


class Alarms:
    """The alarms that are raised; the copy in memory always equals Tree.ALARMS."""

    def __init__(self, stored: ReadTxn) -> None:
        self._raised = {_ALARM.unpack(key) for key, _ in stored.scan(Tree.ALARMS)}
        self.any_raised = bool(self._raised)
        """Whether there is any alarm at all; looked at for every operation."""

    def is_raised(self, alarm: int) -> bool:
        """Whether any member raised this kind of alarm."""
        return any(kind == alarm for _, kind in self._raised)

    def raised(self, alarm: int = _NONE) -> list[tuple[MemberId, int]]:
        """Return (member, alarm) of one kind, or of every kind for NONE, in a fixed order."""
        return [
            (MemberId(member), kind)
            for member, kind in sorted(self._raised)
            if alarm in (_NONE, kind)
        ]

    def apply(self, request: rpc_pb2.AlarmRequest, txn: WriteTxn) -> bytes:
        """Carry out an AlarmRequest; return AlarmResponse without its header."""
        alarm = (request.memberID, int(request.alarm))
        match request.action:
            case rpc_pb2.AlarmRequest.GET:
                return _body(self.raised(request.alarm))
            case rpc_pb2.AlarmRequest.ACTIVATE:
                if request.alarm == _NONE:
                    return b""
                self._raised.add(alarm)
                self.any_raised = True
                txn.put(Tree.ALARMS, _ALARM.pack(*alarm), b"")
                return _body([(MemberId(alarm[0]), alarm[1])])
            case _:
                if alarm not in self._raised:
                    return b""
                self._raised.remove(alarm)
                self.any_raised = bool(self._raised)
                txn.delete(Tree.ALARMS, _ALARM.pack(*alarm))
                return _body([(MemberId(alarm[0]), alarm[1])])


def _body(alarms: list[tuple[MemberId, int]]) -> bytes:
    return b"".join(
        message_field(2, varint_field(1, member) + varint_field(2, alarm))
        for member, alarm in alarms
    )
