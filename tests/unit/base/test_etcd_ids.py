"""Ids recorded from a real etcd 3.5.1 (`etcdctl member list`, `endpoint status`)."""

from kvstore.base.etcd_ids import cluster_id, member_id


def test_the_default_member_has_the_ids_that_etcd_gives_it() -> None:
    member = member_id(["http://localhost:2380"], token="etcd-cluster")
    assert f"{member:x}" == "8e9e05c52164694d"
    assert f"{cluster_id([member]):x}" == "cdf818194e3a8c32"


def test_the_order_of_peer_urls_and_members_does_not_matter() -> None:
    urls = ["http://10.0.0.1:2380", "http://10.0.0.1:2390"]
    assert member_id(urls, token="t") == member_id(urls[::-1], token="t")
    first, second = member_id(urls[:1], token="t"), member_id(urls[1:], token="t")
    assert cluster_id([first, second]) == cluster_id([second, first])


def test_token_and_time_of_joining_make_another_member() -> None:
    urls = ["http://10.0.0.1:2380"]
    ids = {
        member_id(urls, token="a"),
        member_id(urls, token="b"),
        member_id(urls, token="a", added_unix_s=1_700_000_000),
        member_id(urls, token="a", added_unix_s=1_700_000_001),
    }
    assert len(ids) == 4
