"""`-w simple`: keys and values on lines of their own, and sentences. Bytes pass unchanged."""

from collections.abc import Callable, Iterator

from google.protobuf.message import Message

from kvstore.cli.ctl.go_text import hexadecimal
from kvstore.wire.pb import kv_pb2, rpc_pb2


def simple_lines(
    message: Message, *, is_hex: bool = False, values_only: bool = False
) -> Iterator[bytes]:
    def shown(text: bytes) -> bytes:
        return hexadecimal(text).encode() if is_hex else text

    yield from _lines(message, shown, values_only)


def _lines(  # noqa: C901, PLR0912  one case a reply
    message: Message,
    shown: Callable[[bytes], bytes],
    values_only: bool,  # noqa: FBT001
) -> Iterator[bytes]:
    match message:
        case rpc_pb2.RangeResponse():
            for kv in message.kvs:
                if not values_only:
                    yield shown(kv.key)
                yield shown(kv.value)
        case rpc_pb2.PutResponse():
            yield b"OK"
            if message.HasField("prev_kv"):
                yield from _key_and_value(message.prev_kv, shown)
        case rpc_pb2.DeleteRangeResponse():
            yield b"%d" % message.deleted
            for kv in message.prev_kvs:
                yield from _key_and_value(kv, shown)
        case rpc_pb2.TxnResponse():
            yield b"SUCCESS" if message.succeeded else b"FAILURE"
            for operation in message.responses:
                yield b""
                reply = getattr(operation, operation.WhichOneof("response") or "")
                yield from _lines(reply, shown, False)  # noqa: FBT003
        case rpc_pb2.WatchResponse():
            for event in message.events:
                yield kv_pb2.Event.EventType.Name(event.type).encode()
                if event.HasField("prev_kv"):
                    yield from _key_and_value(event.prev_kv, shown)
                yield from _key_and_value(event.kv, shown)
        case rpc_pb2.AlarmResponse():
            for alarm in message.alarms:
                kind = rpc_pb2.AlarmType.Name(alarm.alarm)
                yield f"memberID:{alarm.memberID} alarm:{kind} ".encode()
        case rpc_pb2.MemberListResponse():
            for member in message.members:
                yield ", ".join(member_row(member)).encode()
        case _:
            yield from (line.encode() for line in _lease_lines(message))


def _lease_lines(message: Message) -> Iterator[str]:
    match message:
        case rpc_pb2.LeaseGrantResponse():
            yield f"lease {lease(message.ID)} granted with TTL({message.TTL}s)"
        case rpc_pb2.LeaseKeepAliveResponse():
            yield f"lease {lease(message.ID)} keepalived with TTL({message.TTL})"
        case rpc_pb2.LeaseTimeToLiveResponse() if message.grantedTTL == 0 and message.TTL == -1:
            yield f"lease {lease(message.ID)} already expired"
        case rpc_pb2.LeaseTimeToLiveResponse():
            line = f"lease {lease(message.ID)} granted with TTL({message.grantedTTL}s)"
            line += f", remaining({message.TTL}s)"
            if message.keys:
                keys = " ".join(key.decode(errors="surrogateescape") for key in message.keys)
                line += f", attached keys([{keys}])"
            yield line
        case rpc_pb2.LeaseLeasesResponse():
            yield f"found {len(message.leases)} leases"
            yield from (lease(one.ID) for one in message.leases)
        case _:
            raise AssertionError(f"no simple form of {type(message).__name__}")


def _key_and_value(kv: kv_pb2.KeyValue, shown: Callable[[bytes], bytes]) -> Iterator[bytes]:
    yield shown(kv.key)
    yield shown(kv.value)


def lease(lease_id: int) -> str:
    """Return Go's `%016x` of an int64."""
    return f"{lease_id:016x}"


def member_row(member: rpc_pb2.Member) -> list[str]:
    return [
        f"{member.ID:x}",
        "started" if member.name else "unstarted",
        member.name,
        ",".join(member.peerURLs),
        ",".join(member.clientURLs),
        "true" if member.isLearner else "false",
    ]
