"""Keys of any length in trees with short keys: the order is that of `sorted()`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvstore.backend.memory_backend import MemoryBackend
from kvstore.backend.schema import Tree
from kvstore.mvcc.key_value import encode_tombstone, key_of
from kvstore.mvcc.layout import (
    CHUNK_BYTES,
    HEAD,
    HEAD_BYTES,
    LIVE,
    address,
    delete_head,
    get_head,
    put_head,
    scan_heads,
)

_LEASE_BYTES = 8
_TREE_KEY_BYTES_MAX = 511

# Runs of few bytes around multiples of the chunk, so that keys share chunks and end at their edges.
_SIZES = [1, 2, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES - 1, 2 * CHUNK_BYTES]


@st.composite
def runs(draw: st.DrawFn) -> bytes:
    pieces = draw(
        st.lists(
            st.tuples(st.sampled_from([b"\x00", b"a", b"\xff"]), st.sampled_from(_SIZES)),
            min_size=1,
            max_size=4,
        )
    )
    return b"".join(byte * size for byte, size in pieces)


def head_of(key: bytes) -> bytes:
    return HEAD.pack(LIVE, 2, 0, 2, 1, 0) + encode_tombstone(key, b"\x02")


def keys_in(txn: object, start: bytes, end: bytes | None) -> list[bytes]:
    return [key_of(h[HEAD_BYTES:]) for heads in scan_heads(txn, start, end) for h in heads]  # type: ignore[arg-type]


@given(
    keys=st.sets(runs(), max_size=12),
    gone=st.sets(runs(), max_size=4),
    start=runs(),
    end=st.one_of(st.none(), runs()),
)
def test_a_scan_meets_the_keys_in_sorted_order(
    keys: set[bytes], gone: set[bytes], start: bytes, end: bytes | None
) -> None:
    txn = MemoryBackend().begin_write()
    for key in keys | gone:
        put_head(txn, key, head_of(key))
    for key in gone:
        delete_head(txn, key)
    left = sorted(keys - gone)
    assert keys_in(txn, b"\x00", None) == left
    assert keys_in(txn, start, end) == [
        key for key in left if start <= key and (end is None or key < end)
    ]
    for key in keys | gone:
        assert get_head(txn, key) == (head_of(key) if key in left else None)


@given(keys=st.lists(runs(), max_size=8, unique=True))
def test_nothing_is_left_of_keys_that_are_all_gone(keys: list[bytes]) -> None:
    txn = MemoryBackend().begin_write()
    for key in keys:
        put_head(txn, key, head_of(key))
    for key in keys:
        delete_head(txn, key)
    assert txn.count(Tree.KEYS) == txn.count(Tree.LONG_KEYS) == 0


@given(keys=st.sets(runs(), min_size=1, max_size=8))
def test_an_address_is_short_and_of_one_key_alone(keys: set[bytes]) -> None:
    txn = MemoryBackend().begin_write()
    for key in keys:
        put_head(txn, key, head_of(key))
    addresses = {key: address(txn, key) for key in keys}
    assert len(set(addresses.values())) == len(keys)
    for found in addresses.values():
        assert _LEASE_BYTES + len(found) <= _TREE_KEY_BYTES_MAX


@pytest.mark.parametrize("size", [100_000, 1_500_000])
def test_a_key_as_long_as_a_request_is_stored_and_scanned(size: int) -> None:
    txn = MemoryBackend().begin_write()
    keys = [b"k" * size, b"k" * (size - 1) + b"l"]
    for key in keys:
        put_head(txn, key, head_of(key))
    assert keys_in(txn, b"k" * (size - 1), None) == keys
    delete_head(txn, keys[0])
    assert keys_in(txn, b"\x00", None) == keys[1:]
