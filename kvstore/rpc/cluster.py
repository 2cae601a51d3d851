"""The Cluster service (rpc.proto Cluster): who takes part, and changes of that."""

from collections.abc import Callable, Sequence
from functools import partial

from kvstore.base.errors import BadMemberUrls, RpcError
from kvstore.base.etcd_ids import member_id
from kvstore.base.ids import MemberId
from kvstore.base.urls import url, url_texts
from kvstore.member import Member
from kvstore.member.changes import Change, ChangeKind, shown_learners
from kvstore.member.reconfiguration import Reconfiguration
from kvstore.rpc.access import Need
from kvstore.rpc.call import Method, UnaryCall
from kvstore.rpc.header import ResponseHeaders
from kvstore.rpc.pipeline import Pipeline, decoded
from kvstore.wire.pb import rpc_pb2

_Body = Callable[[list[rpc_pb2.Member]], bytes]


class ClusterService:
    """Who takes part, and where they listen."""

    def __init__(
        self,
        member: Member,
        reconfiguration: Reconfiguration,
        headers: ResponseHeaders,
        pipeline: Pipeline,
    ) -> None:
        self._member = member
        self._reconfiguration = reconfiguration
        self._headers = headers
        self._pipeline = pipeline

    def methods(self) -> dict[str, Method]:
        """Return the routes of this service."""
        unary = self._pipeline.unary
        return {
            "/etcdserverpb.Cluster/MemberList": unary(self._list, needs=Need.IDENTITY),
            "/etcdserverpb.Cluster/MemberAdd": unary(self._add),
            "/etcdserverpb.Cluster/MemberRemove": unary(self._remove, needs=Need.ROOT),
            "/etcdserverpb.Cluster/MemberUpdate": unary(self._update, needs=Need.ROOT),
            "/etcdserverpb.Cluster/MemberPromote": unary(self._promote, needs=Need.ROOT),
        }

    def _list(self, call: UnaryCall, raw: bytes) -> None:
        request = decoded(rpc_pb2.MemberListRequest, raw)
        reply = partial(self._reply, call, _list_body)
        if request.linearizable:
            self._member.read(reply)
        else:
            reply(None)

    def _add(self, call: UnaryCall, raw: bytes) -> None:
        request = decoded(rpc_pb2.MemberAddRequest, raw)
        peer_urls = _peer_urls(request.peerURLs)
        self._pipeline.require(call, Need.ROOT)  # after the URLs: etcd's order
        # etcd derives the id of a member that is added from its URLs and the time, not the token.
        new = member_id(peer_urls, token="", added_unix_s=int(self._member.clock.unix()))
        change = Change(
            kind=ChangeKind.ADD, member=new, peer_urls=peer_urls, is_learner=request.isLearner
        )

        def body(found: list[rpc_pb2.Member]) -> bytes:
            added = next((one for one in found if new == one.ID), None)
            return rpc_pb2.MemberAddResponse(member=added, members=found).SerializeToString()

        self._reconfiguration.change(change, partial(self._reply, call, body))

    def _remove(self, call: UnaryCall, raw: bytes) -> None:
        request = decoded(rpc_pb2.MemberRemoveRequest, raw)
        change = Change(kind=ChangeKind.REMOVE, member=MemberId(request.ID))
        self._reconfiguration.change(change, partial(self._reply, call, _list_body))

    def _update(self, call: UnaryCall, raw: bytes) -> None:
        request = decoded(rpc_pb2.MemberUpdateRequest, raw)
        change = Change(
            kind=ChangeKind.UPDATE,
            member=MemberId(request.ID),
            peer_urls=_peer_urls(request.peerURLs),
        )
        self._reconfiguration.change(change, partial(self._reply, call, _list_body))

    def _promote(self, call: UnaryCall, raw: bytes) -> None:
        request = decoded(rpc_pb2.MemberPromoteRequest, raw)
        change = Change(kind=ChangeKind.PROMOTE, member=MemberId(request.ID))
        self._reconfiguration.change(change, partial(self._promoted, call))

    def _promoted(self, call: UnaryCall, error: RpcError | None) -> None:
        self._member.meters.promotions += error is None
        self._reply(call, _list_body, error)

    def _reply(self, call: UnaryCall, body: _Body, error: RpcError | None) -> None:
        if error is not None:
            call.fail(error.code, error.message)
            return
        # Members are no part of the keyspace, so the header says nothing of its revision.
        header = self._headers.field(0, self._member.consensus.term)
        call.reply(header + body(members(self._member)))


def _list_body(found: list[rpc_pb2.Member]) -> bytes:
    """Return a list of members without its header: the same field in all answers but one."""
    return rpc_pb2.MemberListResponse(members=found).SerializeToString()


def _peer_urls(texts: Sequence[str]) -> tuple[str, ...]:
    try:
        if not texts:
            raise ValueError("no URLs")  # noqa: TRY301 - the same refusal as for a bad one
        return url_texts(sorted(map(url, texts), key=str))
    except ValueError as problem:
        raise BadMemberUrls(str(problem)) from problem


def members(member: Member) -> list[rpc_pb2.Member]:
    """Return the members, by id; one that never started has no name or client URLs."""
    membership, attributes = member.applied_membership, member.machine.attributes
    learners = shown_learners(membership)
    found = []
    for member_id_ in sorted(membership.members):
        message = rpc_pb2.Member(
            ID=member_id_,
            peerURLs=membership.peer_urls.get(member_id_, ()),
            isLearner=member_id_ in learners,
        )
        published = attributes.get(member_id_)
        if published is not None:
            message.name = published.name
            message.clientURLs.extend(published.client_urls)
        found.append(message)
    return found
