"""Authentication on real clusters: tokens on every member, restarts, and no secret on disk."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvstore.wire.pb import rpc_pb2
from tests.conformance.auth_world import auth, build, enable, token
from tests.support.any_rpc import AnyRpc, Metadata
from tests.support.cluster_process import KVSTORED, ClusterProcess

pytestmark = pytest.mark.slow

PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"
WRITTEN_BYTES_MAX = 64 << 20
"""Far above what the test writes; the keyspace's file is sparse, and huge to look at."""
FLAGS = ["--bcrypt-cost=4", "--log-level=debug"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterProcess]:
    with ClusterProcess(KVSTORED, 3, flags=FLAGS) as cluster:
        first = AnyRpc(cluster.endpoints[0])
        build(first)
        enable(first)
        first.close()
        yield cluster


def members(cluster: ClusterProcess) -> list[AnyRpc]:
    return [AnyRpc(endpoint) for endpoint in cluster.endpoints]


def as_clients_do(rpc: AnyRpc, put: rpc_pb2.PutRequest, login: Metadata) -> tuple[str, str]:
    """Put; again if the member had not applied the last change of roles when it was asked."""
    while True:
        decision = rpc.call(PUT, put, login).decision
        if decision != ("INVALID_ARGUMENT", "etcdserver: revision of auth store is old"):
            return decision


def test_a_token_counts_on_every_member_at_once(cluster: ClusterProcess) -> None:
    first, *others = members(cluster)
    for _ in range(10):
        login = token(first, "both")
        for other in others:
            # Serializable: nothing else would make the member wait for the token.
            read = rpc_pb2.RangeRequest(key=b"k1", serializable=True)
            assert other.call(RANGE, read, login).decision == ("OK", "")
            watch = rpc_pb2.WatchRequest(create_request=rpc_pb2.WatchCreateRequest(key=b"k1"))
            assert other.call("/etcdserverpb.Watch/Watch", watch, login).decision == ("OK", "")
    for rpc in (first, *others):
        rpc.close()


def test_a_changed_role_counts_at_once_for_who_is_logged_in(cluster: ClusterProcess) -> None:
    first, second, third = members(cluster)
    root, login = token(first, "root"), token(second, "stranger")
    put = rpc_pb2.PutRequest(key=b"k1", value=b"v")
    denied = ("PERMISSION_DENIED", "etcdserver: permission denied")
    assert third.call(PUT, put, login).decision == denied

    grant = rpc_pb2.AuthUserGrantRoleRequest(user="stranger", role="writes_k")
    assert auth(first, "UserGrantRole", grant, root).code == "OK"
    assert as_clients_do(third, put, login) == ("OK", "")

    revoke = rpc_pb2.AuthUserRevokeRoleRequest(name="stranger", role="writes_k")
    assert auth(first, "UserRevokeRole", revoke, root).code == "OK"
    assert as_clients_do(third, put, login) == denied
    for rpc in (first, second, third):
        rpc.close()


def test_a_lease_ends_in_time_although_nobody_asks_for_it_by_name(cluster: ClusterProcess) -> None:
    first, *others = members(cluster)
    root = token(first, "root")
    lease = rpc_pb2.LeaseGrantRequest(ID=77, TTL=2)
    assert first.call("/etcdserverpb.Lease/LeaseGrant", lease, root).code == "OK"
    put = rpc_pb2.PutRequest(key=b"k9", value=b"v", lease=77)
    assert first.call(PUT, put, root).code == "OK"
    created = rpc_pb2.WatchCreateRequest(key=b"k9", filters=[rpc_pb2.WatchCreateRequest.NOPUT])
    rpc = AnyRpc(cluster.endpoints[0])

    events = rpc.events(rpc_pb2.WatchRequest(create_request=created), root)

    assert next(events).kv.key == b"k9"
    for other in (first, rpc, *others):
        other.close()


def test_users_and_roles_survive_a_restart_and_tokens_do_not() -> None:
    with ClusterProcess(KVSTORED, flags=FLAGS) as cluster:
        rpc = AnyRpc(cluster.endpoints[0])
        build(rpc)
        enable(rpc)
        login = token(rpc, "reader")
        cluster.members[0].kill()
        cluster.start()

        read = rpc_pb2.RangeRequest(key=b"k1")
        invalid = ("UNAUTHENTICATED", "etcdserver: invalid auth token")
        assert rpc.call(RANGE, read, login).decision == invalid
        assert rpc.call(RANGE, read, token(rpc, "reader")).code == "OK"
        rpc.close()


def test_a_member_that_is_sent_the_whole_state_knows_users_and_roles() -> None:
    flags = [*FLAGS, "--snapshot-count=100", "--snapshot-catchup-entries=10"]
    with ClusterProcess(KVSTORED, 3, flags=flags) as cluster:
        cluster.members[2].kill()
        rpc = AnyRpc(cluster.endpoints[0])
        build(rpc)
        for number in range(300):
            put = rpc_pb2.PutRequest(key=b"n", value=b"%d" % number)
            assert rpc.call(PUT, put).code == "OK"
        enable(rpc)
        cluster.start()

        late = AnyRpc(cluster.endpoints[2])
        read = rpc_pb2.RangeRequest(key=b"k1")
        assert late.call(RANGE, read, token(late, "reader")).code == "OK"
        denied = late.call(RANGE, read, token(late, "stranger"))
        assert denied.code == "PERMISSION_DENIED"
        rpc.close()
        late.close()


def test_no_password_and_no_token_reaches_the_disk_in_the_clear_or_a_log() -> None:
    password, wrong = secrets.token_hex(16), secrets.token_hex(16)
    with ClusterProcess(KVSTORED, flags=FLAGS) as cluster:
        rpc = AnyRpc(cluster.endpoints[0])
        build(rpc)
        for request in (
            rpc_pb2.AuthUserAddRequest(name="secretive", password=password),
            rpc_pb2.AuthUserAddRequest(name="secretive", password=password),  # refused
        ):
            auth(rpc, "UserAdd", request)
        changed = rpc_pb2.AuthUserChangePasswordRequest(name="secretive", password=password)
        assert auth(rpc, "UserChangePassword", changed).code == "OK"
        enable(rpc)
        logged_in = dict(token(rpc, "secretive", password))["token"]
        failed = rpc_pb2.AuthenticateRequest(name="secretive", password=wrong)
        assert auth(rpc, "Authenticate", failed).code == "INVALID_ARGUMENT"
        cluster.members[0].stop()

        for file in filter(Path.is_file, cluster.directory.rglob("*")):
            with file.open("rb") as opened:
                content = opened.read(WRITTEN_BYTES_MAX)
            assert password.encode() not in content, file
            assert wrong.encode() not in content, file
        assert logged_in not in cluster.members[0].log_file.read_text()
        rpc.close()
