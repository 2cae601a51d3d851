"""Ids of members and clusters, derived as etcd derives them.

The ids of a bootstrapped cluster follow from its peer URLs and token alone, so every member
computes the same ones without talking to the others.
"""

import hashlib
from collections.abc import Iterable, Sequence

from kvstore.base.ids import ClusterId, MemberId


def member_id(peer_urls: Sequence[str], *, token: str, added_unix_s: int | None = None) -> MemberId:
    """Return the id of the member with `peer_urls`.

    `added_unix_s` is the time at which the member was added to a running cluster; None for the
    members that a cluster starts with. (Source: etcd's membership.NewMember.)
    """
    text = "".join(sorted(peer_urls)) + token
    if added_unix_s is not None:
        text += str(added_unix_s)
    return MemberId(_first_8_bytes(text.encode()))


def cluster_id(initial_members: Iterable[MemberId]) -> ClusterId:
    """Return the id of the cluster that `initial_members` start."""
    ids = b"".join(member.to_bytes(8, "big") for member in sorted(initial_members))
    return ClusterId(_first_8_bytes(ids))


def _first_8_bytes(data: bytes) -> int:
    # Not for security: any spread would do, but clients show these ids and etcd's use SHA-1.
    return int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest()[:8], "big")
