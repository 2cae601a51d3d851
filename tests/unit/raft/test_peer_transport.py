"""kvstore.raft.peer_transport: links between members over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from kvstore.base.clock import SystemClock
from kvstore.base.entropy import SystemEntropy
from kvstore.base.ids import ClusterId, MemberId
from kvstore.base.limits import Limits
from kvstore.raft.peer_session import Channel, PeerIdentity, Refusal
from kvstore.raft.peer_transport import PeerTransport
from tests.support.ports import free_base_port

ONE, TWO = MemberId(1), MemberId(2)


class Inbox:
    def __init__(self) -> None:
        self.seen: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()

    def peer_connected(self, member: MemberId) -> None:
        self.seen.put_nowait(("up", member))

    def peer_disconnected(self, member: MemberId) -> None:
        self.seen.put_nowait(("down", member))

    def peer_message(self, member: MemberId, channel: Channel, payload: bytes) -> None:
        self.seen.put_nowait((member, channel, payload))

    def peer_refused(self, member: MemberId, reason: Refusal) -> None:
        self.seen.put_nowait(("refused", member, reason))


class Member:
    def __init__(self, member: int, port: int, cluster: int = 7) -> None:
        self.inbox = Inbox()
        self.url = f"http://127.0.0.1:{port}"
        self.transport = PeerTransport(
            PeerIdentity(ClusterId(cluster), MemberId(member), incarnation=9),
            self.inbox,
            SystemClock(),
            SystemEntropy(),
            limits=Limits(),
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        ready = asyncio.Event()
        task = asyncio.ensure_future(self.transport.run([self.url], ready=ready))
        await asyncio.wait_for(ready.wait(), 5)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await asyncio.sleep(0)

    async def next(self) -> tuple[object, ...]:
        return await asyncio.wait_for(self.inbox.seen.get(), 10)


def pair(*, other_cluster: int = 7) -> tuple[Member, Member]:
    base = free_base_port(2)
    one, two = Member(1, base), Member(2, base + 10, cluster=other_cluster)
    one.transport.set_peers({ONE: (one.url,), TWO: (two.url,)})
    two.transport.set_peers({ONE: (one.url,), TWO: (two.url,)})
    return one, two


async def test_a_link_carries_messages_of_any_size_both_ways() -> None:
    one, two = pair()
    async with one.running(), two.running():
        assert await one.next() == ("up", TWO)
        assert await two.next() == ("up", ONE)
        large = bytes(3_000_000)
        assert one.transport.send(TWO, Channel.FORWARD, large)
        assert one.transport.send(TWO, Channel.RAFT, b"beat")
        assert two.transport.send(ONE, Channel.LEASE, b"renew")
        assert {await two.next(), await two.next()} == {
            (ONE, Channel.RAFT, b"beat"),
            (ONE, Channel.FORWARD, large),
        }
        assert await one.next() == (TWO, Channel.LEASE, b"renew")


async def test_a_link_may_go_over_unix_sockets(tmp_path: Path) -> None:
    one, two = pair()
    for member, name in ((one, "one"), (two, "two")):
        member.url = f"unix://{tmp_path / name}"
    one.transport.set_peers({TWO: (two.url,)})
    two.transport.set_peers({ONE: (one.url,)})
    async with one.running(), two.running():
        assert await one.next() == ("up", TWO)
        assert await two.next() == ("up", ONE)
        one.transport.send(TWO, Channel.RAFT, b"x")
        assert await two.next() == (ONE, Channel.RAFT, b"x")


async def test_a_member_that_restarts_is_linked_again() -> None:
    one, two = pair()
    async with one.running():
        async with two.running():
            assert await one.next() == ("up", TWO)
        assert await one.next() == ("down", TWO)
        assert not one.transport.send(TWO, Channel.RAFT, b"lost")
        again = Member(2, int(two.url.rsplit(":", 1)[1]))
        again.transport.set_peers({ONE: (one.url,)})
        async with again.running():
            assert await one.next() == ("up", TWO)
            assert one.transport.send(TWO, Channel.RAFT, b"back")
            assert [await again.next(), await again.next()] == [
                ("up", ONE),
                (ONE, Channel.RAFT, b"back"),
            ]


async def test_a_member_of_another_cluster_is_told_that_it_is() -> None:
    one, two = pair(other_cluster=8)
    one.transport.set_peers({})
    async with one.running(), two.running():
        assert await two.next() == ("refused", ONE, Refusal.WRONG_CLUSTER)


async def test_a_removed_member_is_told_that_it_is() -> None:
    one, two = pair()
    one.transport.removed = frozenset({TWO})
    one.transport.set_peers({})
    async with one.running(), two.running():
        assert await two.next() == ("refused", ONE, Refusal.REMOVED)


async def test_a_peer_that_is_dropped_is_unlinked() -> None:
    one, two = pair()
    async with one.running(), two.running():
        assert await one.next() == ("up", TWO)
        one.transport.set_peers({})
        assert await one.next() == ("down", TWO)
        assert not one.transport.is_linked(TWO)


async def test_when_half_a_link_breaks_the_other_half_ends() -> None:
    one, two = pair()
    async with one.running(), two.running():
        assert await one.next() == ("up", TWO)
        assert await two.next() == ("up", ONE)
        link = two.transport._links[ONE]
        incoming, outgoing = link.incoming, link.outgoing
        assert incoming is not None
        assert outgoing is not None
        incoming.abort()
        assert await two.next() == ("down", ONE)
        assert outgoing.is_over.is_set(), "nothing of it may arrive during the next link"
        assert await two.next() == ("up", ONE)
