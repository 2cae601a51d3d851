"""The client library: for our servers and for etcd's, blocking and asyncio, with the same names.

    with Client("127.0.0.1:2379,127.0.0.1:2389") as client:
        client.put("k", "v")
        client.txn(compare=[Version("k") == 1], success=[Put("k", "w")], failure=[Get("k")])
        with client.watch(prefix("jobs/")) as watch:
            for event in watch: ...

    async with AsyncClient() as client, client.lease(10) as lease:
        await client.put("here", "me", lease=lease.lease_id)

Promises
- `str` or `bytes` go in, `bytes` come out.
- A call goes to one endpoint, and on to the next when that fails; but a write is never sent twice.
  If nobody can know whether it happened, the error is an `OutcomeUnknown`.
- Errors are classes, found by etcd's texts. `RequestRefused` and `Unavailable` mean that nothing
  changed.
- A watch survives its endpoints: no event is lost, repeated or out of order. It ends with
  `Compacted`, if what it still needs was compacted away.
- A lease is never believed to live longer than the server lets it.

How it is made: everything that decides is pure and written once (`operations`, `calls`, `decoding`,
`endpoints`, `watching`, `leasing`, `errors`); `sync_*` and `async_*` are the two shells that carry
it over grpcio. Read it in that order.
"""

from kvstore.base.errors import (
    AuthenticationFailed,
    Compacted,
    FutureRevision,
    KeyNotFound,
    LeaseExists,
    LeaseNotFound,
    OutcomeUnknown,
    PermissionDenied,
    RequestRefused,
    RpcError,
    TooManyRequests,
    Unavailable,
)
from kvstore.client.async_client import AsyncClient
from kvstore.client.async_lease import AsyncLease
from kvstore.client.async_watch import AsyncWatch
from kvstore.client.channel import Timing
from kvstore.client.endpoints import Tls
from kvstore.client.errors import WatchCanceled
from kvstore.client.keys import EVERYTHING, Keys, Text, between, from_key, prefix
from kvstore.client.operations import (
    Comparison,
    CreateRevision,
    Delete,
    Get,
    LeaseOf,
    ModRevision,
    Operation,
    Put,
    Txn,
    Value,
    Version,
)
from kvstore.client.sync_client import Client
from kvstore.client.sync_lease import Lease
from kvstore.client.sync_watch import Watch
from kvstore.client.values import (
    Alarm,
    ClusterMember,
    DeleteResult,
    Event,
    GrantedLease,
    Header,
    KeyspaceHash,
    KeyValue,
    LeaseState,
    MemberStatus,
    PutResult,
    RangeResult,
    TxnResult,
    WatchBatch,
)

__all__ = [
    "EVERYTHING",
    "Alarm",
    "AsyncClient",
    "AsyncLease",
    "AsyncWatch",
    "AuthenticationFailed",
    "Client",
    "ClusterMember",
    "Compacted",
    "Comparison",
    "CreateRevision",
    "Delete",
    "DeleteResult",
    "Event",
    "FutureRevision",
    "Get",
    "GrantedLease",
    "Header",
    "KeyNotFound",
    "KeyValue",
    "Keys",
    "KeyspaceHash",
    "Lease",
    "LeaseExists",
    "LeaseNotFound",
    "LeaseOf",
    "LeaseState",
    "MemberStatus",
    "ModRevision",
    "Operation",
    "OutcomeUnknown",
    "PermissionDenied",
    "Put",
    "PutResult",
    "RangeResult",
    "RequestRefused",
    "RpcError",
    "Text",
    "Timing",
    "Tls",
    "TooManyRequests",
    "Txn",
    "TxnResult",
    "Unavailable",
    "Value",
    "Version",
    "Watch",
    "WatchBatch",
    "WatchCanceled",
    "between",
    "from_key",
    "prefix",
]
