"""The Lock service (v3lock.proto): etcd's mutex recipe, carried out by the member."""

from google.protobuf.message import DecodeError

from kvstore.base.errors import KeyNotProvided, RpcError
from kvstore.rpc.call import Method, UnaryCall
from kvstore.rpc.pipeline import Pipeline, malformed
from kvstore.rpc.recipes import (
    RecipeFailed,
    Recipes,
    fail,
    get_op,
    is_unchanged,
    key_of,
    oldest_op,
    put_op,
)
from kvstore.wire.pb import rpc_pb2, v3lock_pb2


class LockService:
    """The handlers of `/v3lockpb.Lock/*`."""

    def __init__(self, recipes: Recipes, pipeline: Pipeline) -> None:
        self._recipes = recipes
        self._pipeline = pipeline

    def methods(self) -> dict[str, Method]:
        """Return the routes of this service."""
        unary = self._pipeline.unary
        return {
            "/v3lockpb.Lock/Lock": unary(self._lock),
            "/v3lockpb.Lock/Unlock": unary(self._unlock),
        }

    def _lock(self, call: UnaryCall, raw: bytes) -> None:
        try:
            request = v3lock_pb2.LockRequest.FromString(raw)
        except DecodeError as error:
            raise malformed(error) from error

        def with_lease(lease: int | RpcError) -> None:
            if isinstance(lease, RpcError):
                fail(call, lease)
            else:
                _Locking(self._recipes, call, request.name + b"/", lease).begin()

        self._recipes.session(call, request.lease, with_lease)

    def _unlock(self, call: UnaryCall, raw: bytes) -> None:
        try:
            request = v3lock_pb2.UnlockRequest.FromString(raw)
        except DecodeError as error:
            raise malformed(error) from error
        if not request.key:
            fail(call, KeyNotProvided())
            return

        def deleted(reply: rpc_pb2.DeleteRangeResponse | RpcError) -> None:
            if isinstance(reply, RpcError):
                fail(call, reply)
            else:
                answer = v3lock_pb2.UnlockResponse(header=reply.header)
                call.reply(answer.SerializeToString())

        self._recipes.delete(call, request.key, deleted)


class _Locking:
    """One client on its way to a lock."""

    def __init__(self, recipes: Recipes, call: UnaryCall, prefix: bytes, lease: int) -> None:
        self._recipes = recipes
        self._call = call
        self._prefix = prefix
        self._key = key_of(prefix, lease)
        self._lease = lease

    def begin(self) -> None:
        """Put the key, or find the one that this lease has put before."""
        request = rpc_pb2.TxnRequest(
            compare=[is_unchanged(self._key, 0)],
            success=[put_op(self._key, b"", self._lease), oldest_op(self._prefix)],
            failure=[get_op(self._key), oldest_op(self._prefix)],
        )
        self._recipes.txn(self._call, request, self._queued)

    def _queued(self, reply: rpc_pb2.TxnResponse | RpcError) -> None:
        if isinstance(reply, RpcError):
            fail(self._call, reply)
            return
        revision = reply.header.revision
        if not reply.succeeded:
            revision = reply.responses[0].response_range.kvs[0].create_revision
        owners = reply.responses[1].response_range.kvs
        if not owners or owners[0].create_revision == revision:
            self._hold(reply.header)
        else:
            self._recipes.wait_for_turn(self._call, self._prefix, revision, self._waited)

    def _waited(self, error: RpcError | None) -> None:
        if error is not None:
            self._give_up(error)
        else:
            # The lease may have ended while others held the lock: then the key is gone.
            self._recipes.get(self._call, self._key, self._found)

    def _found(self, reply: rpc_pb2.RangeResponse | RpcError) -> None:
        if isinstance(reply, RpcError):
            self._give_up(reply)
        elif not reply.kvs:
            fail(self._call, RecipeFailed("mutex: session is expired"))
        else:
            self._hold(reply.header)

    def _hold(self, header: rpc_pb2.ResponseHeader) -> None:
        if not self._call.is_open:
            self._give_up(RecipeFailed("context canceled"))
            return
        answer = v3lock_pb2.LockResponse(header=header, key=self._key)
        self._call.reply(answer.SerializeToString())

    def _give_up(self, error: RpcError) -> None:
        """Leave the queue: a key of nobody would stop everybody behind it."""
        self._recipes.delete(self._call, self._key, lambda _: fail(self._call, error))
