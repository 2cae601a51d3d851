"""The Election service (v3election.proto): etcd's election recipe, carried out by the member."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from kvstore.base.errors import RpcError, TooManyRequests
from kvstore.base.key_range import prefix_end
from kvstore.rpc.call import Method, StreamCall, StreamHandler, UnaryCall
from kvstore.rpc.local_calls import UNSENT_BYTES_MAX, Client
from kvstore.rpc.pipeline import Pipeline, malformed
from kvstore.rpc.recipes import (
    RecipeFailed,
    Recipes,
    Txned,
    delete_op,
    fail,
    get_op,
    is_unchanged,
    key_of,
    put_op,
)
from kvstore.rpc.stream_guard import StreamGuard
from kvstore.wire.pb import kv_pb2, rpc_pb2, v3election_pb2

_Request = TypeVar("_Request", bound=Message)
_NO_LEADER_GIVEN = '"leader" field must be provided'
_NOT_LEADER = "election: not leader"
_NO_LEADER = "election: no leader"


class ElectionService:
    """The handlers of `/v3electionpb.Election/*`."""

    def __init__(self, recipes: Recipes, pipeline: Pipeline, guard: StreamGuard) -> None:
        self._recipes = recipes
        self._pipeline = pipeline
        self._guard = guard

    def methods(self) -> dict[str, Method]:
        """Return the routes of this service."""
        unary = self._pipeline.unary
        prefix = "/v3electionpb.Election/"
        return {
            prefix + "Campaign": unary(self._campaign),
            prefix + "Proclaim": unary(self._proclaim),
            prefix + "Leader": unary(self._leader),
            prefix + "Observe": self._pipeline.stream(self._observe),
            prefix + "Resign": unary(self._resign),
        }

    def _campaign(self, call: UnaryCall, raw: bytes) -> None:
        request = _parse(v3election_pb2.CampaignRequest, raw)

        def with_lease(lease: int | RpcError) -> None:
            if isinstance(lease, RpcError):
                fail(call, lease)
            else:
                _Campaign(self._recipes, call, request, lease).begin()

        self._recipes.session(call, request.lease, with_lease)

    def _proclaim(self, call: UnaryCall, raw: bytes) -> None:
        request = _parse(v3election_pb2.ProclaimRequest, raw)
        leader = request.leader

        def with_lease(lease: int | RpcError) -> None:
            if isinstance(lease, RpcError):
                fail(call, lease)
                return
            put = put_op(leader.key, request.value, lease)
            _if_leader(self._recipes, call, leader.key, leader.rev, put, answered)

        def answered(reply: rpc_pb2.TxnResponse | RpcError) -> None:
            if isinstance(reply, RpcError):
                fail(call, reply)
            elif not reply.succeeded:
                fail(call, RecipeFailed(_NOT_LEADER))
            else:
                answer = v3election_pb2.ProclaimResponse(header=reply.header)
                call.reply(answer.SerializeToString())

        if not request.HasField("leader"):
            fail(call, RecipeFailed(_NO_LEADER_GIVEN))
        else:
            self._recipes.session(call, leader.lease, with_lease)

    def _leader(self, call: UnaryCall, raw: bytes) -> None:
        request = _parse(v3election_pb2.LeaderRequest, raw)

        def found(reply: rpc_pb2.RangeResponse | RpcError) -> None:
            if isinstance(reply, RpcError):
                fail(call, reply)
            elif not reply.kvs:
                fail(call, RecipeFailed(_NO_LEADER))
            else:
                answer = v3election_pb2.LeaderResponse(header=reply.header, kv=reply.kvs[0])
                call.reply(answer.SerializeToString())

        self._recipes.oldest(call, request.name + b"/", found)

    def _resign(self, call: UnaryCall, raw: bytes) -> None:
        request = _parse(v3election_pb2.ResignRequest, raw)
        leader = request.leader

        def with_lease(lease: int | RpcError) -> None:
            if isinstance(lease, RpcError):
                fail(call, lease)
                return
            delete = delete_op(leader.key)
            _if_leader(self._recipes, call, leader.key, leader.rev, delete, answered)

        def answered(reply: rpc_pb2.TxnResponse | RpcError) -> None:
            if isinstance(reply, RpcError):
                fail(call, reply)
            else:
                answer = v3election_pb2.ResignResponse(header=reply.header)
                call.reply(answer.SerializeToString())

        if not request.HasField("leader"):
            fail(call, RecipeFailed(_NO_LEADER_GIVEN))
        else:
            self._recipes.session(call, leader.lease, with_lease)

    def _observe(self, call: StreamCall) -> StreamHandler:
        return _Observer(call, self._recipes, self._guard)


class _Campaign:
    """One candidate, until it leads."""

    def __init__(
        self,
        recipes: Recipes,
        call: UnaryCall,
        request: v3election_pb2.CampaignRequest,
        lease: int,
    ) -> None:
        self._recipes = recipes
        self._call = call
        self._request = request
        self._lease = lease
        self._prefix = request.name + b"/"
        self._key = key_of(self._prefix, lease)
        self._revision = 0

    def begin(self) -> None:
        """Put the key, or find the one that this lease has put before."""
        request = rpc_pb2.TxnRequest(
            compare=[is_unchanged(self._key, 0)],
            success=[put_op(self._key, self._request.value, self._lease)],
            failure=[get_op(self._key)],
        )
        self._recipes.txn(self._call, request, self._queued)

    def _queued(self, reply: rpc_pb2.TxnResponse | RpcError) -> None:
        if isinstance(reply, RpcError):
            fail(self._call, reply)
            return
        self._revision = reply.header.revision
        if not reply.succeeded:
            before = reply.responses[0].response_range.kvs[0]
            self._revision = before.create_revision
            if before.value != self._request.value:
                put = put_op(self._key, self._request.value, self._lease)
                proclaimed = partial(self._proclaimed, reply.header)
                self._if_mine(put, proclaimed)
                return
        self._wait(reply.header)

    def _proclaimed(
        self, header: rpc_pb2.ResponseHeader, reply: rpc_pb2.TxnResponse | RpcError
    ) -> None:
        if isinstance(reply, RpcError):
            self._give_up(reply)
        elif not reply.succeeded:
            self._give_up(RecipeFailed(_NOT_LEADER))
        else:
            self._wait(header)

    def _wait(self, header: rpc_pb2.ResponseHeader) -> None:
        self._recipes.wait_for_turn(
            self._call, self._prefix, self._revision, partial(self._waited, header)
        )

    def _waited(self, header: rpc_pb2.ResponseHeader, error: RpcError | None) -> None:
        if error is not None:
            self._give_up(error)
            return
        if not self._call.is_open:
            self._give_up(RecipeFailed("context canceled"))
            return
        leader = v3election_pb2.LeaderKey(
            name=self._request.name, key=self._key, rev=self._revision, lease=self._lease
        )
        answer = v3election_pb2.CampaignResponse(header=header, leader=leader)
        self._call.reply(answer.SerializeToString())

    def _give_up(self, error: RpcError) -> None:
        self._if_mine(delete_op(self._key), lambda _: fail(self._call, error))

    def _if_mine(self, operation: rpc_pb2.RequestOp, then: Txned) -> None:
        _if_leader(self._recipes, self._call, self._key, self._revision, operation, then)


class _Observer:
    """One stream of who leads: the value as it is, and as it changes, leader after leader."""

    def __init__(self, call: StreamCall, recipes: Recipes, guard: StreamGuard) -> None:
        self._call = call
        self._recipes = recipes
        self._prefix = b""
        self._is_open = True
        self._stop_watch: Callable[[], None] | None = None
        self._release: Callable[[], None] | None = None
        release = guard(call, self._finish)
        if self._is_open:
            self._release = release
        else:
            release()

    def message_received(self, message: bytes) -> None:
        if not self._is_open or self._prefix:
            return
        try:
            request = v3election_pb2.LeaderRequest.FromString(message)
        except DecodeError as error:
            self._finish(malformed(error))
            return
        self._prefix = request.name + b"/"
        self._look()

    def half_closed(self) -> None:
        """The client has asked; the stream stays open."""

    def drained(self) -> None:
        """Nothing is held back."""

    def closed(self) -> None:
        self._close()

    def _look(self) -> None:
        """Find out who leads now."""
        self._recipes.oldest(self._call, self._prefix, self._found)

    def _found(self, reply: rpc_pb2.RangeResponse | RpcError) -> None:
        if not self._is_open:
            return
        if isinstance(reply, RpcError):
            self._finish(None)  # the observer of etcd's recipe just ends, too
        elif reply.kvs:
            self._tell(reply.header, reply.kvs[0])
            self._follow(reply.kvs[0].key, reply.header.revision + 1)
        else:
            create = rpc_pb2.WatchCreateRequest(
                key=self._prefix,
                range_end=prefix_end(self._prefix),
                start_revision=reply.header.revision,
            )
            self._watch(create, self._candidate)

    def _candidate(self, response: rpc_pb2.WatchResponse) -> None:
        """Somebody leads who was alone at its time."""
        puts = (event for event in response.events if event.type == kv_pb2.Event.PUT)
        first = next(puts, None)
        if first is not None:
            response.header.revision = first.kv.mod_revision
            self._tell(response.header, first.kv)
            self._follow(first.kv.key, first.kv.mod_revision + 1)

    def _follow(self, key: bytes, revision: int) -> None:
        """Tell what the leader says, until its key is gone."""
        create = rpc_pb2.WatchCreateRequest(key=key, start_revision=revision)
        self._watch(create, self._changed)

    def _changed(self, response: rpc_pb2.WatchResponse) -> None:
        for event in response.events:
            if event.type == kv_pb2.Event.DELETE:
                self._look()
                return
            self._tell(response.header, event.kv)

    def _watch(
        self,
        create: rpc_pb2.WatchCreateRequest,
        received: Callable[[rpc_pb2.WatchResponse], None],
    ) -> None:
        if self._stop_watch is not None:
            self._stop_watch()
            self._stop_watch = None
        if not self._is_open:
            return
        self._stop_watch = self._recipes.watch(
            self._call, create, received, lambda _: self._finish(None)
        )

    def _tell(self, header: rpc_pb2.ResponseHeader, kv: kv_pb2.KeyValue) -> None:
        if not self._is_open:
            return
        if self._call.unsent_bytes > UNSENT_BYTES_MAX:
            self._finish(TooManyRequests())  # who comes again is told the latest
            return
        answer = v3election_pb2.LeaderResponse(header=header, kv=kv)
        self._call.send(answer.SerializeToString())

    def _finish(self, error: RpcError | None) -> None:
        if not self._is_open:
            return
        self._close()
        if error is None:
            self._call.finish()
        else:
            self._call.finish(error.code, error.message)

    def _close(self) -> None:
        self._is_open = False
        if self._stop_watch is not None:
            self._stop_watch()
            self._stop_watch = None
        if self._release is not None:
            self._release()
            self._release = None


def _if_leader(  # noqa: PLR0913, PLR0917 - a transaction's parts
    recipes: Recipes,
    client: Client,
    key: bytes,
    revision: int,
    operation: rpc_pb2.RequestOp,
    then: Txned,
) -> None:
    request = rpc_pb2.TxnRequest(compare=[is_unchanged(key, revision)], success=[operation])
    recipes.txn(client, request, then)


def _parse(request: type[_Request], raw: bytes) -> _Request:
    try:
        return request.FromString(raw)
    except DecodeError as error:
        raise malformed(error) from error
