"""The Cluster service, as far as it is built: MemberList (rpc.proto Cluster)."""

from functools import partial

from google.protobuf.message import DecodeError

from kvstore.base.errors import RpcError
from kvstore.member import Member
from kvstore.rpc.access import Need
from kvstore.rpc.call import Method, UnaryCall
from kvstore.rpc.header import ResponseHeaders
from kvstore.rpc.pipeline import Pipeline, malformed
from kvstore.wire.pb import rpc_pb2


class ClusterService:
    """Who takes part, and where they listen."""

    def __init__(self, member: Member, headers: ResponseHeaders, pipeline: Pipeline) -> None:
        self._member = member
        self._headers = headers
        self._pipeline = pipeline

    def methods(self) -> dict[str, Method]:
        """Return the routes of this service."""
        return {
            "/etcdserverpb.Cluster/MemberList": self._pipeline.unary(
                self._member_list, needs=Need.IDENTITY
            )
        }

    def _member_list(self, call: UnaryCall, raw: bytes) -> None:
        try:
            request = rpc_pb2.MemberListRequest.FromString(raw)
        except DecodeError as error:
            raise malformed(error) from error
        if request.linearizable:
            self._member.read(partial(self._reply, call))
        else:
            self._reply(call, None)

    def _reply(self, call: UnaryCall, error: RpcError | None) -> None:
        if error is not None:
            call.fail(error.code, error.message)
            return
        # Members are no part of the keyspace, so the header says nothing of its revision.
        header = self._headers.field(0, self._member.consensus.term)
        body = rpc_pb2.MemberListResponse(members=members(self._member))
        call.reply(header + body.SerializeToString())


def members(member: Member) -> list[rpc_pb2.Member]:
    """Return the members in force, by id; one that never started has no name or client URLs."""
    membership, attributes = member.consensus.membership, member.machine.attributes
    found = []
    for member_id in sorted(membership.members):
        message = rpc_pb2.Member(
            ID=member_id,
            peerURLs=membership.peer_urls.get(member_id, ()),
            isLearner=member_id in membership.learners,
        )
        published = attributes.get(member_id)
        if published is not None:
            message.name = published.name
            message.clientURLs.extend(published.client_urls)
        found.append(message)
    return found
