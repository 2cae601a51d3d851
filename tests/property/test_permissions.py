"""Merged intervals against the plainest model: a set of the keys that are covered."""

from hypothesis import given
from hypothesis import strategies as st

from kvstore.auth.permissions import Access, Intervals, UserPermissions
from kvstore.base.key_range import KeyRange
from kvstore.wire.pb import auth_pb2

ALPHABET = b"\x00ab\xff"
KEYS = [bytes([one]) for one in ALPHABET] + [bytes([x, y]) for x in ALPHABET for y in ALPHABET]
"""Every key of up to two bytes: between any two ends there is one of them, or there is nothing."""
ends = st.binary(min_size=1, max_size=1).flatmap(lambda _: st.sampled_from(KEYS))
ranges = st.builds(KeyRange, ends, st.one_of(st.none(), ends))
TYPES = (auth_pb2.Permission.READ, auth_pb2.Permission.WRITE, auth_pb2.Permission.READWRITE)


def probes(*of: KeyRange) -> set[bytes]:
    """Keys at, just above and far above every end: a gap holds one of them, if there is one."""
    edges = [edge for keys in of for edge in keys if edge is not None]
    return {probe for edge in edges for probe in (edge, edge + b"\x00", edge + b"\xff\xff\xff")} | {
        b"\xff" * 9
    }


@given(st.lists(ranges, max_size=6), ranges.filter(lambda keys: not keys.is_empty))
def test_a_range_is_covered_exactly_if_every_key_of_it_is(
    granted: list[KeyRange], asked: KeyRange
) -> None:
    wanted = [key for key in probes(asked, *granted) if key in asked]
    covered = all(any(key in keys for keys in granted) for key in wanted)

    assert Intervals(granted).covers(asked) == covered


@given(st.sampled_from(TYPES), st.sampled_from(Access), ends)
def test_a_permission_lets_do_what_its_type_says(kind: int, access: Access, key: bytes) -> None:
    permissions = UserPermissions([auth_pb2.Permission(permType=kind, key=key)])
    allowed = {
        auth_pb2.Permission.READ: {Access.READ},
        auth_pb2.Permission.WRITE: {Access.WRITE},
        auth_pb2.Permission.READWRITE: {Access.READ, Access.WRITE},
    }

    assert permissions.allow(access, KeyRange.single(key)) == (access in allowed[kind])
    assert not permissions.allow(access, KeyRange(key, None))
