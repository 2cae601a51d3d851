"""`-w json`: what Go's encoding/json makes of etcd's structures."""

import base64
import json
from typing import TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from kvstore.wire.pb import rpc_pb2

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


def json_text(message: Message, *, is_hex: bool) -> str:
    """Return the reply as JSON; `--hex` changes nothing but a list of members."""
    if is_hex and isinstance(message, rpc_pb2.MemberListResponse):
        return dumped(_members_in_hex(message))
    return dumped(shaped(message))


def dumped(value: Json) -> str:
    """Return compact JSON, with the characters escaped that Go escapes."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def shaped(message: Message) -> Json:
    """Return the structure that Go's client has for `message`."""
    match message:
        case rpc_pb2.LeaseGrantResponse():
            return {
                **_header(message.header),
                "ID": message.ID,
                "TTL": message.TTL,
                "Error": message.error,
            }
        case rpc_pb2.LeaseKeepAliveResponse():
            return {**_header(message.header), "ID": message.ID, "TTL": message.TTL}
        case rpc_pb2.LeaseTimeToLiveResponse():
            return {
                **_header(message.header),
                "id": message.ID,
                "ttl": message.TTL,
                "granted-ttl": message.grantedTTL,
                "keys": [_base64(key) for key in message.keys] or None,
            }
        case rpc_pb2.LeaseLeasesResponse():
            return {**_header(message.header), "leases": [{"id": one.ID} for one in message.leases]}
        case rpc_pb2.WatchResponse():
            return {
                "Header": plain(message.header),
                "Events": [plain(event) for event in message.events],
                "CompactRevision": message.compact_revision,
                "Canceled": message.canceled,
                "Created": message.created,
            }
        case _:
            return plain(message)


def plain(message: Message) -> "dict[str, Json]":
    """Return a message as Go's generated structure: zero fields are left out."""
    result: dict[str, Json] = {}
    for field, value in message.ListFields():
        if field.is_repeated:
            shown: Json = [_single(field, one) for one in value]
        else:
            shown = _single(field, value)
        if field.containing_oneof is not None:
            # Go holds a oneof as an untagged interface: its own name, capitalised, around it.
            shown = {field.name: shown}
            result[field.containing_oneof.name.capitalize()] = shown
        else:
            result[field.name] = shown
    return result


def _members_in_hex(message: rpc_pb2.MemberListResponse) -> "dict[str, Json]":
    header = message.header
    shown: dict[str, Json] = {
        "header": {
            "cluster_id": f"{header.cluster_id:x}",
            "member_id": f"{header.member_id:x}",
            "raft_term": header.raft_term,
        }
    }
    if message.members:
        shown["members"] = [
            {
                "ID": f"{member.ID:x}",
                "name": member.name,
                "peerURLs": list(member.peerURLs) or None,
                "clientURLs": list(member.clientURLs) or None,
            }
            for member in message.members
        ]
    return shown


def _single(field: FieldDescriptor, value: "Message | bytes | str | int | bool") -> Json:
    if isinstance(value, Message):
        return plain(value)
    if isinstance(value, bytes):
        return _base64(value)
    return value


def _header(header: rpc_pb2.ResponseHeader) -> "dict[str, Json]":
    return plain(header)


def _base64(text: bytes) -> str:
    return base64.b64encode(text).decode()
