"""One connection between two members, sans-I/O: bytes in, events out; messages in, bytes out.

A connection carries messages one way, from the member that dialled to the one that accepted; only
greetings, pongs and refusals go back. Each side says hello first. A message is cut into frames:

    0        4         8        9       10
    | length | crc32c  | channel| flags | payload, `length` bytes ...   (little-endian)

The CRC covers channel, flags and payload. Flag 1: the message goes on in the channel's next frame.
Frames of different channels may alternate: a long message delays the others by a frame at most.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct, error
from typing import NamedTuple

from google_crc32c import extend, value

from kvstore.base.errors import ProtocolError
from kvstore.base.ids import ClusterId, MemberId
from kvstore.base.limits import KIB, MIB, Limits

PROTOCOL_VERSION = 1


class Channel(IntEnum):
    """What a message is about; bulk (snapshots) goes last."""

    RAFT = 0
    FORWARD = 1
    LEASE = 2
    SNAPSHOT = 3
    CLUSTER = 4
    HASH = 5
    CONTROL = 255


class Refusal(IntEnum):
    """Why a member does not talk to another."""

    WRONG_CLUSTER = 1
    WRONG_VERSION = 2
    WRONG_MEMBER = 3
    REMOVED = 4
    ALREADY_BOOTSTRAPPED = 5
    """The member is known, but with other data: it has lost what it promised."""


class PeerIdentity(NamedTuple):
    """Who a member is; `incarnation` is drawn at each start, `birth` with the data directory."""

    cluster_id: ClusterId
    member_id: MemberId
    incarnation: int
    birth: int = 0


class Greeted(NamedTuple):
    """The other side has proved to be what it should be."""

    member: MemberId
    incarnation: int


class Message(NamedTuple):
    """A whole message."""

    channel: Channel
    payload: bytes


class Refused(NamedTuple):
    """The other side will not talk to this member."""

    reason: Refusal


Event = Greeted | Message | Refused


class PeerRefused(ProtocolError):
    """This side will not talk to the other; its bytes still to be sent say why."""

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class PeerSilent(ProtocolError):
    """Nothing was heard for too long."""


FRAME = Struct("<IIBB")
_MORE = 1
_HELLO = Struct("<B8sHQQQQQ")
_MAGIC = b"kvs-peer"
_REFUSE = Struct("<BB")
_HELLO_KIND, _PING_KIND, _PONG_KIND, _REFUSE_KIND = 1, 2, 3, 4
_PING, _PONG = bytes([_PING_KIND]), bytes([_PONG_KIND])
_QUESTION_KIND, DESCRIPTION_KIND = 5, 6
QUESTION = Struct("<B8sH").pack(_QUESTION_KIND, _MAGIC, PROTOCOL_VERSION)
"""Asks, in place of a hello, which cluster this is: see `peer_discovery`."""

_MESSAGE_BYTES_MAX = 64 * MIB
"""Larger than any entry or batch can be; a peer cannot make us hold more per channel."""
_PING_INTERVAL_S = 1.0
_SILENCE_S = 5.0
_WRITE_BYTES = 512 * KIB
_CHANNELS = {int(channel): channel for channel in Channel}
_SEEDS = {
    (channel, flags): value(bytes((channel, flags)))
    for channel in _CHANNELS
    for flags in (0, _MORE)
}
"""Where the CRC of a frame's payload goes on from."""
_QUEUED = tuple(one for one in Channel if one not in (Channel.SNAPSHOT, Channel.CONTROL))
"""The small channels, in the order in which they are written."""


@dataclass(slots=True)
class _Queue:
    """Whole messages on their way out, the first one perhaps partly sent."""

    messages: deque[bytes] = field(default_factory=deque)
    sent: int = 0
    bytes_queued: int = 0


class PeerSession:
    """One connection.

    Invariant: nothing is accepted but a hello until the other side's hello was found right.
    """

    def __init__(  # noqa: PLR0913 - each says another thing of the connection
        self,
        identity: PeerIdentity,
        *,
        dialled: MemberId | None,
        removed: frozenset[MemberId] = frozenset(),
        birth_of: Callable[[MemberId], int] = lambda member: 0,
        describe: Callable[[], bytes] = bytes,
        limits: Limits,
        now: float,
    ) -> None:
        """Begin a connection to `dialled`, or one that was accepted (None).

        `birth_of` returns the birth that a member has published, 0 if it has not; `describe` the
        answer to one that wants to join, empty if there is none.
        """
        self._describe = describe
        self._birth_of = birth_of
        self._identity = identity
        self._dialled = dialled
        self._removed = removed
        self._frame_bytes_max = limits.peer_frame_bytes_max
        # A raft message that finds no room is dropped: Raft notices, and sends it again. The other
        # channels refuse, and their senders know what to do.
        self._queue_bytes_max = {
            Channel.RAFT: 4 * limits.peer_window_bytes,
            Channel.FORWARD: limits.forwarded_bytes_max,
            Channel.LEASE: 4 * MIB,
            Channel.CLUSTER: 4 * MIB,
            Channel.HASH: MIB,
            Channel.SNAPSHOT: 4 * limits.peer_frame_bytes_max,
        }
        self._queues = {channel: _Queue() for channel in self._queue_bytes_max}
        self._messages_queued = 0
        self._control: list[bytes] = []
        self._peer: MemberId | None = None
        self._received = bytearray()
        self._partial: dict[Channel, list[bytes]] = {}
        self._heard_at = now
        self._pinged_at = now
        if dialled is not None:
            self._say_hello(dialled)

    @property
    def peer(self) -> MemberId | None:
        """The other side, once greeted."""
        return self._peer

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the connection.

        Raises:
            ProtocolError: close the connection, after sending what is still to be sent.
        """
        self._heard_at = now
        received: bytes | bytearray = data
        if self._received:
            # The rest of a long frame; most come whole, and are not copied.
            self._received += data
            received = self._received
        events: list[Event] = []
        offset = 0
        while len(received) - offset >= FRAME.size:
            length, crc, channel_id, flags = FRAME.unpack_from(received, offset)
            if length > self._frame_bytes_max:
                raise ProtocolError(f"frame of {length} bytes, {self._frame_bytes_max} allowed")
            start = offset + FRAME.size
            end = start + length
            if len(received) < end:
                break
            channel, seed = _CHANNELS.get(channel_id), _SEEDS.get((channel_id, flags))
            if channel is None or seed is None:
                raise ProtocolError(f"frame on channel {channel_id} with flags {flags}")
            payload = bytes(received[start:end])
            if extend(seed, payload) != crc:
                raise ProtocolError("frame with a wrong checksum")
            offset = end
            event = self._take_frame(channel, payload, is_more=bool(flags))
            if event is not None:
                events.append(event)
        if received is self._received:
            del self._received[:offset]
        else:
            self._received += data[offset:]
        return events

    def send(self, channel: Channel, payload: bytes) -> bool:
        """Queue a message; False: there is no room, and it is dropped."""
        queue = self._queues[channel]
        if queue.messages and queue.bytes_queued + len(payload) > self._queue_bytes_max[channel]:
            return False
        queue.messages.append(payload)
        queue.bytes_queued += FRAME.size + len(payload)
        self._messages_queued += 1
        return True

    def has_room(self, channel: Channel) -> bool:
        """Whether a frame more of bulk can be queued."""
        return self._queues[channel].bytes_queued < self._queue_bytes_max[channel]

    def data_to_send(self) -> bytes:
        """Return what to write next, a bounded amount; b"" if nothing waits.

        Control and the small channels first; of a snapshot one frame, so that a heartbeat never
        waits for more than that.
        """
        parts = self._control
        self._control = []
        if self._peer is None or not self._messages_queued:
            return b"".join(parts)
        size = 0
        for channel in _QUEUED:
            queue = self._queues[channel]
            while queue.messages and size < _WRITE_BYTES:
                size += self._next_frame(channel, queue, parts)
        bulk = self._queues[Channel.SNAPSHOT]
        if bulk.messages and size < _WRITE_BYTES:
            self._next_frame(Channel.SNAPSHOT, bulk, parts)
        return b"".join(parts)

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would return anything."""
        if self._control:
            return True
        return self._peer is not None and self._messages_queued > 0

    def next_deadline(self) -> float:
        """When `handle_deadline` is due."""
        silence = self._heard_at + _SILENCE_S
        if self._dialled is None:
            return silence
        return min(silence, self._pinged_at + _PING_INTERVAL_S)

    def handle_deadline(self, now: float) -> None:
        """Ping a peer, or give it up.

        Raises:
            PeerSilent: nothing was heard for too long; close the connection.
        """
        if now - self._heard_at >= _SILENCE_S:
            raise PeerSilent(f"nothing heard for {_SILENCE_S:.0f} s")
        if self._dialled is not None and now - self._pinged_at >= _PING_INTERVAL_S:
            self._pinged_at = now
            self._send_control(_PING)

    # --- frames ---------------------------------------------------------------------------------

    def _next_frame(self, channel: Channel, queue: _Queue, parts: list[bytes]) -> int:
        message = queue.messages[0]
        start, size_max = queue.sent, self._frame_bytes_max
        is_last = len(message) - start <= size_max
        payload = message[start : start + size_max] if start or not is_last else message
        _put_frame(channel, 0 if is_last else _MORE, payload, parts)
        if is_last:
            queue.messages.popleft()
            self._messages_queued -= 1
            queue.sent = 0
            queue.bytes_queued -= FRAME.size + len(message)
        else:
            queue.sent = start + size_max
        return len(payload) + FRAME.size

    def _take_frame(self, channel: Channel, payload: bytes, *, is_more: bool) -> Event | None:
        if channel is Channel.CONTROL:
            return self._take_control(payload)
        if self._peer is None:
            raise ProtocolError("a message before the hello")
        if self._dialled is not None:
            raise ProtocolError("a message from the side that was dialled")
        partial = self._partial.get(channel)
        if partial is None and not is_more:
            return Message(channel, payload)
        if partial is None:
            partial = self._partial[channel] = []
        partial.append(payload)
        if len(partial) * self._frame_bytes_max > _MESSAGE_BYTES_MAX:
            raise ProtocolError(f"message of more than {_MESSAGE_BYTES_MAX} bytes")
        if is_more:
            return None
        del self._partial[channel]
        return Message(channel, b"".join(partial))

    # --- control --------------------------------------------------------------------------------

    def _take_control(self, payload: bytes) -> Event | None:
        kind = payload[0] if payload else 0
        try:
            if kind == _HELLO_KIND:
                return self._take_hello(*_HELLO.unpack(payload)[1:])
            if kind == _REFUSE_KIND:
                return Refused(Refusal(_REFUSE.unpack(payload)[1]))
        except (error, ValueError) as problem:
            raise ProtocolError(f"malformed control message: {problem}") from problem
        if payload == QUESTION and self._dialled is None and self._peer is None:
            self._send_control(bytes([DESCRIPTION_KIND]) + self._describe())
            return None
        if self._peer is None:
            raise ProtocolError("control before the hello")
        if payload == _PING:
            self._send_control(_PONG)
        elif payload != _PONG:
            raise ProtocolError(f"control message of unknown kind {kind}")
        return None

    def _take_hello(  # noqa: PLR0913, PLR0917 - the fields of the message
        self,
        magic: bytes,
        version: int,
        cluster_id: int,
        member_id: int,
        incarnation: int,
        birth: int,
        wanted: int,
    ) -> Greeted:
        if self._peer is not None:
            raise ProtocolError("a second hello")
        if magic != _MAGIC:
            raise ProtocolError("not a peer of ours: bad magic")
        mine, peer = self._identity, MemberId(member_id)
        if version != PROTOCOL_VERSION:
            text = f"peer {peer:x} speaks version {version}, this member {PROTOCOL_VERSION}"
            self._refuse(Refusal.WRONG_VERSION, text)
        if cluster_id != mine.cluster_id:
            text = f"peer {peer:x} belongs to cluster {cluster_id:x}, not {mine.cluster_id:x}"
            self._refuse(Refusal.WRONG_CLUSTER, text)
        if peer in self._removed:
            self._refuse(Refusal.REMOVED, f"peer {peer:x} was removed from the cluster")
        if wanted != mine.member_id or peer in {0, mine.member_id}:
            text = f"peer {peer:x} looks for {wanted:x}, this is member {mine.member_id:x}"
            self._refuse(Refusal.WRONG_MEMBER, text)
        if self._birth_of(peer) not in {0, birth}:
            text = f"peer {peer:x} has lost its data: it was born anew"
            self._refuse(Refusal.ALREADY_BOOTSTRAPPED, text)
        if self._dialled not in {None, peer}:
            text = f"peer {peer:x} answers in place of {self._dialled:x}"
            self._refuse(Refusal.WRONG_MEMBER, text)
        self._peer = peer
        if self._dialled is None:
            self._say_hello(peer)
        return Greeted(peer, incarnation)

    def _say_hello(self, peer: MemberId) -> None:
        mine = self._identity
        self._send_control(
            _HELLO.pack(
                _HELLO_KIND,
                _MAGIC,
                PROTOCOL_VERSION,
                mine.cluster_id,
                mine.member_id,
                mine.incarnation,
                mine.birth,
                peer,
            )
        )

    def _refuse(self, reason: Refusal, text: str) -> None:
        self._send_control(_REFUSE.pack(_REFUSE_KIND, reason))
        raise PeerRefused(reason, text)

    def _send_control(self, payload: bytes) -> None:
        _put_frame(Channel.CONTROL, 0, payload, self._control)


def control_frame(payload: bytes) -> bytes:
    """Return a control message in its frame."""
    parts: list[bytes] = []
    _put_frame(Channel.CONTROL, 0, payload, parts)
    return b"".join(parts)


def frame_payload(head: bytes, payload: bytes) -> tuple[int, bytes]:
    """Return the channel and the payload of a whole frame.

    Raises:
        ProtocolError: its checksum is wrong.
    """
    _, crc, channel, flags = FRAME.unpack(head)
    if extend(value(bytes((channel, flags))), payload) != crc:
        raise ProtocolError("frame with a wrong checksum")
    return channel, payload


def _put_frame(channel: Channel, flags: int, payload: bytes, parts: list[bytes]) -> None:
    crc = extend(_SEEDS[channel, flags], payload)
    parts.append(FRAME.pack(len(payload), crc, channel, flags))
    parts.append(payload)
