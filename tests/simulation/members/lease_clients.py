"""Clients that hold a key by a lease: grant, put, renew for a while, then let it end or revoke."""

from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Status, StreamRequest
from tests.simulation.members.clients import Recorder
from tests.simulation.members.records import Fate, LeaseRecord, Operation

_RENEWAL_TIMEOUT_S = 2.0


class LeaseClient:
    """Holds one lease after the other."""

    def __init__(self, name: str, recorder: Recorder) -> None:
        self._name = name
        self._recorder = recorder
        self._cluster = recorder.cluster
        self.world = recorder.world
        self._dice = recorder.world.dice
        self._number = 0
        self._renewals_left = 0
        self._next_lease_soon()

    def _next_lease_soon(self) -> None:
        self.world.after(self._dice.uniform(0.1, 2.0), self._grant)

    def _grant(self) -> None:
        if self._cluster.is_quiet:
            return
        self._number += 1
        lease = self._dice.getrandbits(40) + 1
        asked = self.world.now
        request = rpc_pb2.LeaseGrantRequest(ID=lease, TTL=self._dice.choice((1, 3, 5)))

        def granted(operation: Operation) -> None:
            response = operation.response
            if not isinstance(response, rpc_pb2.LeaseGrantResponse):
                self._next_lease_soon()
                return
            record = LeaseRecord(lease, response.TTL, asked)
            self._recorder.records.leases[lease] = record
            self._renewals_left = self._dice.choice((0, 1, 4, 10))
            self._put(record)

        self._recorder.ask(self._name, request, granted)

    def _put(self, record: LeaseRecord) -> None:
        key = b"l/%s" % self._name.encode()
        value = b"%s.%d" % (self._name.encode(), self._number)
        request = rpc_pb2.PutRequest(key=key, value=value, lease=record.lease)
        self._recorder.ask(
            self._name,
            request,
            lambda _: self._hold_on(record),
        )

    def _hold_on(self, record: LeaseRecord) -> None:
        if self._renewals_left > 0 and not self._cluster.is_quiet:
            self._renewals_left -= 1
            pause = record.ttl_s * self._dice.choice((0.1, 0.4, 0.95, 1.4))
            self.world.after(pause, self._renew, record)
        elif self._dice.random() < 0.2:
            record.may_be_revoked = True
            request = rpc_pb2.LeaseRevokeRequest(ID=record.lease)
            self._recorder.ask(self._name, request, self._revoked)
        else:
            self._next_lease_soon()

    def _renew(self, record: LeaseRecord) -> None:
        _Renewal(self, record)

    def _revoked(self, operation: Operation) -> None:
        if operation.fate is Fate.OK:
            self._cluster.oracle.note("lease revoked")
        self._next_lease_soon()

    def renew_with(self, renewal: "_Renewal") -> StreamRequest:
        """Open a stream for one renewal at any member."""
        machine = self._cluster.machines[self._cluster.any_member()]
        return StreamRequest(
            self._recorder.wire,
            machine,
            "/etcdserverpb.Lease/LeaseKeepAlive",
            renewal,
            message_s=0.0001,
        )

    def renewed(self, record: LeaseRecord, asked: float, ttl_s: int) -> None:
        """Judge and remember an answer."""
        now, oracle = self.world.now, self._cluster.oracle
        self.world.log(self._name, "renewed", record.lease, "asked", asked, "ttl", ttl_s)
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
        self._asked = client.world.now
        self._is_over = False
        self._stream = client.renew_with(self)
        request = rpc_pb2.LeaseKeepAliveRequest(ID=record.lease)
        self._stream.request(request.SerializeToString())
        client.world.after(_RENEWAL_TIMEOUT_S, self._give_up)

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
