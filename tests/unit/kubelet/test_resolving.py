"""Which names a pod's processes can leave parts of, and whom they ask."""

from typing import Any

import pytest

from cluster.kubelet.resolving import Resolver, read, resolver_of

MACHINE = read("# made by hand\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch example.org\n")


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": "p"}, "spec": spec}


def test_a_pod_asks_the_cluster_first_and_then_the_machines_servers() -> None:
    found = resolver_of(pod(), "127.9.0.10", "cluster.local", MACHINE)
    assert found is not None
    assert found.text() == (
        "nameserver 127.9.0.10\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"
        "search shop.svc.cluster.local svc.cluster.local cluster.local example.org\n"
        "options ndots:5\n"
    )


@pytest.mark.parametrize(
    ("spec", "cluster"),
    [({"dnsPolicy": "Default"}, "127.9.0.10"), ({"hostNetwork": True}, "127.9.0.10"), ({}, "")],
)
def test_others_have_what_the_machine_has(spec: dict[str, Any], cluster: str) -> None:
    assert resolver_of(pod(**spec), cluster, "cluster.local", MACHINE) is None


def test_a_pod_adds_its_own_and_may_want_nothing_else() -> None:
    extra = {
        "nameservers": ["192.0.2.9"],
        "searches": ["own"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}],
    }
    alone = resolver_of(pod(dnsPolicy="None", dnsConfig=extra), "127.9.0.10", "c", MACHINE)
    assert alone == Resolver(["192.0.2.9"], ["own"], ["ndots:2", "rotate"])
    added = resolver_of(pod(dnsConfig=extra), "127.9.0.10", "c", MACHINE)
    assert added is not None
    assert added.options == ["ndots:2", "rotate"]
    assert added.searches[-1] == "own"
