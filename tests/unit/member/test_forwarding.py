import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvstore.apply.command import BatchId, OperationKind, encode_batch
from kvstore.base.errors import ProtocolError
from kvstore.base.ids import MemberId
from kvstore.member.forwarding import Relay, batch_message, decode, refusal_message

SENDER = MemberId(3)
BATCH = encode_batch(BatchId(SENDER, 1, 2), [(OperationKind.PUT, b"x")])


def test_a_batch_and_a_refusal_arrive_as_they_were_sent() -> None:
    assert decode(SENDER, batch_message(BATCH)) == BATCH
    assert decode(SENDER, refusal_message(2)) == 2


def test_a_member_can_forward_its_own_batches_only() -> None:
    with pytest.raises(ProtocolError, match="batch of member 3"):
        decode(MemberId(4), batch_message(BATCH))


@given(st.binary(max_size=100))
def test_any_other_bytes_close_the_link(received: bytes) -> None:
    try:
        found = decode(SENDER, received)
    except ProtocolError:
        return
    again = refusal_message(found) if isinstance(found, int) else batch_message(found)
    assert again == received


def test_a_relay_hands_out_what_fits_but_at_least_one_batch() -> None:
    relay = Relay(bytes_max=1000)
    for size in (50, 30, 30):
        assert relay.add(b"x" * size)

    assert [len(batch) for batch in relay.take(10)] == [50]
    assert [len(batch) for batch in relay.take(59)] == [30]
    assert [len(batch) for batch in relay.take_all()] == [30]
    assert not relay


def test_a_full_relay_takes_no_more_until_it_has_handed_out() -> None:
    relay = Relay(bytes_max=10)

    assert relay.add(b"x" * 11)
    assert not relay.add(b"y")
    relay.take(100)
    assert relay.add(b"y")
