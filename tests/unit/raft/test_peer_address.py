"""kvstore.raft.peer_address: peer URLs, and which of them anybody can reach."""

import pytest

from kvstore.raft.peer_address import PeerAddress


def test_a_url_names_a_host_and_a_port() -> None:
    assert PeerAddress.of("https://[::1]:2380") == PeerAddress("::1", 2380, is_tls=True)
    assert PeerAddress.of("unix://a/b:1") == PeerAddress("a/b:1", 0, is_tls=False)
    assert PeerAddress.of("http://db.example:2380") == PeerAddress("db.example", 2380, is_tls=False)


@pytest.mark.parametrize("url", ["", "db:2380", "http://db", "ftp://db:1", "unix://", "unixs://x"])
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not http"):
        PeerAddress.of(url)
