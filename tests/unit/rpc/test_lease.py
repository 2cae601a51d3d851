from collections.abc import Callable, Sequence

import pytest

from kvstore.base.errors import (
    LeaseExists,
    LeaseNotFound,
    LeaseTtlTooLarge,
    NoLeader,
    NotPrimaryLessor,
    RpcError,
)
from kvstore.base.ids import LeaseId
from kvstore.lease import TimeToLive
from kvstore.rpc.call import StreamCall, StreamHandler, StreamMethod, UnaryMethod
from kvstore.rpc.lease import LeaseLife, LeaseService
from kvstore.rpc.pipeline import Pipeline
from kvstore.rpc.stream_guard import EndStream
from kvstore.wire.pb import rpc_pb2
from tests.support.fake_calls import FakeStreamCall, FakeUnaryCall
from tests.support.watch_world import ManualEntropy, header

MALFORMED = b"\xff"


class Member:
    """Keeps what was asked of it, with the function that answers."""

    is_learner = False

    def __init__(self) -> None:
        self.revision = 5
        self.grants: list[tuple[int, int, Callable[[int | RpcError], None]]] = []
        self.revokes: list[tuple[int, Callable[[int | RpcError], None]]] = []
        self.renewals: list[tuple[int, Callable[[int | RpcError], None]]] = []
        self.questions: list[tuple[int, bool, Callable[[LeaseLife | RpcError | None], None]]] = []
        self.known: list[LeaseId] = []

    def seconds_without_leader(self) -> float:
        return 0.0

    def propose_grant(
        self, lease_id: LeaseId, ttl_s: int, done: Callable[[int | RpcError], None]
    ) -> None:
        self.grants.append((lease_id, ttl_s, done))

    def propose_revoke(self, lease_id: LeaseId, done: Callable[[int | RpcError], None]) -> None:
        self.revokes.append((lease_id, done))

    def renew(self, lease_id: LeaseId, done: Callable[[int | RpcError], None]) -> None:
        self.renewals.append((lease_id, done))

    def time_to_live(
        self, lease_id: LeaseId, done: Callable[[LeaseLife | RpcError | None], None], *, keys: bool
    ) -> None:
        self.questions.append((lease_id, keys, done))

    def leases(self) -> Sequence[LeaseId]:
        return self.known


class World:
    def __init__(self) -> None:
        self.member = Member()
        self.ends: list[EndStream] = []
        self.released = 0
        self.service = LeaseService(
            lambda _: self.member,
            header,
            Pipeline(self.member),
            self.guard,
            ManualEntropy(bits=(1 << 63) - 1),
            ttl_min_s=2,
        )

    def guard(self, call: StreamCall, end: EndStream) -> Callable[[], None]:
        self.ends.append(end)

        def release() -> None:
            self.released += 1

        return release

    def ask(self, rpc: str, message: bytes) -> FakeUnaryCall:
        method = self.service.methods()[f"/etcdserverpb.Lease/{rpc}"]
        assert isinstance(method, UnaryMethod)
        call = FakeUnaryCall()
        method.handle(call, message)
        return call

    def grant(self, ttl_s: int, lease_id: int = 0) -> FakeUnaryCall:
        request = rpc_pb2.LeaseGrantRequest(TTL=ttl_s, ID=lease_id)
        return self.ask("LeaseGrant", request.SerializeToString())

    def keep_alive(self) -> tuple[FakeStreamCall, StreamHandler]:
        method = self.service.methods()["/etcdserverpb.Lease/LeaseKeepAlive"]
        assert isinstance(method, StreamMethod)
        call = FakeStreamCall()
        return call, method.open(call)


@pytest.fixture
def world() -> World:
    return World()


def renewal(lease_id: int) -> bytes:
    return rpc_pb2.LeaseKeepAliveRequest(ID=lease_id).SerializeToString()


def renewed(call: FakeStreamCall) -> list[tuple[int, int, int]]:
    responses = [rpc_pb2.LeaseKeepAliveResponse.FromString(message) for message in call.messages]
    return [(response.ID, response.TTL, response.header.revision) for response in responses]


# --- grant and revoke -----------------------------------------------------------------------------


def test_a_grant_answers_with_its_id_ttl_and_revision(world: World) -> None:
    call = world.grant(60, lease_id=-4)
    [(lease_id, ttl_s, done)] = world.member.grants
    assert (lease_id, ttl_s) == (-4, 60)
    assert call.status is None
    done(9)
    assert call.message is not None
    response = rpc_pb2.LeaseGrantResponse.FromString(call.message)
    assert (response.ID, response.TTL, response.error) == (-4, 60, "")
    assert response.header.revision == 9


def test_id_zero_draws_a_positive_one_before_the_log(world: World) -> None:
    world.grant(60)
    assert world.member.grants[0][0] == (1 << 63) - 1


@pytest.mark.parametrize("ttl_s", [1, 0, -5])
def test_a_ttl_below_the_minimum_is_raised_before_the_log(world: World, ttl_s: int) -> None:
    call = world.grant(ttl_s)
    assert world.member.grants[0][1] == 2
    world.member.grants[0][2](5)
    assert call.message is not None
    assert rpc_pb2.LeaseGrantResponse.FromString(call.message).TTL == 2


def test_a_ttl_too_large_is_refused_unproposed(world: World) -> None:
    assert world.grant(9_000_000_001).status == (11, LeaseTtlTooLarge.message)
    assert world.member.grants == []


def test_what_the_log_refuses_reaches_the_client(world: World) -> None:
    grant = world.grant(60, lease_id=1)
    world.member.grants[0][2](LeaseExists())
    assert grant.status == (9, "etcdserver: lease already exists")
    request = rpc_pb2.LeaseRevokeRequest(ID=1).SerializeToString()
    revoke = world.ask("LeaseRevoke", request)
    world.member.revokes[0][1](LeaseNotFound())
    assert revoke.status == (5, "etcdserver: requested lease not found")


def test_a_revoke_answers_with_the_revision_of_its_deletes(world: World) -> None:
    call = world.ask("LeaseRevoke", rpc_pb2.LeaseRevokeRequest(ID=-4).SerializeToString())
    [(lease_id, done)] = world.member.revokes
    assert lease_id == -4
    done(12)
    assert call.message is not None
    assert rpc_pb2.LeaseRevokeResponse.FromString(call.message).header.revision == 12


@pytest.mark.parametrize("rpc", ["LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "LeaseLeases"])
def test_a_malformed_request_is_refused(world: World, rpc: str) -> None:
    status = world.ask(rpc, MALFORMED).status
    assert status is not None
    assert status[0] == 13


# --- time to live and leases ----------------------------------------------------------------------


def test_time_to_live_tells_what_is_left_and_the_keys_if_asked(world: World) -> None:
    request = rpc_pb2.LeaseTimeToLiveRequest(ID=3, keys=True).SerializeToString()
    call = world.ask("LeaseTimeToLive", request)
    [(lease_id, keys, done)] = world.member.questions
    assert (lease_id, keys) == (3, True)
    done(LeaseLife(TimeToLive(0, 10), [b"a", b""]))
    assert call.message is not None
    response = rpc_pb2.LeaseTimeToLiveResponse.FromString(call.message)
    assert (response.ID, response.TTL, response.grantedTTL) == (3, 0, 10)
    assert list(response.keys) == [b"a", b""]
    assert response.header.revision == 5


def test_time_to_live_of_an_unknown_lease_is_minus_one_and_no_error(world: World) -> None:
    request = rpc_pb2.LeaseTimeToLiveRequest(ID=3).SerializeToString()
    call = world.ask("LeaseTimeToLive", request)
    world.member.questions[0][2](None)
    assert call.message is not None
    response = rpc_pb2.LeaseTimeToLiveResponse.FromString(call.message)
    assert (response.ID, response.TTL, response.grantedTTL) == (3, -1, 0)


def test_time_to_live_without_a_leader_fails(world: World) -> None:
    call = world.ask("LeaseTimeToLive", b"")
    world.member.questions[0][2](NoLeader())
    assert call.status == (14, "etcdserver: no leader")


def test_leases_lists_what_this_member_knows(world: World) -> None:
    world.member.known = [LeaseId(5), LeaseId(-1)]
    call = world.ask("LeaseLeases", b"")
    assert call.message is not None
    response = rpc_pb2.LeaseLeasesResponse.FromString(call.message)
    assert [status.ID for status in response.leases] == [5, -1]
    assert response.header.revision == 5


# --- keep alive -----------------------------------------------------------------------------------


def test_renewals_are_answered_in_order_with_the_revision_of_before(world: World) -> None:
    call, handler = world.keep_alive()
    handler.message_received(renewal(1))
    world.member.revision = 6
    handler.message_received(renewal(2))
    (_, first), (_, second) = world.member.renewals
    world.member.revision = 9
    second(20)
    assert call.messages == []
    first(10)
    assert renewed(call) == [(1, 10, 5), (2, 20, 6)]


def test_a_lease_that_is_gone_renews_to_zero_without_an_error(world: World) -> None:
    call, handler = world.keep_alive()
    handler.message_received(renewal(1))
    handler.message_received(renewal(2))
    world.member.renewals[0][1](0)
    world.member.renewals[1][1](LeaseNotFound())
    assert [ttl for _, ttl, _ in renewed(call)] == [0, 0]
    assert call.status is None


@pytest.mark.parametrize("error", [NotPrimaryLessor(), NoLeader()])
def test_a_renewal_that_fails_ends_the_stream(world: World, error: RpcError) -> None:
    call, handler = world.keep_alive()
    handler.message_received(renewal(1))
    handler.message_received(renewal(2))
    world.member.renewals[1][1](error)
    assert call.status == (error.code, error.message)
    world.member.renewals[0][1](10)
    assert call.messages == []
    assert world.released == 1


def test_half_closing_ends_the_stream_after_the_last_answer(world: World) -> None:
    call, handler = world.keep_alive()
    handler.message_received(renewal(1))
    handler.half_closed()
    assert call.status is None
    world.member.renewals[0][1](10)
    assert renewed(call) == [(1, 10, 5)]
    assert call.status == (0, "")
    assert world.released == 1


def test_a_client_that_left_is_not_answered(world: World) -> None:
    call, handler = world.keep_alive()
    handler.message_received(renewal(1))
    handler.closed()
    world.member.renewals[0][1](10)
    assert call.messages == []
    assert call.status is None


def test_a_malformed_renewal_ends_the_stream(world: World) -> None:
    call, handler = world.keep_alive()
    handler.message_received(MALFORMED)
    assert call.status is not None
    assert call.status[0] == 13
    handler.message_received(renewal(1))
    assert world.member.renewals == []


def test_too_many_waiting_renewals_end_the_stream(world: World) -> None:
    call, handler = world.keep_alive()
    for _ in range(4097):
        handler.message_received(renewal(1))
    assert call.status is not None
    assert call.status[1] == "etcdserver: too many requests"


def test_the_guard_can_end_a_stream(world: World) -> None:
    call, handler = world.keep_alive()
    handler.message_received(renewal(1))
    world.ends[0](NoLeader())
    assert call.status == (14, "etcdserver: no leader")
