"""Who has to go for a pod of higher priority: as few as can be, and those who are missed least."""

from typing import Any

from cluster.kube_api.objects import JsonObject
from cluster.scheduler.decision import decide
from cluster.scheduler.node_info import NodeInfo, Snapshot
from cluster.scheduler.pod_info import PodInfo
from cluster.scheduler.preemption import Preemption, may_preempt, preempt
from tests.support.kube_objects import node, pod


def preempted(
    wanted: JsonObject, placed: dict[str, list[JsonObject]], budgets: list[JsonObject] | None = None
) -> Preemption:
    nodes = [
        NodeInfo(node(name), tuple(PodInfo(one, name) for one in pods))
        for name, pods in placed.items()
    ]
    snapshot = Snapshot(nodes)
    info = PodInfo(wanted)
    return preempt(info, snapshot, decide(info, snapshot, None), budgets or [])


def victims(found: Preemption) -> tuple[str, set[str]]:
    assert found.chosen is not None
    return found.chosen.node_name, {victim.name for victim in found.chosen.victims}


def big(name: str, priority: int, **more: Any) -> JsonObject:
    return pod(name, cpu="4", priority=priority, **more)


def test_the_node_whose_victims_matter_least_is_chosen() -> None:
    found = preempted(big("p", 100), {"a": [big("x", 50)], "b": [big("y", 10)]})
    assert victims(found) == ("b", {"y"})


def test_only_as_many_go_as_have_to_and_the_worthier_stay() -> None:
    placed = [pod("low", cpu="2", priority=1), pod("high", cpu="2", priority=5)]
    found = preempted(pod("p", cpu="2", priority=100), {"a": placed})
    assert victims(found) == ("a", {"low"})


def test_equals_and_betters_are_left_alone() -> None:
    found = preempted(big("p", 10), {"a": [big("x", 10)], "b": [big("y", 11)]})
    assert found.chosen is None
    assert found.why == (
        "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."
    )


def test_a_node_that_no_end_of_a_pod_would_open_is_not_tried() -> None:
    wanted = big("p", 100, nodeSelector={"disk": "ssd"})
    found = preempted(wanted, {"a": [big("x", 1)]})
    assert found.why == (
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


def test_a_disruption_budget_is_heeded_while_there_is_another_way() -> None:
    budget = {
        "metadata": {"namespace": "default", "name": "b"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 0},
    }
    placed = {
        "a": [big("x", 1, labels={"app": "web"})],
        "b": [big("y", 9, labels={"app": "db"})],
    }
    assert victims(preempted(big("p", 100), placed, [budget])) == ("b", {"y"})
    assert victims(preempted(big("p", 100), placed)) == ("a", {"x"})


def test_a_pod_that_does_not_want_to_or_whose_victims_are_leaving_waits() -> None:
    leaving = big("x", 1)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    snapshot = Snapshot([NodeInfo(node("a"), (PodInfo(leaving, "a"),))])
    nominated = big("p", 100)
    nominated["status"] = {"nominatedNodeName": "a"}
    assert may_preempt(PodInfo(big("p", 100)), snapshot)
    assert not may_preempt(PodInfo(nominated), snapshot)
    assert not may_preempt(PodInfo(big("p", 100, preemptionPolicy="Never")), snapshot)
