"""`-w fields`: a line `"Name" : value` for everything; with `--hex`, ids in hexadecimal."""

from collections.abc import Iterator

from google.protobuf.message import Message

from kvstore.cli.ctl.go_text import quoted
from kvstore.wire.pb import auth_pb2, kv_pb2, rpc_pb2


def fields_lines(message: Message, *, is_hex: bool) -> Iterator[str]:
    header = getattr(message, "header", None)
    if isinstance(header, rpc_pb2.ResponseHeader):
        yield from header_lines(header, is_hex=is_hex)
    yield from _body(message, is_hex=is_hex)


def header_lines(header: rpc_pb2.ResponseHeader, *, is_hex: bool) -> Iterator[str]:
    yield f'"ClusterID" : {_member_id(header.cluster_id, is_hex=is_hex)}'
    yield f'"MemberID" : {_member_id(header.member_id, is_hex=is_hex)}'
    if header.revision > 0:
        # Replies that are not about keys have none.
        yield f'"Revision" : {header.revision}'
    yield f'"RaftTerm" : {header.raft_term}'


def _body(message: Message, *, is_hex: bool) -> Iterator[str]:  # noqa: C901, PLR0912  one case a reply
    match message:
        case rpc_pb2.RangeResponse():
            for kv in message.kvs:
                yield from _key_value("", kv, is_hex=is_hex)
            yield f'"More" : {_boolean(on=message.more)}'
            yield f'"Count" : {message.count}'
        case rpc_pb2.PutResponse():
            if message.HasField("prev_kv"):
                yield from _key_value("Prev", message.prev_kv, is_hex=is_hex)
        case rpc_pb2.DeleteRangeResponse():
            yield f'"Deleted" : {message.deleted}'
            for kv in message.prev_kvs:
                yield from _key_value("Prev", kv, is_hex=is_hex)
        case rpc_pb2.TxnResponse():
            yield f'"Succeeded" : {_boolean(on=message.succeeded)}'
            for operation in message.responses:
                reply = getattr(operation, operation.WhichOneof("response") or "")
                yield from fields_lines(reply, is_hex=is_hex)
        case rpc_pb2.WatchResponse():
            yield from _events(message, is_hex=is_hex)
        case rpc_pb2.LeaseTimeToLiveResponse():
            yield from _id_and_ttl(message, is_hex=is_hex)
            yield f'"GrantedTTL" : {message.grantedTTL}'
            for key in message.keys:
                yield f'"Key" : {quoted(key)}'
        case rpc_pb2.LeaseGrantResponse() | rpc_pb2.LeaseKeepAliveResponse():
            yield from _id_and_ttl(message, is_hex=is_hex)
        case rpc_pb2.LeaseLeasesResponse():
            for lease in message.leases:
                yield f'"ID" : {_lease_id(lease.ID, is_hex=is_hex)}'
        case rpc_pb2.MemberListResponse():
            for member in message.members:
                yield from _member(member, is_hex=is_hex)
        case rpc_pb2.AuthRoleGetResponse():
            for permission in message.perm:
                yield f'"PermType" :  {auth_pb2.Permission.Type.Name(permission.permType)}'
                yield f'"Key" : {quoted(permission.key)}'
                yield f'"RangeEnd" : {quoted(permission.range_end)}'
        case rpc_pb2.AuthRoleListResponse():
            yield '"Roles" :' + "".join(f" {quoted(role)}" for role in message.roles)
        case rpc_pb2.AlarmResponse():
            for alarm in message.alarms:
                yield f'"MemberID" : {_member_id(alarm.memberID, is_hex=is_hex)}'
                yield f'"AlarmType" : {rpc_pb2.AlarmType.Name(alarm.alarm)}'
                yield ""
        case _:
            return


def _id_and_ttl(
    message: rpc_pb2.LeaseGrantResponse
    | rpc_pb2.LeaseKeepAliveResponse
    | rpc_pb2.LeaseTimeToLiveResponse,
    *,
    is_hex: bool,
) -> Iterator[str]:
    yield f'"ID" : {_lease_id(message.ID, is_hex=is_hex)}'
    yield f'"TTL" : {message.TTL}'


def _events(message: rpc_pb2.WatchResponse, *, is_hex: bool) -> Iterator[str]:
    for event in message.events:
        yield f'"Type" : {kv_pb2.Event.EventType.Name(event.type)}'
        if event.HasField("prev_kv"):
            yield from _key_value("Prev", event.prev_kv, is_hex=is_hex)
        yield from _key_value("", event.kv, is_hex=is_hex)


def _key_value(prefix: str, kv: kv_pb2.KeyValue, *, is_hex: bool) -> Iterator[str]:
    yield f'"{prefix}Key" : {quoted(kv.key)}'
    yield f'"{prefix}CreateRevision" : {kv.create_revision}'
    yield f'"{prefix}ModRevision" : {kv.mod_revision}'
    yield f'"{prefix}Version" : {kv.version}'
    yield f'"{prefix}Value" : {quoted(kv.value)}'
    yield f'"{prefix}Lease" : {_lease_id(kv.lease, is_hex=is_hex)}'


def _member(member: rpc_pb2.Member, *, is_hex: bool) -> Iterator[str]:
    yield f'"ID" : {_member_id(member.ID, is_hex=is_hex)}'
    yield f'"Name" : {quoted(member.name)}'
    for url in member.peerURLs:
        yield f'"PeerURL" : {quoted(url)}'
    for url in member.clientURLs:
        yield f'"ClientURL" : {quoted(url)}'
    yield f'"IsLearner" : {_boolean(on=member.isLearner)}'
    yield ""


def _member_id(number: int, *, is_hex: bool) -> str:
    return f"{number:x}" if is_hex else str(number)


def _lease_id(number: int, *, is_hex: bool) -> str:
    return f"{number:016x}" if is_hex else str(number)


def _boolean(*, on: bool) -> str:
    return "true" if on else "false"
