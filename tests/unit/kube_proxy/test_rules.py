"""Services and slices in, rules out."""

from typing import Any

from cluster.kube_api.objects import JsonObject
from cluster.kube_proxy.relay import Chooser
from cluster.kube_proxy.rules import Backend, Frontend, Rule, rules
from tests.support.kube_world import CountingEntropy


def service(**spec: Any) -> JsonObject:
    port = {"name": "http", "port": 80, "protocol": "TCP", **spec.pop("port", {})}
    return {
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [port], **spec},
    }


def endpoint(address: str, node: str = "n1", **conditions: bool) -> JsonObject:
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def slices(*endpoints: JsonObject) -> list[JsonObject]:
    labels = {"kubernetes.io/service-name": "web"}
    return [
        {
            "metadata": {"namespace": "default", "name": "web-1", "labels": labels},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": list(endpoints),
        }
    ]


def made(one: JsonObject, *endpoints: JsonObject) -> dict[Frontend, Rule]:
    return rules([one], slices(*endpoints), node_name="n1", node_addresses=["127.0.0.1"])


CLUSTER_IP = Frontend("10.0.0.1", 80, "TCP")


def test_only_ready_endpoints_are_used() -> None:
    found = made(service(), endpoint("a", ready=True), endpoint("b", ready=False))
    assert found[CLUSTER_IP].backends == (Backend("a", 8080),)


def test_endpoints_that_end_are_used_when_there_is_no_other() -> None:
    ending = endpoint("b", ready=False, serving=True, terminating=True)
    assert made(service(), endpoint("a"), ending)[CLUSTER_IP].backends == (Backend("a", 8080),)
    assert made(service(), ending)[CLUSTER_IP].backends == (Backend("b", 8080),)


def test_a_service_without_endpoints_has_a_rule_without_backends() -> None:
    assert made(service())[CLUSTER_IP].backends == ()


def test_a_node_port_is_opened_on_the_node_and_local_policy_keeps_to_it() -> None:
    one = service(type="NodePort", externalTrafficPolicy="Local", port={"nodePort": 30080})
    found = made(one, endpoint("a", "n1"), endpoint("b", "n2"))
    assert found[Frontend("127.0.0.1", 30080, "TCP")].backends == (Backend("a", 8080),)
    assert found[CLUSTER_IP].backends == (Backend("a", 8080), Backend("b", 8080))


def test_headless_and_aliased_services_have_no_address_to_listen_on() -> None:
    assert made(service(clusterIP="None"), endpoint("a")) == {}
    assert made(service(type="ExternalName", clusterIP=""), endpoint("a")) == {}


def test_affinity_brings_a_client_back_until_its_backend_is_gone() -> None:
    chooser = Chooser(CountingEntropy())
    backends = (Backend("a", 1), Backend("b", 1), Backend("c", 1))
    rule = Rule("s", backends, affinity_s=60)
    first = chooser.order(rule, "client", 0)[0]
    chooser.chosen(rule, "client", first, 0)
    assert all(chooser.order(rule, "client", now)[0] == first for now in (1, 30, 59))
    rest = Rule("s", tuple(one for one in backends if one != first), affinity_s=60)
    assert chooser.order(rest, "client", 1)[0] != first


def test_without_affinity_backends_take_turns() -> None:
    chooser = Chooser(CountingEntropy())
    rule = Rule("s", (Backend("a", 1), Backend("b", 1), Backend("c", 1)))
    firsts = [chooser.order(rule, "client", 0)[0].address for _ in range(6)]
    assert sorted(firsts) == ["a", "a", "b", "b", "c", "c"]
