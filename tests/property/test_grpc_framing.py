"""Messages come out of any cut as they went in."""

import gzip
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kvstore.wire.grpc.framing import BadMessage, MessageReader
from kvstore.wire.grpc.metadata import BadMetadata, metadata_of, percent_encoded, timeout_s
from tests.support.http2_pair import message

MESSAGES = st.lists(st.tuples(st.binary(max_size=50), st.booleans()), max_size=6)


@given(messages=MESSAGES, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_any_cut_gives_the_same_messages(
    messages: list[tuple[bytes, bool]], cuts: list[int]
) -> None:
    data = b"".join(
        message(gzip.compress(body), flag=1) if is_packed else message(body)
        for body, is_packed in messages
    )
    reader = MessageReader(message_bytes_max=100, encoding="gzip")
    edges = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    found = [one for start, end in pairwise(edges) for one in reader.messages(data[start:end])]
    assert found == [body for body, _ in messages]
    assert reader.held_bytes == 0


@given(data=st.binary(max_size=200), encoding=st.sampled_from([None, "gzip"]))
def test_any_bytes_are_cut_or_refused_and_little_is_held(data: bytes, encoding: str | None) -> None:
    reader = MessageReader(message_bytes_max=20, encoding=encoding)
    try:
        for _ in reader.messages(data):
            pass
    except BadMessage:
        return
    assert reader.held_bytes < 25


@given(text=st.text())
def test_status_texts_are_printable_ascii_and_decode_to_the_text(text: str) -> None:
    encoded = percent_encoded(text)
    assert all(0x20 <= byte < 0x7F for byte in encoded)
    out = bytearray()
    place = 0
    while place < len(encoded):
        if encoded[place : place + 1] == b"%":
            out.append(int(encoded[place + 1 : place + 3], 16))
            place += 3
        else:
            out.append(encoded[place])
            place += 1
    assert out.decode() == text


@given(text=st.text(max_size=12))
def test_any_header_text_is_read_or_refused(text: str) -> None:
    for read in (timeout_s, lambda value: metadata_of({"x-bin": value})):
        try:
            read(text)
        except BadMetadata:
            continue
