import gzip
import zlib

import pytest

from kvstore.base.errors import Code
from kvstore.wire.grpc.framing import BadMessage, MessageReader, gunzipped
from tests.support.http2_pair import message


def reader(encoding: str | None = None) -> MessageReader:
    return MessageReader(message_bytes_max=1000, encoding=encoding)


def test_one_message_in_one_piece() -> None:
    assert list(reader().messages(message(b"abc"))) == [b"abc"]


def test_messages_are_cut_out_of_any_pieces() -> None:
    data = message(b"abc") + message(b"") + message(b"x" * 300)
    for step in (1, 2, 7, 100, 400):
        got = reader()
        found = [m for i in range(0, len(data), step) for m in got.messages(data[i : i + step])]
        assert found == [b"abc", b"", b"x" * 300]
        assert got.held_bytes == 0


def test_what_is_unfinished_is_held() -> None:
    got = reader()
    assert list(got.messages(message(b"abc")[:6])) == []
    assert got.held_bytes == 6


@pytest.mark.parametrize("sent", [5, 1006])
def test_a_message_over_the_limit_is_refused_at_its_prefix(sent: int) -> None:
    with pytest.raises(BadMessage) as refusal:
        list(reader().messages(message(b"x" * 1001)[:sent]))
    assert refusal.value.code is Code.RESOURCE_EXHAUSTED
    assert refusal.value.text == "grpc: received message larger than max (1001 vs. 1000)"


def test_gzip_is_inflated() -> None:
    data = message(gzip.compress(b"abc" * 100), flag=1)
    assert list(reader("gzip").messages(data)) == [b"abc" * 100]


def test_a_plain_message_among_gzip_is_taken_as_it_is() -> None:
    assert list(reader("gzip").messages(message(b"abc"))) == [b"abc"]


@pytest.mark.parametrize("encoding", [None, "identity"])
def test_the_compressed_flag_without_an_encoding_is_refused(encoding: str | None) -> None:
    with pytest.raises(BadMessage, match="compressed flag set with identity or empty encoding"):
        list(reader(encoding).messages(message(b"abc", flag=1)))


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(BadMessage, match="unexpected payload format 2"):
        list(reader("gzip").messages(message(b"abc", flag=2)))


def test_a_bomb_is_refused_without_inflating_it() -> None:
    with pytest.raises(BadMessage) as refusal:
        gunzipped(gzip.compress(b"\0" * 1_000_000), 1000)
    assert refusal.value.code is Code.RESOURCE_EXHAUSTED


def test_a_message_of_exactly_the_limit_is_inflated() -> None:
    assert len(gunzipped(gzip.compress(b"\0" * 1000), 1000)) == 1000


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", gzip.compress(b"abc")[:-3], zlib.compress(b"abc")],
    ids=["empty", "nonsense", "cut short", "zlib"],
)
def test_what_is_not_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage) as refusal:
        gunzipped(body, 1000)
    assert refusal.value.code is Code.INTERNAL
