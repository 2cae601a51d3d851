import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvstore.apply.command import (
    Batch,
    BatchId,
    OperationKind,
    as_user,
    batch_id_of,
    check_batch,
    decode_as_user,
    decode_entry,
    encode_batch,
    encode_entry,
)
from kvstore.auth import Identity
from kvstore.base.errors import CorruptWal
from kvstore.base.ids import MemberId

numbers = st.integers(0, 2**64 - 1)
batch_ids = st.builds(BatchId, numbers.map(MemberId), numbers, numbers)
operations = st.lists(
    st.tuples(
        st.sampled_from(sorted(set(OperationKind) - {OperationKind.AS_USER})).map(int),
        st.binary(max_size=300),
    )
)


@given(st.lists(st.tuples(batch_ids, operations)))
def test_an_entry_gives_its_batches_back_in_order(batches: list[tuple[BatchId, list]]) -> None:
    entry = encode_entry([encode_batch(batch_id, content) for batch_id, content in batches])

    assert list(decode_entry(entry)) == [Batch(*batch) for batch in batches]


@given(batch_ids, operations)
def test_a_batch_is_known_by_its_id_without_decoding_it(batch_id: BatchId, content: list) -> None:
    encoded = encode_batch(batch_id, content)

    assert batch_id_of(encoded) == batch_id
    assert check_batch(encoded) == batch_id


@given(batch_ids, operations, st.data())
def test_an_entry_that_is_cut_short_stops_the_member(
    batch_id: BatchId, content: list, data: st.DataObject
) -> None:
    entry = encode_entry([encode_batch(batch_id, content)])
    length = data.draw(st.integers(2, len(entry) - 1))

    with pytest.raises(CorruptWal):
        list(decode_entry(entry[:length]))


@given(st.binary(max_size=200))
def test_bytes_of_a_peer_are_a_whole_batch_or_refused(received: bytes) -> None:
    try:
        check_batch(received)
    except ValueError:
        return
    assert [batch.id for batch in decode_entry(encode_entry([received]))] == [batch_id_of(received)]


def test_an_entry_of_an_unknown_format_stops_the_member() -> None:
    with pytest.raises(CorruptWal, match="unknown format"):
        list(decode_entry(b"\x02"))


def test_a_batch_with_an_operation_of_unknown_kind_is_refused() -> None:
    encoded = encode_batch(BatchId(MemberId(1), 2, 3), [(99, b"")])

    with pytest.raises(ValueError, match="99"):
        check_batch(encoded)


@given(st.text(max_size=50), st.integers(1, 2**64 - 1), st.sampled_from(OperationKind), st.binary())
def test_an_operation_of_a_user_gives_user_and_operation_back(
    name: str, revision: int, kind: OperationKind, payload: bytes
) -> None:
    user = Identity(name, revision)

    assert decode_as_user(as_user(user, kind, payload)) == (user, kind, payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        as_user(Identity("u", 1), 99, b""),
        as_user(Identity("u", 1), OperationKind.AS_USER, b""),
    ],
    ids=["cut short", "unknown operation", "nested"],
)
def test_a_peers_operation_of_a_user_that_is_none_is_refused(payload: bytes) -> None:
    encoded = encode_batch(BatchId(MemberId(1), 1, 1), [(OperationKind.AS_USER, payload)])

    with pytest.raises(ValueError):  # noqa: PT011 - any refusal closes the link
        check_batch(encoded)
