"""What grows with the data is done in slices: everybody else goes on in between."""

import pytest

from kvstore.base.ids import MemberId
from kvstore.base.limits import Limits
from kvstore.raft.peer_session import Channel
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Answer
from tests.support.sim_member import SimLinks
from tests.support.sim_member_lab import MemberLab

KEYS = 3000
PER_TXN = 100
TIMELESS = Limits(wal_segment_bytes=64 * 1024, slice_s=0.0)
"""In a world where steps take no time, a slice is over at once."""


def put_many(lab: MemberLab) -> None:
    for start in range(0, KEYS, PER_TXN):
        request = rpc_pb2.TxnRequest()
        for number in range(start, start + PER_TXN):
            put = request.success.add().request_put
            put.key, put.value = b"many/%05d" % number, b"v"
        lab.call(lab.leader(), "KV/Txn", request, rpc_pb2.TxnResponse)


def test_a_long_delete_is_one_transaction_while_heartbeats_and_reads_go_on() -> None:
    lab = MemberLab(3, TIMELESS)
    put_many(lab)
    leader = lab.leader()
    member = leader.node.member
    revision, term = member.machine.store.revision, member.consensus.term
    deleted: list[Answer] = []
    request = rpc_pb2.DeleteRangeRequest(key=b"many/", range_end=b"many0")
    lab.ask(leader, "KV/DeleteRange", request, deleted)
    while not member.is_applying:
        lab.elapse(0.00002)
    read: list[Answer] = []
    look = rpc_pb2.RangeRequest(key=b"many/", range_end=b"many0", count_only=True)
    look.serializable = True
    lab.ask(leader, "KV/Range", look, read)
    slices = 0
    while member.is_applying:
        slices += 1
        lab.elapse(0.00005)
    assert slices > KEYS // 600
    lab.elapse(1.0)
    (before,), (answer,) = read, deleted
    assert isinstance(before, bytes)
    assert rpc_pb2.RangeResponse.FromString(before).count == KEYS, "as before the delete"
    assert isinstance(answer, bytes)
    response = rpc_pb2.DeleteRangeResponse.FromString(answer)
    assert (response.deleted, response.header.revision) == (KEYS, revision + 1)
    assert member.consensus.term == term


def test_compaction_removes_in_slices_and_requests_are_served_in_between() -> None:
    lab = MemberLab(1, TIMELESS)
    put_many(lab)
    put_many(lab)
    alone = lab.leader()
    store = alone.node.member.machine.store
    removed: list[Answer] = []
    request = rpc_pb2.CompactionRequest(revision=store.revision, physical=True)
    lab.ask(alone, "KV/Compact", request, removed)
    while store.removal() is None:
        lab.elapse(0.00005)
    put: list[Answer] = []
    lab.ask(alone, "KV/Put", rpc_pb2.PutRequest(key=b"k"), put)
    while not put:
        lab.elapse(0.00005)
        assert not removed, "the removal held everybody up"
    lab.elapse(2.0)
    assert removed
    assert store.removal() is None


def test_few_chunks_of_a_snapshot_are_under_way_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = MemberLab(
        3,
        Limits(
            wal_segment_bytes=64 * 1024,
            retained_entries=1,
            snapshot_entries=1,
            checkpoint_interval_s=0.2,
            peer_frame_bytes_max=1000,
        ),
    )
    follower = lab.follower()
    lab.isolate(follower)
    put_many(lab)
    lab.elapse(1.0)
    under_way = most = 0
    send = SimLinks.send

    def watched(links: SimLinks, member: MemberId, channel: Channel, payload: bytes) -> bool:
        nonlocal under_way, most
        if channel is Channel.SNAPSHOT:
            under_way += 1 if payload[:1] == b"c" else -1
            most = max(most, under_way)
        return send(links, member, channel, payload)

    monkeypatch.setattr(SimLinks, "send", watched)
    lab.network.heal()
    lab.elapse(5.0)
    assert lab.oracle.counts["snapshot installed"] == 1
    assert 2 <= most <= 8
