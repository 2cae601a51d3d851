"""What locks and elections are made of: keys under a prefix, ordered by their create revision.

Who wants the lock puts `<name>/<lease in hex>`, on its lease, and waits until no key under the
prefix is older than its own. (Source: the recipe that etcd's client library documents.)
"""

from collections.abc import Callable

from kvstore.base.errors import Code, RequestRefused, RpcError
from kvstore.base.key_range import prefix_end
from kvstore.rpc.call import UnaryCall
from kvstore.rpc.local_calls import Client, LocalCalls
from kvstore.wire.pb import kv_pb2, rpc_pb2

SESSION_TTL_S = 60
"""Of the lease that is granted to who brings none; nobody keeps it alive."""

_CREATE = rpc_pb2.RangeRequest.CREATE

Ranged = Callable[[rpc_pb2.RangeResponse | RpcError], None]
Txned = Callable[[rpc_pb2.TxnResponse | RpcError], None]
Waited = Callable[[RpcError | None], None]


class RecipeFailed(RequestRefused):
    """Sent with code Unknown, as etcd sends all errors of its recipes."""

    code = Code.UNKNOWN

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__()


def fail(call: UnaryCall, error: RpcError) -> None:
    """End a call with an error's text; the code is lost on its way through a recipe, as in etcd."""
    call.fail(Code.UNKNOWN, error.message)


def key_of(prefix: bytes, lease: int) -> bytes:
    """Return the key of one who waits."""
    return prefix + f"{lease:x}".encode()


def is_unchanged(key: bytes, create_revision: int) -> rpc_pb2.Compare:
    """Return the compare that holds while `key` is the one created at this revision; 0: absent."""
    return rpc_pb2.Compare(
        key=key,
        target=rpc_pb2.Compare.CREATE,
        result=rpc_pb2.Compare.EQUAL,
        create_revision=create_revision,
    )


def put_op(key: bytes, value: bytes, lease: int) -> rpc_pb2.RequestOp:
    """Return a put within a transaction."""
    return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=value, lease=lease))


def get_op(key: bytes) -> rpc_pb2.RequestOp:
    """Return a read of one key within a transaction."""
    return rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=key))


def oldest_op(prefix: bytes) -> rpc_pb2.RequestOp:
    """Return a read of the key under `prefix` that was created first, within a transaction."""
    return rpc_pb2.RequestOp(request_range=_edge_request(prefix, rpc_pb2.RangeRequest.ASCEND, 0))


def delete_op(key: bytes) -> rpc_pb2.RequestOp:
    """Return a delete of one key within a transaction."""
    return rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=key))


class Recipes:
    """The steps that locks and elections share; each calls its last argument when it is done."""

    def __init__(self, calls: LocalCalls) -> None:
        self._calls = calls
        self._waits: list[_Wait] = []

    def tick(self) -> None:
        """Notice clients that have left while they waited; a few times a second."""
        for wait in list(self._waits):
            if not wait.client.is_open:
                wait.end(RecipeFailed("context canceled"))

    def session(self, client: Client, lease: int, then: Callable[[int | RpcError], None]) -> None:
        """Give the lease that is to be used: the client's own, or a new one for 0."""
        if lease:
            then(lease)
            return

        def granted(reply: rpc_pb2.LeaseGrantResponse | RpcError) -> None:
            then(reply if isinstance(reply, RpcError) else reply.ID)

        request = rpc_pb2.LeaseGrantRequest(TTL=SESSION_TTL_S)
        self._calls.unary(
            "/etcdserverpb.Lease/LeaseGrant", request, rpc_pb2.LeaseGrantResponse, client, granted
        )

    def txn(self, client: Client, request: rpc_pb2.TxnRequest, then: Txned) -> None:
        """Run a transaction."""
        self._calls.unary("/etcdserverpb.KV/Txn", request, rpc_pb2.TxnResponse, client, then)

    def get(self, client: Client, key: bytes, then: Ranged) -> None:
        """Read one key."""
        self._range(client, rpc_pb2.RangeRequest(key=key), then)

    def oldest(self, client: Client, prefix: bytes, then: Ranged) -> None:
        """Read the key under a prefix that was created first."""
        self._edge(client, prefix, rpc_pb2.RangeRequest.ASCEND, 0, then)

    def delete(
        self,
        client: Client,
        key: bytes,
        then: Callable[[rpc_pb2.DeleteRangeResponse | RpcError], None],
    ) -> None:
        """Delete one key."""
        request = rpc_pb2.DeleteRangeRequest(key=key)
        self._calls.unary(
            "/etcdserverpb.KV/DeleteRange", request, rpc_pb2.DeleteRangeResponse, client, then
        )

    def wait_for_turn(self, client: Client, prefix: bytes, revision: int, then: Waited) -> None:
        """Wait until no key under `prefix` was created before `revision`, or the client leaves."""

        def found(reply: rpc_pb2.RangeResponse | RpcError) -> None:
            if isinstance(reply, RpcError):
                then(reply)
            elif not reply.kvs:
                then(None)
            else:
                _Wait(self, client, reply.kvs[0].key, reply.header.revision, gone)

        def gone(error: RpcError | None) -> None:
            if error is not None:
                then(error)
            else:
                self.wait_for_turn(client, prefix, revision, then)

        self._edge(client, prefix, rpc_pb2.RangeRequest.DESCEND, revision - 1, found)

    def watch(
        self,
        client: Client,
        create: rpc_pb2.WatchCreateRequest,
        received: Callable[[rpc_pb2.WatchResponse], None],
        ended: Waited,
    ) -> Callable[[], None]:
        """Watch; `ended` hears of a refused or compacted one, too. Returns what ends it."""

        def take(message: bytes) -> None:
            response = rpc_pb2.WatchResponse.FromString(message)
            if response.canceled:
                ended(RecipeFailed(response.cancel_reason or "watch canceled"))
            else:
                received(response)

        return self._calls.stream(
            "/etcdserverpb.Watch/Watch",
            rpc_pb2.WatchRequest(create_request=create),
            client,
            take,
            ended,
        )

    def began(self, wait: "_Wait") -> None:
        """Look after a wait."""
        self._waits.append(wait)

    def ended(self, wait: "_Wait") -> None:
        """Forget a wait."""
        self._waits.remove(wait)

    def _range(self, client: Client, request: rpc_pb2.RangeRequest, then: Ranged) -> None:
        self._calls.unary("/etcdserverpb.KV/Range", request, rpc_pb2.RangeResponse, client, then)

    def _edge(
        self,
        client: Client,
        prefix: bytes,
        order: "rpc_pb2.RangeRequest.SortOrder.ValueType",
        create_revision_max: int,
        then: Ranged,
    ) -> None:
        self._range(client, _edge_request(prefix, order, create_revision_max), then)


def _edge_request(
    prefix: bytes, order: "rpc_pb2.RangeRequest.SortOrder.ValueType", create_revision_max: int
) -> rpc_pb2.RangeRequest:
    return rpc_pb2.RangeRequest(
        key=prefix,
        range_end=prefix_end(prefix),
        limit=1,
        sort_order=order,
        sort_target=_CREATE,
        max_create_revision=create_revision_max,
    )


class _Wait:
    """A client that waits for a key to be deleted."""

    def __init__(
        self, recipes: Recipes, client: Client, key: bytes, revision: int, then: Waited
    ) -> None:
        self.client = client
        self._recipes = recipes
        self._then: Waited | None = then
        self._close: Callable[[], None] | None = None
        recipes.began(self)
        create = rpc_pb2.WatchCreateRequest(key=key, start_revision=revision)
        close = recipes.watch(client, create, self._received, self._ended)
        if self._then is None:
            close()
        else:
            self._close = close

    def end(self, error: RpcError | None) -> None:
        """Go on, with what has happened."""
        then, self._then = self._then, None
        if then is None:
            return
        self._recipes.ended(self)
        if self._close is not None:
            self._close()
        then(error)

    def _received(self, response: rpc_pb2.WatchResponse) -> None:
        if any(event.type == kv_pb2.Event.DELETE for event in response.events):
            self.end(None)

    def _ended(self, error: RpcError | None) -> None:
        self.end(error or RecipeFailed("lost watcher waiting for delete"))
