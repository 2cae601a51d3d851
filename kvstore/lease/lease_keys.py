"""The bytes of the trees `LEASES` and `LEASE_KEYS`.

LEASES       lease id (8)                           -> granted TTL in seconds (8, signed)
LEASE_KEYS   lease id (8) | 00 | key                -> nothing
             lease id (8) | 01 | SHA-256(key) (32)  -> key

The second form is for keys too long to be part of an address of the backend. Ids are big endian,
with the sign bit flipped, so that they sort as numbers.
"""

from collections.abc import Iterator
from hashlib import sha256
from struct import Struct

from kvstore.backend.backend import KEY_BYTES_MAX, Reader, WriteTxn
from kvstore.backend.schema import Tree
from kvstore.base.errors import CorruptKeyspace
from kvstore.base.ids import LeaseId

_UNSIGNED = Struct(">Q")
_TTL = Struct(">q")
_SIGN = 1 << 63
_ID_BYTES = 8
_INLINE = b"\x00"
_HASHED = b"\x01"
INLINE_KEY_BYTES_MAX = KEY_BYTES_MAX - _ID_BYTES - 1
"""The longest key that is its own address."""


def encode_id(lease_id: LeaseId) -> bytes:
    """Return the address of a lease; addresses sort as the ids do."""
    return _UNSIGNED.pack(lease_id + _SIGN)


def decode_id(address: bytes) -> LeaseId:
    """Return the lease at the start of an address of either tree."""
    return LeaseId(_UNSIGNED.unpack_from(address)[0] - _SIGN)


def store_lease(txn: WriteTxn, lease_id: LeaseId, ttl_s: int) -> None:
    """Write a lease with its granted TTL."""
    txn.put(Tree.LEASES, encode_id(lease_id), _TTL.pack(ttl_s))


def remove_lease(txn: WriteTxn, lease_id: LeaseId) -> None:
    """Remove a lease; what it holds is not touched."""
    txn.delete(Tree.LEASES, encode_id(lease_id))


def stored_leases(txn: Reader) -> Iterator[tuple[LeaseId, int]]:
    """Yield every (lease, granted TTL in seconds), by id.

    Raises:
        CorruptKeyspace: an entry is not of the form above.
    """
    for address, value in txn.scan(Tree.LEASES):
        if len(address) != _ID_BYTES or len(value) != _TTL.size:
            raise CorruptKeyspace(f"lease {address.hex()}: {value.hex()}")
        yield decode_id(address), _TTL.unpack(value)[0]


def attach(txn: WriteTxn, lease_id: LeaseId, key: bytes) -> None:
    """Write that `lease_id` holds `key`; writing it twice is harmless."""
    if len(key) <= INLINE_KEY_BYTES_MAX:
        txn.put(Tree.LEASE_KEYS, encode_id(lease_id) + _INLINE + key, b"")
    else:
        txn.put(Tree.LEASE_KEYS, _hashed_address(lease_id, key), key)


def detach(txn: WriteTxn, lease_id: LeaseId, key: bytes) -> None:
    """Remove what `attach` wrote, if it is there."""
    if len(key) <= INLINE_KEY_BYTES_MAX:
        txn.delete(Tree.LEASE_KEYS, encode_id(lease_id) + _INLINE + key)
    else:
        txn.delete(Tree.LEASE_KEYS, _hashed_address(lease_id, key))


def held_keys(txn: Reader, lease_id: LeaseId) -> list[bytes]:
    """Return the keys that `lease_id` holds, sorted.

    Raises:
        CorruptKeyspace: an entry is not of the form above.
    """
    prefix = encode_id(lease_id)
    end = encode_id(LeaseId(lease_id + 1)) if lease_id < _SIGN - 1 else None
    keys = []
    for address, value in txn.scan(Tree.LEASE_KEYS, prefix, end):
        form = address[_ID_BYTES : _ID_BYTES + 1]
        if form == _INLINE:
            keys.append(address[_ID_BYTES + 1 :])
        elif form == _HASHED and address == _hashed_address(lease_id, value):
            keys.append(value)
        else:
            raise CorruptKeyspace(f"key of a lease {address.hex()}")
    keys.sort()
    return keys


def _hashed_address(lease_id: LeaseId, key: bytes) -> bytes:
    return encode_id(lease_id) + _HASHED + sha256(key).digest()
