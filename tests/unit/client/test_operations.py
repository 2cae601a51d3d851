"""Keys, comparisons and leases, as values."""

import pytest

from kvstore.client import EVERYTHING, Value, Version, between, from_key, prefix
from kvstore.client.keys import Keys, on_the_wire
from kvstore.client.leasing import Renewal
from kvstore.wire.pb import rpc_pb2


@pytest.mark.parametrize(
    ("keys", "wire"),
    [
        ("é", ("é".encode(), b"")),
        (prefix("a"), (b"a", b"b")),
        (prefix(b"a\xff"), (b"a\xff", b"b")),
        (prefix(b"\xff"), (b"\xff", b"\x00")),
        (prefix(""), (b"\x00", b"\x00")),
        (EVERYTHING, (b"\x00", b"\x00")),
        (from_key("m"), (b"m", b"\x00")),
        (between("a", "c"), (b"a", b"c")),
    ],
)
def test_ranges_follow_etcds_conventions(keys: Keys, wire: tuple[bytes, bytes]) -> None:
    assert on_the_wire(keys) == wire


def test_a_comparison_is_a_message_and_never_a_truth_value() -> None:
    condition = Version("k") > 3
    assert condition.message == rpc_pb2.Compare(
        key=b"k", result=rpc_pb2.Compare.GREATER, target=rpc_pb2.Compare.VERSION, version=3
    )
    assert (Value("k") != "v").message.result == rpc_pb2.Compare.NOT_EQUAL
    with pytest.raises(TypeError):
        bool(condition)


def test_a_lease_is_believed_no_longer_than_since_its_renewal_was_sent() -> None:
    renewal = Renewal(9, granted_at=100.0)
    assert renewal.wait_s(100.0) == 3.0
    renewal.renewed(9, sent_at=103.0)
    assert renewal.remaining_s(110.0) == 2.0
    renewal.failed(111.0)
    assert not renewal.is_lost
    renewal.failed(112.0)
    assert renewal.is_lost
