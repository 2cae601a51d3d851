"""SPDY: what a client sends is what the session says, however cut; garbage is an error."""

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.streaming.spdy import (
    HEADER_BLOCK_BYTES_MAX,
    STREAMS_MAX,
    Event,
    HeaderBlocks,
    Opened,
    Received,
    Reset,
    ServerSession,
    SpdyError,
)

SYN_STREAM, SYN_REPLY, RST_STREAM, PING = 1, 2, 3, 6
FIN = 1


def control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body


def data(stream: int, content: bytes, flags: int = 0) -> bytes:
    return struct.pack(">II", stream, flags << 24 | len(content)) + content


class Client:
    """Makes frames as a client does."""

    def __init__(self) -> None:
        self.blocks = HeaderBlocks()

    def open(self, stream: int, headers: dict[str, str], flags: int = 0) -> bytes:
        body = struct.pack(">IIBB", stream, 0, 0, 0) + self.blocks.pack(headers)
        return control(SYN_STREAM, body, flags)


def joined(events: Sequence[Event]) -> list[Event]:
    """Put pieces of one stream that follow each other together."""
    found: list[Event] = []
    for event in events:
        last = found[-1] if found else None
        if (
            isinstance(event, Received)
            and isinstance(last, Received)
            and last.stream == event.stream
            and not last.is_last
        ):
            found[-1] = Received(event.stream, last.data + event.data, event.is_last)
        else:
            found.append(event)
    return found


def frames(sent: bytes) -> list[tuple[int, bytes]]:
    found = []
    while sent:
        word, size = struct.unpack_from(">II", sent)
        size &= 0xFFFFFF
        found.append((word, sent[8 : 8 + size]))
        sent = sent[8 + size :]
    return found


@given(cuts=st.lists(st.integers(1, 40)), contents=st.lists(st.binary(max_size=60), max_size=6))
def test_streams_say_the_same_however_their_bytes_are_cut(
    cuts: list[int], contents: list[bytes]
) -> None:
    client = Client()
    sent = client.open(1, {"streamtype": "data", "port": "80"}) + client.open(3, {"a": "b"}, FIN)
    sent += b"".join(data(1, content) for content in contents) + data(1, b"", FIN)
    session = ServerSession()
    events: list[Event] = []
    at = 0
    for cut in cuts:
        events += session.receive(sent[at : at + cut])
        at += cut
    events += session.receive(sent[at:])
    assert joined(events) == [
        Opened(1, {"streamtype": "data", "port": "80"}),
        Opened(3, {"a": "b"}),
        Received(3, b"", is_last=True),
        Received(1, b"".join(contents), is_last=True),
    ]


def test_an_opened_stream_is_answered_and_a_ping_too() -> None:
    session = ServerSession()
    session.receive(Client().open(1, {}) + control(PING, struct.pack(">I", 7)))
    kinds = [word & 0xFFFF for word, _ in frames(session.data_to_send())]
    assert kinds == [SYN_REPLY, PING]


def test_a_stream_that_was_reset_takes_and_gives_nothing_more() -> None:
    session = ServerSession()
    session.receive(Client().open(1, {}))
    assert session.receive(control(RST_STREAM, struct.pack(">II", 1, 5))) == [Reset(1)]
    session.data_to_send()
    session.send(1, b"late")
    assert session.data_to_send() == b""
    assert session.receive(data(1, b"late")) == []


def test_large_output_goes_in_frames_and_ends_once() -> None:
    session = ServerSession()
    session.receive(Client().open(1, {}))
    session.data_to_send()
    session.send(1, b"x" * 100_000, is_last=True)
    session.send(1, b"y", is_last=True)
    sent = frames(session.data_to_send())
    assert b"".join(content for _, content in sent) == b"x" * 100_000
    assert [content for _, content in sent if not content] == [b""]


def test_too_many_open_streams_are_refused_and_the_others_go_on() -> None:
    session, client = ServerSession(), Client()
    for number in range(STREAMS_MAX + 1):
        session.receive(client.open(2 * number + 1, {}))
    kinds = [word & 0xFFFF for word, _ in frames(session.data_to_send())]
    assert kinds == [SYN_REPLY] * STREAMS_MAX + [RST_STREAM]
    assert session.receive(data(1, b"x")) == [Received(1, b"x")]


def test_a_header_block_that_unfolds_without_end_is_an_error() -> None:
    with pytest.raises(SpdyError, match="more than"):
        ServerSession().receive(Client().open(1, {"a": "x" * 2 * HEADER_BLOCK_BYTES_MAX}))


@settings(max_examples=300)
@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_an_error_or_nothing(garbage: bytes, looks_like_control: bool) -> None:
    head = b"\x80\x03\x00\x01" if looks_like_control else b""
    try:
        ServerSession().receive(head + garbage)
    except SpdyError:
        return
