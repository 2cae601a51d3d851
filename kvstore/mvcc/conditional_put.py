"""A put that depends on one key: what most transactions of clients are.

Kubernetes, locks and caches write by compare-and-set: if the newest version of a key is as
expected, put; otherwise tell what it is.
"""

import operator
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

from kvstore.mvcc.key_value import value_of
from kvstore.mvcc.layout import HEAD, HEAD_BYTES, LIVE

_unpack_head = HEAD.unpack_from

RELATIONS: tuple[Callable[[Any, Any], bool], ...] = (
    operator.eq,
    operator.gt,
    operator.lt,
    operator.ne,
)
"""By rpc.proto Compare.CompareResult."""


class Field(IntEnum):
    """What of a version is compared: its place among the fields of a head."""

    VALUE = 0
    MOD = 1
    CREATE = 3
    VERSION = 4
    LEASE = 5


class ConditionalPut(NamedTuple):
    """If `field` of the newest version of `compared` relates so to `operand`, put; else read."""

    compared: bytes
    field: int
    relation: int
    operand: int | bytes
    key: bytes
    value: bytes
    otherwise: bytes | None
    """The key to be read if the condition does not hold."""


class Conditional(NamedTuple):
    """What became of a `ConditionalPut`."""

    revision: int
    """The store's, once it was done."""
    is_put: bool
    found: bytes | None
    """The KeyValue of `otherwise`, if that was read and is live."""


def holds(condition: ConditionalPut, head: bytes | None) -> bool:
    """Whether the condition holds for the key whose head this is.

    A missing key has no value at all, so no statement about its value is true; its numbers are 0.
    """
    field = condition.field
    actual: int | bytes
    if head is None or head[0] != LIVE:
        if field == Field.VALUE:
            return False
        actual = 0
    elif field == Field.VALUE:
        actual = value_of(head[HEAD_BYTES:])
    else:
        actual = _unpack_head(head)[field]
    return RELATIONS[condition.relation](actual, condition.operand)
