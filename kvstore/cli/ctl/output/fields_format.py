"""`-w fields`: a line `"Name" : value` for everything."""

from collections.abc import Iterator

from google.protobuf.message import Message

from kvstore.cli.ctl.go_text import quoted
from kvstore.wire.pb import kv_pb2, rpc_pb2


def fields_lines(message: Message) -> Iterator[str]:
    header = getattr(message, "header", None)
    if isinstance(header, rpc_pb2.ResponseHeader):
        yield from header_lines(header)
    yield from _body(message)


def header_lines(header: rpc_pb2.ResponseHeader) -> Iterator[str]:
    yield f'"ClusterID" : {header.cluster_id}'
    yield f'"MemberID" : {header.member_id}'
    yield f'"Revision" : {header.revision}'
    yield f'"RaftTerm" : {header.raft_term}'


def _body(message: Message) -> Iterator[str]:  # noqa: C901, PLR0912  one case a reply
    match message:
        case rpc_pb2.RangeResponse():
            for kv in message.kvs:
                yield from _key_value("", kv)
            yield f'"More" : {_boolean(on=message.more)}'
            yield f'"Count" : {message.count}'
        case rpc_pb2.PutResponse():
            if message.HasField("prev_kv"):
                yield from _key_value("Prev", message.prev_kv)
        case rpc_pb2.DeleteRangeResponse():
            yield f'"Deleted" : {message.deleted}'
            for kv in message.prev_kvs:
                yield from _key_value("Prev", kv)
        case rpc_pb2.TxnResponse():
            yield f'"Succeeded" : {_boolean(on=message.succeeded)}'
            for operation in message.responses:
                yield from fields_lines(getattr(operation, operation.WhichOneof("response") or ""))
        case rpc_pb2.WatchResponse():
            yield from _events(message)
        case rpc_pb2.LeaseTimeToLiveResponse():
            yield from _id_and_ttl(message)
            yield f'"GrantedTTL" : {message.grantedTTL}'
            for key in message.keys:
                yield f'"Key" : {quoted(key)}'
        case rpc_pb2.LeaseGrantResponse() | rpc_pb2.LeaseKeepAliveResponse():
            yield from _id_and_ttl(message)
        case rpc_pb2.LeaseLeasesResponse():
            for lease in message.leases:
                yield f'"ID" : {lease.ID}'
        case rpc_pb2.MemberListResponse():
            for member in message.members:
                yield from _member(member)
        case rpc_pb2.AlarmResponse():
            for alarm in message.alarms:
                yield f'"MemberID" : {alarm.memberID}'
                yield f'"AlarmType" : {rpc_pb2.AlarmType.Name(alarm.alarm)}'
                yield ""
        case _:
            return


def _id_and_ttl(
    message: rpc_pb2.LeaseGrantResponse
    | rpc_pb2.LeaseKeepAliveResponse
    | rpc_pb2.LeaseTimeToLiveResponse,
) -> Iterator[str]:
    yield f'"ID" : {message.ID}'
    yield f'"TTL" : {message.TTL}'


def _events(message: rpc_pb2.WatchResponse) -> Iterator[str]:
    for event in message.events:
        yield f'"Type" : {kv_pb2.Event.EventType.Name(event.type)}'
        if event.HasField("prev_kv"):
            yield from _key_value("Prev", event.prev_kv)
        yield from _key_value("", event.kv)


def _key_value(prefix: str, kv: kv_pb2.KeyValue) -> Iterator[str]:
    yield f'"{prefix}Key" : {quoted(kv.key)}'
    yield f'"{prefix}CreateRevision" : {kv.create_revision}'
    yield f'"{prefix}ModRevision" : {kv.mod_revision}'
    yield f'"{prefix}Version" : {kv.version}'
    yield f'"{prefix}Value" : {quoted(kv.value)}'
    yield f'"{prefix}Lease" : {kv.lease}'


def _member(member: rpc_pb2.Member) -> Iterator[str]:
    yield f'"ID" : {member.ID}'
    yield f'"Name" : {quoted(member.name)}'
    for url in member.peerURLs:
        yield f'"PeerURL" : {quoted(url)}'
    for url in member.clientURLs:
        yield f'"ClientURL" : {quoted(url)}'
    yield f'"IsLearner" : {_boolean(on=member.isLearner)}'
    yield ""


def _boolean(*, on: bool) -> str:
    return "true" if on else "false"
