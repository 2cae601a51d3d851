"""kvstore.raft.peer_session: frames, hellos, limits, deadlines."""

import pytest

from kvstore.base.errors import ProtocolError
from kvstore.base.ids import ClusterId, MemberId
from kvstore.base.limits import Limits
from kvstore.raft.peer_session import (
    Channel,
    Event,
    Greeted,
    Message,
    PeerIdentity,
    PeerRefused,
    PeerSession,
    PeerSilent,
    Refusal,
    Refused,
)

ONE, TWO = MemberId(1), MemberId(2)
LIMITS = Limits(peer_frame_bytes_max=1000, peer_window_bytes=1000, forwarded_bytes_max=5000)


def identity(member: int, cluster: int = 7) -> PeerIdentity:
    return PeerIdentity(ClusterId(cluster), MemberId(member), incarnation=member + 100)


def dialler(**changes: int) -> PeerSession:
    return PeerSession(identity(1, **changes), dialled=TWO, limits=LIMITS, now=0.0)


def acceptor(member: int = 2, removed: frozenset[MemberId] = frozenset()) -> PeerSession:
    return PeerSession(identity(member), dialled=None, removed=removed, limits=LIMITS, now=0.0)


def pump(sender: PeerSession, receiver: PeerSession, chunk: int = 1 << 20) -> list[Event]:
    events: list[Event] = []
    while data := sender.data_to_send():
        for start in range(0, len(data), chunk):
            events += receiver.receive_data(data[start : start + chunk], now=0.0)
    return events


def connected() -> tuple[PeerSession, PeerSession]:
    one, two = dialler(), acceptor()
    assert pump(one, two) == [Greeted(ONE, 101)]
    assert pump(two, one) == [Greeted(TWO, 102)]
    return one, two


def test_both_sides_learn_who_the_other_is() -> None:
    one, two = connected()
    assert (one.peer, two.peer) == (TWO, ONE)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_messages_arrive_whole_and_in_order_however_the_bytes_are_split(chunk: int) -> None:
    one, two = connected()
    payloads = [b"", b"x", bytes(range(256)) * 10, b"end"]
    for payload in payloads:
        assert one.send(Channel.RAFT, payload)
    assert pump(one, two, chunk) == [Message(Channel.RAFT, payload) for payload in payloads]


@pytest.mark.parametrize("channel", [one for one in Channel if one is not Channel.CONTROL])
def test_every_channel_is_carried(channel: Channel) -> None:
    one, two = connected()
    assert one.send(channel, b"x")
    assert pump(one, two) == [Message(channel, b"x")]


def test_a_raft_message_overtakes_a_snapshot_after_one_frame() -> None:
    one, two = connected()
    one.send(Channel.SNAPSHOT, b"s" * 3000)
    first = two.receive_data(one.data_to_send(), now=0.0)
    one.send(Channel.RAFT, b"beat")
    second = two.receive_data(one.data_to_send(), now=0.0)
    assert (first, second) == ([], [Message(Channel.RAFT, b"beat")])
    assert pump(one, two) == [Message(Channel.SNAPSHOT, b"s" * 3000)]


def test_nothing_is_sent_before_the_peer_is_known() -> None:
    one, two = dialler(), acceptor()
    one.send(Channel.RAFT, b"early")
    assert pump(one, two) == [Greeted(ONE, 101)]
    pump(two, one)
    assert pump(one, two) == [Message(Channel.RAFT, b"early")]


def test_a_full_queue_drops_what_raft_would_send_again() -> None:
    one, two = connected()
    accepted = [one.send(Channel.RAFT, b"r" * 900) for _ in range(6)]
    assert accepted == [True] * 4 + [False] * 2
    assert len(pump(one, two)) == 4
    assert one.send(Channel.RAFT, b"r" * 900)


def test_a_message_larger_than_its_queue_still_goes_alone() -> None:
    one, two = connected()
    assert one.send(Channel.RAFT, b"r" * 50_000)
    assert not one.send(Channel.RAFT, b"second")
    assert pump(one, two) == [Message(Channel.RAFT, b"r" * 50_000)]


@pytest.mark.parametrize(
    ("one", "two", "reason"),
    [
        (dialler(cluster=8), acceptor(), Refusal.WRONG_CLUSTER),
        (dialler(), acceptor(member=3), Refusal.WRONG_MEMBER),
        (dialler(), acceptor(removed=frozenset({ONE})), Refusal.REMOVED),
    ],
)
def test_a_wrong_peer_is_refused_and_told_why(
    one: PeerSession, two: PeerSession, reason: Refusal
) -> None:
    with pytest.raises(PeerRefused) as caught:
        pump(one, two)
    assert caught.value.reason is reason
    assert one.receive_data(two.data_to_send(), now=0.0) == [Refused(reason)]


def test_another_member_at_the_dialled_address_is_not_taken_for_the_right_one() -> None:
    one = dialler()
    impostor = PeerSession(identity(3), dialled=ONE, limits=LIMITS, now=0.0)
    with pytest.raises(PeerRefused):
        pump(impostor, one)


def test_a_flipped_bit_closes_the_connection() -> None:
    one, two = connected()
    one.send(Channel.RAFT, b"payload")
    data = bytearray(one.data_to_send())
    for position in range(len(data)):
        damaged = bytes(data[:position]) + bytes([data[position] ^ 1]) + bytes(data[position + 1 :])
        _, fresh = connected()
        events: list[Event] = []
        try:
            events = fresh.receive_data(damaged, now=0.0)
        except ProtocolError:
            continue
        assert events == [], "a damaged length may only make it wait for more"
    assert two.receive_data(bytes(data), now=0.0) == [Message(Channel.RAFT, b"payload")]


def test_a_frame_over_the_limit_is_refused_by_its_head_alone() -> None:
    _, two = connected()
    with pytest.raises(ProtocolError, match="frame of 1001 bytes"):
        two.receive_data((1001).to_bytes(4, "little") + bytes(6), now=0.0)


def test_a_message_before_the_hello_is_refused() -> None:
    one, _ = connected()
    one.send(Channel.RAFT, b"payload")
    with pytest.raises(ProtocolError, match="before the hello"):
        acceptor().receive_data(one.data_to_send(), now=0.0)


def test_an_http_client_is_refused() -> None:
    with pytest.raises(ProtocolError):
        acceptor().receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", now=0.0)


def test_a_quiet_connection_is_kept_by_pings() -> None:
    one, two = connected()
    now = 0.0
    while now < 60.0:
        now = min(one.next_deadline(), two.next_deadline())
        one.handle_deadline(now)
        two.handle_deadline(now)
        two.receive_data(one.data_to_send(), now)
        one.receive_data(two.data_to_send(), now)


def test_a_silent_peer_is_given_up() -> None:
    one, two = connected()
    for session in (one, two):
        while (deadline := session.next_deadline()) < 5.0:
            session.handle_deadline(deadline)
        with pytest.raises(PeerSilent):
            session.handle_deadline(5.0)


def test_a_member_that_was_born_anew_is_refused_by_who_knows_its_former_birth() -> None:
    """It has lost what it promised: its votes and acknowledgements must not count again."""
    reborn = PeerSession(identity(1)._replace(birth=11), dialled=TWO, limits=LIMITS, now=0.0)
    knowing = PeerSession(
        identity(2), dialled=None, birth_of={ONE: 10}.__getitem__, limits=LIMITS, now=0.0
    )

    with pytest.raises(PeerRefused, match="lost its data"):
        pump(reborn, knowing)

    assert pump(knowing, reborn) == [Refused(Refusal.ALREADY_BOOTSTRAPPED)]


@pytest.mark.parametrize("published", [0, 10])
def test_a_member_whose_birth_is_the_published_one_or_not_known_yet_is_greeted(
    published: int,
) -> None:
    coming = PeerSession(identity(1)._replace(birth=10), dialled=TWO, limits=LIMITS, now=0.0)
    knowing = PeerSession(
        identity(2), dialled=None, birth_of=lambda _: published, limits=LIMITS, now=0.0
    )

    assert pump(coming, knowing) == [Greeted(ONE, 101)]
