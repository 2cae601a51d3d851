"""Lock and Election services, the same conversation with the real etcd and with ours."""

import queue
import threading
from collections.abc import Callable

import pytest
from google.protobuf.message import Message

from kvstore.wire.pb import rpc_pb2, v3election_pb2, v3lock_pb2
from tests.support.any_rpc import Answer, AnyRpc
from tests.support.cluster_process import ClusterProcess, Program

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

LOCK, ELECTION = "/v3lockpb.Lock/", "/v3electionpb.Election/"
LONG, SHORT = 0x101, 0x102
Seen = list[tuple[str, object]]


class Talk:
    """Calls to one server, and what was seen of their answers, in order."""

    def __init__(self, endpoint: str) -> None:
        self.rpc = AnyRpc(endpoint)
        self.seen: Seen = []

    def call(self, path: str, request: Message) -> Answer:
        answer = self.rpc.call(path, request)
        self.note(path, answer)
        return answer

    def note(self, what: str, answer: Answer) -> None:
        shown: object = answer.decision
        if answer.message is not None:
            message = type(answer.message)()
            message.CopyFrom(answer.message)
            header = message.header  # type: ignore[attr-defined]
            for field in ("cluster_id", "member_id", "raft_term"):
                header.ClearField(field)
            shown = str(message)
        self.seen.append((what, shown))

    def in_background(self, path: str, request: Message) -> "queue.SimpleQueue[Answer]":
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        threading.Thread(
            target=lambda: answers.put(self.rpc.call(path, request)), daemon=True
        ).start()
        return answers

    def keys(self, prefix: bytes) -> int:
        request = rpc_pb2.RangeRequest(key=prefix, range_end=prefix + b"\xff", count_only=True)
        answer = self.rpc.call("/etcdserverpb.KV/Range", request)
        assert isinstance(answer.message, rpc_pb2.RangeResponse)
        return answer.message.count

    def wait_for_keys(self, prefix: bytes, count: int) -> None:
        while self.keys(prefix) != count:
            pass


def locks(talk: Talk) -> None:
    for lease in (LONG, SHORT):
        talk.call("/etcdserverpb.Lease/LeaseGrant", rpc_pb2.LeaseGrantRequest(ID=lease, TTL=600))
    mine = v3lock_pb2.LockRequest(name=b"l", lease=LONG)
    talk.call(LOCK + "Lock", mine)
    talk.call(LOCK + "Lock", mine)  # the lease holds it already
    waiting = talk.in_background(LOCK + "Lock", v3lock_pb2.LockRequest(name=b"l", lease=SHORT))
    talk.wait_for_keys(b"l/", 2)
    talk.call(LOCK + "Unlock", v3lock_pb2.UnlockRequest(key=b"l/101"))
    talk.note("waited", waiting.get(timeout=20))
    talk.call(LOCK + "Unlock", v3lock_pb2.UnlockRequest(key=b"not there"))
    talk.call(LOCK + "Unlock", v3lock_pb2.UnlockRequest())
    talk.call(LOCK + "Lock", v3lock_pb2.LockRequest(name=b"l", lease=999))
    talk.call(LOCK + "Lock", v3lock_pb2.LockRequest(lease=LONG))  # no name


def lost_leases(talk: Talk) -> None:
    """Who waits with a lease that ends does not get the lock, though its turn comes."""
    waiting = talk.in_background(LOCK + "Lock", v3lock_pb2.LockRequest(name=b"l", lease=LONG))
    talk.wait_for_keys(b"l/", 2)
    talk.call("/etcdserverpb.Lease/LeaseRevoke", rpc_pb2.LeaseRevokeRequest(ID=LONG))
    talk.call(LOCK + "Unlock", v3lock_pb2.UnlockRequest(key=b"l/102"))
    talk.note("lost", waiting.get(timeout=20))


def elections(talk: Talk) -> None:
    for lease in (0x201, 0x202):
        talk.call("/etcdserverpb.Lease/LeaseGrant", rpc_pb2.LeaseGrantRequest(ID=lease, TTL=600))
    name = v3election_pb2.LeaderRequest(name=b"e")
    talk.call(ELECTION + "Leader", name)
    campaign = v3election_pb2.CampaignRequest(name=b"e", lease=0x201, value=b"one")
    won = talk.call(ELECTION + "Campaign", campaign).message
    assert isinstance(won, v3election_pb2.CampaignResponse)
    talk.call(ELECTION + "Leader", name)
    again = v3election_pb2.CampaignRequest(name=b"e", lease=0x201, value=b"another")
    talk.call(ELECTION + "Campaign", again)
    talk.call(ELECTION + "Leader", name)
    proclaim = v3election_pb2.ProclaimRequest(leader=won.leader, value=b"two")
    talk.call(ELECTION + "Proclaim", proclaim)
    stale = v3election_pb2.ProclaimRequest(leader=won.leader, value=b"three")
    stale.leader.rev = 1
    talk.call(ELECTION + "Proclaim", stale)
    talk.call(ELECTION + "Proclaim", v3election_pb2.ProclaimRequest())
    talk.call(ELECTION + "Resign", v3election_pb2.ResignRequest())
    second = v3election_pb2.CampaignRequest(name=b"e", lease=0x202, value=b"second")
    waiting = talk.in_background(ELECTION + "Campaign", second)
    talk.wait_for_keys(b"e/", 2)
    talk.call(ELECTION + "Resign", v3election_pb2.ResignRequest(leader=won.leader))
    talk.note("campaigned", waiting.get(timeout=20))
    talk.call(ELECTION + "Resign", v3election_pb2.ResignRequest(leader=won.leader))
    talk.call(ELECTION + "Leader", name)


def observers(talk: Talk) -> None:
    """A leader, its words, its end, and the next one; the last change is waited for each time."""
    responses = talk.rpc.stream(ELECTION + "Observe", v3election_pb2.LeaderRequest(name=b"o"))
    try:
        for lease in (0x301, 0x302):
            grant = rpc_pb2.LeaseGrantRequest(ID=lease, TTL=600)
            talk.call("/etcdserverpb.Lease/LeaseGrant", grant)
        first = v3election_pb2.CampaignRequest(name=b"o", lease=0x301, value=b"one")
        won = talk.rpc.call(ELECTION + "Campaign", first).message
        assert isinstance(won, v3election_pb2.CampaignResponse)
        talk.note("observed", Answer("OK", "", next(responses)))
        proclaim = v3election_pb2.ProclaimRequest(leader=won.leader, value=b"two")
        talk.rpc.call(ELECTION + "Proclaim", proclaim)
        talk.note("observed", Answer("OK", "", next(responses)))
        second = v3election_pb2.CampaignRequest(name=b"o", lease=0x302, value=b"next")
        waiting = talk.in_background(ELECTION + "Campaign", second)
        talk.wait_for_keys(b"o/", 2)
        talk.rpc.call(ELECTION + "Resign", v3election_pb2.ResignRequest(leader=won.leader))
        waiting.get(timeout=20)
        talk.note("observed", Answer("OK", "", next(responses)))
    finally:
        responses.close()


def abandoned(talk: Talk) -> None:
    """Who gives up waiting leaves no key behind."""
    for path, request in (
        (LOCK + "Lock", v3lock_pb2.LockRequest(name=b"a", lease=0x401)),
        (ELECTION + "Campaign", v3election_pb2.CampaignRequest(name=b"a", lease=0x401)),
    ):
        for lease in (0x400, 0x401):
            grant = rpc_pb2.LeaseGrantRequest(ID=lease, TTL=600)
            talk.call("/etcdserverpb.Lease/LeaseGrant", grant)
        talk.call(LOCK + "Lock", v3lock_pb2.LockRequest(name=b"a", lease=0x400))
        answer = talk.rpc.call(path, request, timeout_s=1.0)
        assert answer.code in ("DEADLINE_EXCEEDED", "UNKNOWN")  # whose clock is first
        talk.wait_for_keys(b"a/", 1)
        talk.call(LOCK + "Unlock", v3lock_pb2.UnlockRequest(key=b"a/400"))


CONVERSATIONS: tuple[Callable[[Talk], None], ...] = (
    locks,
    lost_leases,
    elections,
    observers,
    abandoned,
)


def test_locks_and_elections_go_as_with_the_real_etcd(
    reference_etcd: Program, candidate: Program
) -> None:
    seen = []
    for program in (reference_etcd, candidate):
        with ClusterProcess(program) as cluster:
            talk = Talk(cluster.endpoints[0])
            for conversation in CONVERSATIONS:
                conversation(talk)
            talk.rpc.close()
            seen.append(talk.seen)

    assert seen[1] == seen[0]
