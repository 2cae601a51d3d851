"""Joining a cluster that runs: who it is, and which of its members this one was added as.

What etcd does at `--initial-cluster-state existing`: the members in `--initial-cluster` are matched
by their peer URLs with those that the others name.
"""

import ssl
from collections.abc import Callable

from kvstore.base.ids import ClusterId, MemberId
from kvstore.base.urls import url_texts
from kvstore.raft.consensus import Membership
from kvstore.raft.peer_address import PeerAddress
from kvstore.raft.peer_discovery import CannotDescribe, describe_cluster
from kvstore.server.config import ConfigurationRefused, ServerConfig

_ASK_TIMEOUT_S = 5.0


async def joined(
    config: ServerConfig, context_for: Callable[[PeerAddress], ssl.SSLContext | None]
) -> tuple[MemberId, ClusterId, Membership]:
    """Return this member's id, its cluster's, and the members that it has now.

    Raises:
        ConfigurationRefused: no other member answers, or they know other members than the flags.
    """
    listed = {name: url_texts(urls) for name, urls in config.cluster.initial_members.items()}
    others = [text for name, texts in listed.items() if name != config.name for text in texts]
    try:
        found = await describe_cluster(others, context_for, timeout_s=_ASK_TIMEOUT_S)
    except CannotDescribe as problem:
        raise ConfigurationRefused(
            [
                "cannot fetch cluster info from peer urls: could not retrieve cluster information "
                f"from the given URLs ({problem})"
            ]
        ) from problem
    by_urls = {_same_place(urls): member for member, urls in found.membership.peer_urls.items()}
    problems = _mismatches(listed, by_urls)
    if problems:
        raise ConfigurationRefused(problems)
    return by_urls[_same_place(listed[config.name])], found.cluster_id, found.membership


def _mismatches(
    listed: dict[str, tuple[str, ...]], by_urls: dict[frozenset[str], MemberId]
) -> list[str]:
    if len(listed) != len(by_urls):
        known = ", ".join(sorted(",".join(sorted(urls)) for urls in by_urls))
        return [
            "error validating peerURLs: member count is unequal: "
            f"--initial-cluster names {len(listed)}, the cluster has {len(by_urls)} ({known}). "
            "Add this member first (kvstorectl member add), and use the list that it prints"
        ]
    return [
        f"error validating peerURLs: PeerURLs: no match found for existing member "
        f"({name}, [{' '.join(urls)}])"
        for name, urls in listed.items()
        if _same_place(urls) not in by_urls
    ]


def _same_place(urls: tuple[str, ...]) -> frozenset[str]:
    """Return the URLs with the one pair of names made equal that needs no resolver."""
    return frozenset(text.replace("//localhost:", "//127.0.0.1:") for text in urls)
