"""One real member between a client's socket and its peers', in one thread: to count and profile.

The member leads three; the other two are two functions that agree at once. Requests are the bytes
that a gRPC client sends on one connection, answers are the bytes that it would receive. Nothing
waits: a round gives the member a batch of requests in one piece and drives the loop until every
one of them is answered.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import hpack

from kvstore.base.clock import SystemClock
from kvstore.base.entropy import SystemEntropy
from kvstore.base.ids import ClusterId, MemberId
from kvstore.base.limits import Limits
from kvstore.member import MemberConfig
from kvstore.member.bootstrap import Identity, open_member
from kvstore.member.lmdb_keyspaces import LmdbKeyspaces
from kvstore.member.node import Node
from kvstore.raft import peer_message as wire
from kvstore.raft.consensus import Membership
from kvstore.raft.peer_session import Channel
from kvstore.raft.pysyncobj_engine import PySyncObjEngine
from kvstore.raft.timing import RaftTiming
from kvstore.rpc.header import ResponseHeaders
from kvstore.rpc.health_checks import HealthChecks
from kvstore.rpc.http import HttpRoutes
from kvstore.server.auth_settings import AuthSettings
from kvstore.server.listener import Connection, Listener
from kvstore.server.runtime import LoopScheduler
from kvstore.server.services import Services
from kvstore.wal import RealDisk
from kvstore.wire.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    FRAME_HEAD_BYTES,
    HEADERS,
    PREFACE,
    Setting,
    frame,
    settings_frame,
    window_update_frame,
)

ME, OTHERS = MemberId(1), (MemberId(2), MemberId(3))

_Result = TypeVar("_Result")


class AgreeingPeers:
    """`PeerLinks` to members that vote for this one and have every entry on disk at once."""

    def __init__(self, soon: Callable[[Callable[[], None]], None]) -> None:
        self.receive: Callable[[MemberId, int, bytes], None] = lambda *_: None
        self.sent_bytes = 0
        self._soon = soon

    def set_peers(self, peer_urls: Mapping[MemberId, tuple[str, ...]]) -> None:
        pass

    def refuse(self, members: frozenset[MemberId]) -> None:
        pass

    def send(self, member: MemberId, channel: Channel, payload: bytes) -> bool:
        self.sent_bytes += len(payload)
        if channel is Channel.RAFT and (answer := _agreement(wire.decode(payload))) is not None:
            self._soon(lambda: self.receive(member, Channel.RAFT, wire.encode(answer)))
        return True

    def flush(self) -> None:
        pass

    def has_room(self, member: MemberId, channel: Channel) -> bool:
        return True

    def is_linked(self, member: MemberId) -> bool:
        return True


def _agreement(message: wire.PeerMessage) -> wire.PeerMessage | None:
    match message:
        case wire.Append(term=term, entries=entries) if entries:
            return wire.Ack(term, entries[-1].index)
        case wire.VoteRequest(term=term):
            return wire.Vote(term)
        case wire.PreVoteRequest(term=term):
            return wire.PreVote(term, term, granted=True)
        case wire.ReadPing(term=term, round=number):
            return wire.ReadPong(term, number)
    return None


class InlineWorker:
    """`Worker` that works in the loop's own thread, one iteration later."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.jobs = 0

    def submit(
        self, work: Callable[[], _Result], done: Callable[[_Result | BaseException], None]
    ) -> None:
        self.jobs += 1
        self._loop.call_soon(lambda: done(work()))


class PausedClock(SystemClock):
    """A clock that can stand still, so that no heartbeat falls into a round on a busy machine."""

    def __init__(self) -> None:
        self._stands_at: float | None = None

    def monotonic(self) -> float:
        return super().monotonic() if self._stands_at is None else self._stands_at

    def stop(self) -> None:
        self._stands_at = super().monotonic()


class RoundScheduler(LoopScheduler):
    """A scheduler for which what was put off is due when a round is over, however long it took."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._put_off: list[Callable[[], None]] = []

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._put_off.append(action)

    def end_round(self) -> None:
        put_off, self._put_off = self._put_off, []
        for action in put_off:
            action()


class ClientSocket(asyncio.Transport):
    """Where the member's answers to one connection go."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.cut_off: Callable[[], None] = lambda: None
        self.received = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        self.received += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def abort(self) -> None:
        self.cut_off()


class Answer:
    """What the client was answered to one call."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        """Trailers included."""
        self.body = b""

    @property
    def message(self) -> bytes:
        """The one message of a call that went well."""
        assert self.headers["grpc-status"] == "0", self.headers
        assert int.from_bytes(self.body[:5]) == len(self.body) - 5
        return self.body[5:]

    @property
    def refusal(self) -> str:
        """The text of a call that was refused."""
        assert not self.body
        return self.headers["grpc-message"]


class HotPath:
    """A leading member, and a client with one connection to it."""

    def __init__(self, directory: Path, *, limits: Limits | None = None) -> None:
        """Must be made on a running loop; `start` waits for the leadership."""
        self._loop = loop = asyncio.get_running_loop()
        self.clock = clock = PausedClock()
        entropy, limits = SystemEntropy(), limits or Limits()
        directory.mkdir(parents=True, exist_ok=True)
        identity = Identity(cluster_id=ClusterId(9), member_id=ME, birth=1)
        opened = open_member(
            identity,
            LmdbKeyspaces(directory, limits),
            directory / "wal",
            disk=RealDisk(),
            founders=Membership(voters=frozenset((ME, *OTHERS)), peer_urls={}),
            limits=limits,
            entropy=entropy,
        )
        timing = RaftTiming(heartbeat_s=0.02, election_s=10.0)
        headers = ResponseHeaders(identity.cluster_id, ME)
        self.scheduler = RoundScheduler(loop)
        self.peers = AgreeingPeers(self.scheduler.soon)
        self.log_worker = InlineWorker(loop)
        self.node = Node(
            MemberConfig(
                cluster_id=identity.cluster_id,
                member_id=ME,
                name="m1",
                client_urls=(),
                limits=limits,
            ),
            opened,
            lambda host: PySyncObjEngine(
                ME,
                opened.journal,
                host,
                clock,
                entropy,
                timing,
                applied=opened.applied,
                limits=limits,
            ),
            incarnation=1,
            links=self.peers,
            scheduler=self.scheduler,
            log_worker=self.log_worker,
            disk_worker=InlineWorker(loop),
            clock=clock,
            entropy=entropy,
            header=headers.field,
            stopped=self._stopped,
        )
        self.member = self.node.member
        self.peers.receive = self.member.receive
        services = Services(
            self.node,
            headers,
            entropy,
            auth=AuthSettings(bcrypt_cost=4),
            auth_worker=InlineWorker(loop),
        )
        http = HttpRoutes(self.member, HealthChecks(self.member), lambda: b"", dict, gateway=None)
        self.listener = Listener(services.methods, http.handle, limits=limits, clock=clock)
        self.socket = ClientSocket()
        self.connection = Connection(self.listener)
        self.connection.connection_made(self.socket)
        self.socket.cut_off = lambda: self.connection.connection_lost(None)
        self._next_stream = 1
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._blocks: dict[str, bytes] = {}
        self._failure: BaseException | None = None

    async def start(self) -> None:
        """Elect the member, and greet the client."""
        self.node.start()
        for peer in OTHERS:
            self.member.peer_connected(peer)
        while not self.member.consensus.is_own_term_committed:
            self.node.tick()
            await asyncio.sleep(0.01)
        window = settings_frame({Setting.INITIAL_WINDOW_SIZE: 2**30})
        self.connection.data_received(PREFACE + window + window_update_frame(0, 2**30))
        await self._iterate()
        self.clock.stop()

    def requests(self, path: str, messages: list[bytes]) -> bytes:
        """End the round before; return the bytes of these calls, each on a stream of its own."""
        self.scheduler.end_round()
        parts = []
        for message in messages:
            stream, self._next_stream = self._next_stream, self._next_stream + 2
            parts.append(frame(HEADERS, END_HEADERS, stream, self._block(path)))
            body = b"\0" + len(message).to_bytes(4, "big") + message
            parts.append(frame(DATA, END_STREAM, stream, body))
        return b"".join(parts)

    async def round(self, requests: bytes) -> bytes:
        """Send the bytes in one piece; return the bytes of all answers."""
        self.socket.received.clear()
        self.connection.data_received(requests)
        while self._open_streams:
            if self._failure is not None:
                raise self._failure
            await self._iterate()
        await self._iterate()  # in which the answers are written
        return bytes(self.socket.received)

    async def calls(self, path: str, messages: list[bytes]) -> list["Answer"]:
        """Make these calls in one piece; return their answers in order."""
        first = self._next_stream
        answers = self._answers(await self.round(self.requests(path, messages)))
        return [answers[first + 2 * number] for number in range(len(messages))]

    def _answers(self, data: bytes) -> dict[int, "Answer"]:
        answers: dict[int, Answer] = {}
        position = 0
        while position < len(data):
            length_kind, _, stream = FRAME_HEAD.unpack_from(data, position)
            start = position + FRAME_HEAD_BYTES
            position = start + (length_kind >> 8)
            answer = answers.setdefault(stream, Answer())
            if length_kind & 0xFF == HEADERS:
                answer.headers |= {
                    str(name): str(value)
                    for name, value in self._decoder.decode(data[start:position])
                }
            elif length_kind & 0xFF == DATA:
                answer.body += data[start:position]
        return answers

    async def close(self) -> None:
        """Stop the member and let go of its files."""
        await self.listener.close(grace_s=0.0)
        self.node.stop()
        self.node.close()

    @property
    def _open_streams(self) -> Mapping[int, object]:
        http2 = self.connection._http2
        assert http2 is not None
        return http2.sender.streams

    async def _iterate(self) -> None:
        await asyncio.sleep(0)

    def _block(self, path: str) -> bytes:
        """The header block of a call; the second of a path is all in the tables."""
        known = self._blocks.get(path)
        if known is not None:
            return known
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "bench"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        first, then = self._encoder.encode(fields), self._encoder.encode(fields)
        self._blocks = {path: then}  # what was put into the tables has moved the others
        return first

    def _stopped(self, failure: BaseException) -> None:
        self._failure = failure
