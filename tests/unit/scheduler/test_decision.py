"""Which nodes a pod may have, why not the others, and which is best: kube-scheduler's rules."""

from typing import Any

import pytest

from cluster.kube_api.objects import JsonObject
from cluster.kube_api.selectors import equality_selector
from cluster.scheduler.decision import Decision, decide
from cluster.scheduler.node_info import NodeInfo, Snapshot
from cluster.scheduler.pod_info import PodInfo
from tests.support.kube_objects import node, pod

ZONE = "topology.kubernetes.io/zone"


def snapshot(*nodes: tuple[JsonObject, list[JsonObject]]) -> Snapshot:
    infos = [
        NodeInfo(one, tuple(PodInfo(placed, one["metadata"]["name"]) for placed in pods))
        for one, pods in nodes
    ]
    return Snapshot(infos, {"default": {}, "other": {"team": "b"}})


def decided(wanted: JsonObject, *nodes: tuple[JsonObject, list[JsonObject]]) -> Decision:
    return decide(PodInfo(wanted), snapshot(*nodes), None)


def reasons(wanted: JsonObject, one: JsonObject, *placed: JsonObject) -> list[str]:
    decision = decided(wanted, (one, list(placed)))
    return [reason.text for found in decision.rejections.values() for reason in found]


def affinity(kind: str, term: JsonObject) -> JsonObject:
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


WEB: JsonObject = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": ZONE}
TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
NODE_TERM = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
REQUIRES_SSD = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [NODE_TERM]}
    }
}


@pytest.mark.parametrize(
    ("wanted", "on", "placed", "expected"),
    [
        (pod("p", cpu="1"), node("n"), [], []),
        (pod("p"), node("n", unschedulable=True), [], ["node(s) were unschedulable"]),
        (
            pod(
                "p", tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]
            ),
            node("n", unschedulable=True),
            [],
            [],
        ),
        (
            pod("p", nodeName="m"),
            node("n"),
            [],
            ["node(s) didn't match the requested node name"],
        ),
        (pod("p"), node("n", taints=[TAINT]), [], ["node(s) had untolerated taint {gpu: yes}"]),
        (
            pod("p", tolerations=[{"key": "gpu", "value": "yes"}]),
            node("n", taints=[TAINT]),
            [],
            [],
        ),
        (
            pod("p", tolerations=[{"key": "gpu", "value": "no"}]),
            node("n", taints=[TAINT]),
            [],
            ["node(s) had untolerated taint {gpu: yes}"],
        ),
        (pod("p", tolerations=[{"operator": "Exists"}]), node("n", taints=[TAINT]), [], []),
        (pod("p"), node("n", taints=[{**TAINT, "effect": "PreferNoSchedule"}]), [], []),
        (
            pod("p", nodeSelector={"disk": "ssd"}),
            node("n"),
            [],
            ["node(s) didn't match Pod's node affinity/selector"],
        ),
        (pod("p", nodeSelector={"disk": "ssd"}), node("n", labels={"disk": "ssd"}), [], []),
        (
            pod("p", affinity=REQUIRES_SSD),
            node("n", labels={"disk": "hdd"}),
            [],
            ["node(s) didn't match Pod's node affinity/selector"],
        ),
        (
            pod("p", host_port=80),
            node("n"),
            [pod("q", host_port=80)],
            ["node(s) didn't have free ports for the requested pod ports"],
        ),
        (pod("p", host_port=81), node("n"), [pod("q", host_port=80)], []),
        (
            pod("p", cpu="3", memory="7Gi"),
            node("n"),
            [pod("q", cpu="1500m", memory="2Gi")],
            ["Insufficient cpu", "Insufficient memory"],
        ),
        (pod("p"), node("n", pods="1"), [pod("q")], ["Too many pods"]),
        (
            pod("p", affinity=affinity("podAntiAffinity", WEB)),
            node("n", labels={ZONE: "a"}),
            [pod("q", labels={"app": "web"})],
            ["node(s) didn't match pod anti-affinity rules"],
        ),
        (
            pod("p", affinity=affinity("podAffinity", WEB)),
            node("n", labels={ZONE: "a"}),
            [pod("q", labels={"app": "db"})],
            ["node(s) didn't match pod affinity rules"],
        ),
        (
            pod("p", affinity=affinity("podAffinity", WEB), labels={"app": "web"}),
            node("n", labels={ZONE: "a"}),
            [pod("q", labels={"app": "db"})],
            [],  # the first of its kind
        ),
        (
            pod("p", affinity=affinity("podAffinity", WEB)),
            node("n", labels={ZONE: "a"}),
            [pod("q", namespace="other", labels={"app": "web"})],
            ["node(s) didn't match pod affinity rules"],
        ),
        (
            pod("p", affinity=affinity("podAffinity", {**WEB, "namespaceSelector": {}})),
            node("n", labels={ZONE: "a"}),
            [pod("q", namespace="other", labels={"app": "web"})],
            [],
        ),
        (
            pod("p", labels={"app": "web"}),
            node("n", labels={ZONE: "a"}),
            [pod("q", affinity=affinity("podAntiAffinity", WEB))],
            ["node(s) didn't satisfy existing pods anti-affinity rules"],
        ),
    ],
)
def test_a_rule_says_no_in_the_words_of_kube_scheduler(
    wanted: JsonObject, on: JsonObject, placed: list[JsonObject], expected: list[str]
) -> None:
    assert reasons(wanted, on, *placed) == expected


def test_reasons_are_counted_over_nodes() -> None:
    decision = decided(
        pod("p", cpu="6"),
        (node("a"), []),
        (node("b"), []),
        (node("c", taints=[TAINT]), []),
    )
    assert decision.why() == (
        "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 2 Insufficient cpu."
    )


def test_a_cluster_without_nodes_is_said_to_be_one() -> None:
    assert decided(pod("p")).why() == "no nodes available to schedule pods"


def test_init_containers_count_at_their_peak_and_sidecars_beside_the_rest() -> None:
    def needs(cpu: str, **more: Any) -> JsonObject:
        return {"name": "x", "resources": {"requests": {"cpu": cpu}}, **more}

    wanted = pod("p", cpu="1")
    wanted["spec"]["initContainers"] = [
        needs("100m", restartPolicy="Always"),
        needs("2"),
        needs("200m", restartPolicy="Always"),
    ]
    wanted["spec"]["overhead"] = {"cpu": "10m"}
    assert PodInfo(wanted).requests["cpu"] == 2100 + 10


def test_the_emptier_node_is_better() -> None:
    decision = decided(
        pod("p", cpu="1", memory="1Gi"),
        (node("full"), [pod("q", cpu="2", memory="4Gi")]),
        (node("empty"), []),
    )
    assert decision.best == ["empty"]


def test_a_preferred_node_wins_over_an_emptier_one() -> None:
    wish = {"weight": 100, "preference": NODE_TERM}
    wanted = pod(
        "p", affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}
    )
    decision = decided(
        wanted,
        (node("ssd", labels={"disk": "ssd"}), [pod("q", cpu="1", memory="2Gi")]),
        (node("hdd"), []),
    )
    assert decision.best == ["ssd"]


def test_a_tainted_node_is_the_last_choice() -> None:
    taint = {**TAINT, "effect": "PreferNoSchedule"}
    decision = decided(pod("p"), (node("tainted", taints=[taint]), []), (node("clean"), []))
    assert decision.best == ["clean"]


@pytest.mark.parametrize(("skew_max", "feasible"), [(1, {"b1"}), (2, {"a1", "a2", "b1"})])
def test_a_spread_constraint_keeps_zones_even(skew_max: int, feasible: set[str]) -> None:
    constraint = {
        "maxSkew": skew_max,
        "topologyKey": ZONE,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    wanted = pod("p", labels={"app": "web"}, topologySpreadConstraints=[constraint])
    decision = decided(
        wanted,
        (node("a1", labels={ZONE: "a"}), [pod("q", labels={"app": "web"})]),
        (node("a2", labels={ZONE: "a"}), []),
        (node("b1", labels={ZONE: "b"}), []),
    )
    assert set(decision.scores) == feasible


def test_pods_of_one_service_are_spread_without_being_asked() -> None:
    web = {"app": "web"}
    one = snapshot(
        (node("a"), [pod("q", labels=web)]), (node("b"), [pod("r", labels={"app": "x"})])
    )
    decision = decide(PodInfo(pod("p", labels=web)), one, equality_selector(web))
    assert decision.best == ["b"]
