"""The blocking shell of `leasing`: a thread that renews one lease."""

import contextlib
import threading
from types import TracebackType
from typing import Self

from kvstore.base.errors import LeaseNotFound, OutcomeUnknown, RpcError, Unavailable
from kvstore.client import calls
from kvstore.client.leasing import Renewal
from kvstore.client.sync_connection import Connection


class Lease:
    """A lease that lives as long as its `with` block, unless the cluster is out of reach too long.

    Its end doesn't interrupt the block: ask `is_lost`, `remaining_s` or `check` where it matters.
    """

    def __init__(
        self, connection: Connection, ttl_s: int, *, lease_id: int, timeout_s: float
    ) -> None:
        self.lease_id = lease_id
        self._connection = connection
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._renewal = Renewal(ttl_s, granted_at=0.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)

    def __enter__(self) -> Self:
        """Grant the lease and begin to renew it."""
        call = calls.grant(self._ttl_s, lease_id=self.lease_id)
        granted_at = self._connection.clock.monotonic()
        granted = call.decode(self._connection.exchange(call, self._timeout_s))
        self.lease_id = granted.lease_id
        self._renewal = Renewal(granted.ttl_s, granted_at=granted_at)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Revoke the lease, which deletes its keys; if that fails it soon ends by itself."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(LeaseNotFound, Unavailable, OutcomeUnknown):
            self._connection.exchange(calls.revoke(self.lease_id), self._timeout_s)

    @property
    def is_lost(self) -> bool:
        """Whether the lease has ended, or may have."""
        return self.remaining_s == 0.0

    @property
    def remaining_s(self) -> float:
        """Return the seconds for which the lease surely lives, if nothing is renewed."""
        return self._renewal.remaining_s(self._connection.clock.monotonic())

    def check(self) -> None:
        """Return if the lease lives.

        Raises:
            LeaseNotFound: it has ended, or may have.
        """
        if self.is_lost:
            raise LeaseNotFound

    def _keep_alive(self) -> None:
        call = calls.keep_alive(self.lease_id)
        now = self._connection.clock.monotonic
        renewal = self._renewal
        while not self._stop.wait(renewal.wait_s(now())) and not renewal.is_lost:
            sent_at = now()
            try:
                reply = self._connection.exchange(call, renewal.attempt_timeout_s)
            except RpcError:
                renewal.failed(now())
            else:
                renewal.renewed(call.decode(reply), sent_at=sent_at)
