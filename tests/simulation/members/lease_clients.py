"""Clients that hold a key by a lease: grant, put, renew for a while, then let it end or revoke."""

from typing import TYPE_CHECKING

from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Status, StreamRequest, Wire
from tests.simulation.members.clients import issue
from tests.simulation.members.records import Fate, LeaseRecord, Operation, Records

if TYPE_CHECKING:
    from tests.simulation.members.cluster import Cluster

_RENEWAL_TIMEOUT_S = 2.0


class LeaseClient:
    """Holds one lease after the other."""

    def __init__(self, name: str, wire: Wire, records: Records, cluster: "Cluster") -> None:
        self._name = name
        self._wire = wire
        self._records = records
        self._cluster = cluster
        self._world = wire.world
        self._dice = wire.world.dice
        self._number = 0
        self._renewals_left = 0
        self._next_lease_soon()

    def _next_lease_soon(self) -> None:
        self._world.after(self._dice.uniform(0.1, 2.0), self._grant)

    def _grant(self) -> None:
        if self._cluster.is_quiet:
            return
        self._number += 1
        lease = self._dice.getrandbits(40) + 1
        asked = self._world.now
        request = rpc_pb2.LeaseGrantRequest(ID=lease, TTL=self._dice.choice((1, 3, 5)))

        def granted(operation: Operation) -> None:
            response = operation.response
            if not isinstance(response, rpc_pb2.LeaseGrantResponse):
                self._next_lease_soon()
                return
            record = LeaseRecord(lease, response.TTL, asked)
            self._records.leases[lease] = record
            self._renewals_left = self._dice.choice((0, 1, 4, 10))
            self._put(record)

        issue(self._wire, self._records, self._cluster, self._name, request, granted)

    def _put(self, record: LeaseRecord) -> None:
        key = b"l/%s" % self._name.encode()
        value = b"%s.%d" % (self._name.encode(), self._number)
        request = rpc_pb2.PutRequest(key=key, value=value, lease=record.lease)
        issue(
            self._wire,
            self._records,
            self._cluster,
            self._name,
            request,
            lambda _: self._hold_on(record),
        )

    def _hold_on(self, record: LeaseRecord) -> None:
        if self._renewals_left > 0 and not self._cluster.is_quiet:
            self._renewals_left -= 1
            pause = record.ttl_s * self._dice.choice((0.1, 0.4, 0.95))
            self._world.after(pause, _Renewal, self, record)
        elif self._dice.random() < 0.2:
            record.may_be_revoked = True
            request = rpc_pb2.LeaseRevokeRequest(ID=record.lease)
            issue(self._wire, self._records, self._cluster, self._name, request, self._revoked)
        else:
            self._next_lease_soon()

    def _revoked(self, operation: Operation) -> None:
        if operation.fate is Fate.OK:
            self._cluster.oracle.note("lease revoked")
        self._next_lease_soon()

    def renew_with(self, renewal: "_Renewal") -> StreamRequest:
        """Open a stream for one renewal at any member."""
        machine = self._cluster.machines[self._cluster.any_member()]
        stream = StreamRequest(
            self._wire, machine, "/etcdserverpb.Lease/LeaseKeepAlive", renewal, message_s=0.0001
        )
        return stream

    def renewed(self, record: LeaseRecord, asked: float, ttl_s: int) -> None:
        """Judge and remember an answer."""
        now, oracle = self._world.now, self._cluster.oracle
        self._world.log(self._name, "renewed", record.lease, "asked", asked, "ttl", ttl_s)
        if ttl_s > 0:
            oracle.note("lease renewed")
            record.renewals.append((asked, now))
            self._hold_on(record)
            return
        oracle.note("lease found expired")
        promised = record.promised_until(now, drift=self._cluster.profile.drift)
        if not record.may_be_revoked and now < promised:
            oracle.fail("lease_never_shortened", f"lease {record.lease} is gone too early")
        self._next_lease_soon()

    def not_renewed(self, record: LeaseRecord) -> None:
        """Try again, or do not."""
        self._hold_on(record)


class _Renewal:
    """One question on a stream of its own."""

    def __init__(self, client: LeaseClient, record: LeaseRecord) -> None:
        self._client = client
        self._record = record
        self._asked = client._world.now  # its other half
        self._is_over = False
        self._stream = client.renew_with(self)
        request = rpc_pb2.LeaseKeepAliveRequest(ID=record.lease)
        self._stream.request(request.SerializeToString())
        client._world.after(_RENEWAL_TIMEOUT_S, self._give_up)

    def received(self, message: bytes, sent_state: int) -> None:
        if not self._is_over:
            self._is_over = True
            self._stream.cancel()
            response = rpc_pb2.LeaseKeepAliveResponse.FromString(message)
            self._client.renewed(self._record, self._asked, response.TTL)

    def ended(self, status: Status) -> None:
        if not self._is_over:
            self._is_over = True
            self._client.not_renewed(self._record)

    def _give_up(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._stream.cancel()
            self._client.not_renewed(self._record)
