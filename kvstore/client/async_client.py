"""The client for asyncio."""

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from google.protobuf.message import Message

from kvstore.base.clock import Clock, SystemClock
from kvstore.client import calls, values
from kvstore.client.async_connection import AsyncConnection
from kvstore.client.async_lease import AsyncLease
from kvstore.client.async_watch import AsyncWatch
from kvstore.client.calls import Call, SortTarget
from kvstore.client.channel import Timing
from kvstore.client.endpoints import Tls, split_endpoints
from kvstore.client.keys import Keys, Text
from kvstore.client.operations import Comparison, Get, Operation
from kvstore.client.watching import WatchOptions

Reply = TypeVar("Reply", bound=Message)
Result = TypeVar("Result")


class AsyncClient:
    """A connection to a cluster, of one event loop. Use as a context manager, or call `close`.

    Errors are those of `kvstore.client.errors`. A write is never sent twice.
    """

    def __init__(  # noqa: PLR0913  each a keyword, with a default
        self,
        endpoints: str | Sequence[str] = "127.0.0.1:2379",
        *,
        tls: Tls | None = None,
        user: str | None = None,
        password: str = "",
        timing: Timing | None = None,
        clock: Clock | None = None,
    ) -> None:
        timing = timing or Timing()
        self._connection = AsyncConnection(
            split_endpoints(endpoints),
            tls=tls,
            credentials=None if user is None else (user, password),
            timing=timing,
            clock=clock or SystemClock(),
        )
        self._timeout_s = timing.timeout_s

    async def __aenter__(self) -> Self:
        """Return the client itself; nothing is connected yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def close(self) -> None:
        """End all calls, watches and connections. Leases are left to end by themselves."""
        await self._connection.close()

    def within(self, timeout_s: float) -> "AsyncClient":
        """Return a client that shares this one's connections but has another timeout."""
        other = object.__new__(type(self))
        other._connection = self._connection
        other._timeout_s = timeout_s
        return other

    async def _run(self, call: Call[Reply, Result]) -> Result:
        return call.decode(await self._connection.exchange(call, self._timeout_s))

    async def exchange(self, call: Call[Reply, Result]) -> Reply:
        """Return the protobuf reply to one of `kvstore.client.calls`."""
        return await self._connection.exchange(call, self._timeout_s)

    async def snapshot(self) -> AsyncIterator[tuple[bytes, str]]:
        """Yield a backup in pieces, each with the version of the member's storage.

        It comes from one endpoint, and is whole only if no error ends it.
        """
        async for message in self._connection.snapshot():
            yield message.blob, message.version

    # --- keys ---

    async def get(
        self, key: Text, *, revision: int = 0, serializable: bool = False
    ) -> values.KeyValue | None:
        """Return the key as of `revision` (0: now), or None if it does not exist."""
        return await self._run(calls.get(key, revision=revision, serializable=serializable))

    async def range(  # noqa: PLR0913  each a keyword, with a default
        self,
        keys: Keys,
        *,
        limit: int = 0,
        revision: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
        serializable: bool = False,
        sort_by: SortTarget | None = None,
        descending: bool = False,
    ) -> values.RangeResult:
        """Return the keys of a range (`prefix("a/")`, `between("a", "b")`, `EVERYTHING` …)."""
        get = Get(keys, limit=limit, revision=revision, keys_only=keys_only, count_only=count_only)
        request = calls.range_request(
            get, serializable=serializable, sort_by=sort_by, descending=descending
        )
        return await self._run(calls.range_call(request))

    async def put(
        self, key: Text, value: Text, *, lease: int = 0, previous: bool = False
    ) -> values.PutResult:
        """Set the key; its former lease is detached unless named again."""
        return await self._run(calls.put(key, value, lease=lease, previous=previous))

    async def delete(self, keys: Keys, *, previous: bool = False) -> values.DeleteResult:
        """Delete a key or a range of keys, in one revision."""
        return await self._run(calls.delete(keys, previous=previous))

    async def txn(
        self,
        compare: Sequence[Comparison] = (),
        success: Sequence[Operation] = (),
        failure: Sequence[Operation] = (),
    ) -> values.TxnResult:
        """Run `success` if every comparison holds, otherwise `failure`, in one revision."""
        return await self._run(calls.txn(compare, success, failure))

    async def compact(self, revision: int, *, physical: bool = False) -> values.Header:
        """Forget the history before `revision`; `physical`: return once it is gone from disk."""
        return await self._run(calls.compact(revision, physical=physical))

    def watch(  # noqa: PLR0913  each a keyword, with a default
        self,
        keys: Keys,
        *,
        start_revision: int = 0,
        previous: bool = False,
        progress_notify: bool = False,
        no_puts: bool = False,
        no_deletes: bool = False,
    ) -> AsyncWatch:
        """Return a watch of a key or range, to be used as a context manager.

        Once it is entered no later change is missed, whichever endpoints come and go.
        """
        options = WatchOptions(
            start_revision=start_revision,
            previous=previous,
            progress_notify=progress_notify,
            no_puts=no_puts,
            no_deletes=no_deletes,
        )
        return AsyncWatch(self._connection, keys, options, open_timeout_s=self._timeout_s)

    # --- leases ---

    def lease(self, ttl_s: int, *, lease_id: int = 0) -> AsyncLease:
        """Return a lease that, as a context manager, is granted, kept alive, and revoked."""
        return AsyncLease(self._connection, ttl_s, lease_id=lease_id, timeout_s=self._timeout_s)

    async def grant(self, ttl_s: int, *, lease_id: int = 0) -> values.GrantedLease:
        """Create a lease that nobody keeps alive yet."""
        return await self._run(calls.grant(ttl_s, lease_id=lease_id))

    async def revoke(self, lease_id: int) -> values.Header:
        """End a lease and delete its keys."""
        return await self._run(calls.revoke(lease_id))

    async def keep_alive_once(self, lease_id: int) -> int:
        """Renew a lease; return its seconds left, 0 if it does not exist (any more)."""
        return await self._run(calls.keep_alive(lease_id))

    async def time_to_live(self, lease_id: int, *, keys: bool = False) -> values.LeaseState:
        """Return how long a lease still lives, and its keys if asked."""
        return await self._run(calls.time_to_live(lease_id, keys=keys))

    async def leases(self) -> tuple[int, ...]:
        """Return the ids of all leases."""
        return await self._run(calls.leases())

    # --- the cluster ---

    async def member_list(self, *, linearizable: bool = True) -> tuple[values.ClusterMember, ...]:
        """Return the members of the cluster."""
        return await self._run(calls.member_list(linearizable=linearizable))

    async def status(self) -> values.MemberStatus:
        """Return how the member behind the current endpoint is doing."""
        return await self._run(calls.status())

    async def hash_kv(self, revision: int = 0) -> values.KeyspaceHash:
        """Return the hash of that member's keyspace as of `revision` (0: now)."""
        return await self._run(calls.hash_kv(revision))

    async def alarms(self) -> tuple[values.Alarm, ...]:
        """Return the alarms raised in the cluster."""
        return await self._run(calls.alarms())

    async def disarm(self, alarm: values.Alarm) -> tuple[values.Alarm, ...]:
        """Take an alarm back."""
        return await self._run(calls.disarm(alarm))
