"""Whose end would make room for a pod that fits nowhere. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cluster.informer.times import unix_of
from cluster.kube_api.objects import JsonObject, integer_at, member, string_at
from cluster.kube_api.selectors import label_selector
from cluster.scheduler.decision import Decision, fits
from cluster.scheduler.node_info import NodeInfo, Snapshot
from cluster.scheduler.pod_info import PodInfo

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
_PRIORITY_OFFSET = 1 << 31


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that would do if `victims` were gone."""

    node_name: str
    victims: Sequence[PodInfo]
    violations: int
    """How many of them a PodDisruptionBudget would rather keep."""


@dataclass(frozen=True, slots=True)
class Preemption:
    """What came of it: a candidate, or why there is none."""

    chosen: Candidate | None
    why: str = ""


def may_preempt(pod: PodInfo, snapshot: Snapshot) -> bool:
    """Whether a pod may push others out now: it wants to, and nobody is leaving for it already."""
    if string_at(pod.spec, "preemptionPolicy") == "Never":
        return False
    nominated = string_at(pod.pod, "status", "nominatedNodeName")
    return not any(
        other.is_terminating and other.priority < pod.priority
        for other, node in snapshot.pods
        if node.name == nominated
    )


def preempt(
    pod: PodInfo, snapshot: Snapshot, decision: Decision, budgets: Sequence[JsonObject]
) -> Preemption:
    """Choose the node whose victims are missed least, among those whose rejection is not final."""
    refusals: dict[str, int] = {}
    candidates: list[Candidate] = []
    for node in snapshot.nodes:
        reasons = decision.rejections.get(node.name, ())
        candidate = None
        text = NOT_HELPFUL
        if not any(reason.is_final for reason in reasons):
            candidate = _candidate(pod, node, snapshot, budgets)
            text = NO_VICTIMS
        if candidate is None:
            refusals[text] = refusals.get(text, 0) + 1
        else:
            candidates.append(candidate)
    if candidates:
        return Preemption(min(candidates, key=_regret))
    shown = ", ".join(sorted(f"{count} {text}" for text, count in refusals.items()))
    return Preemption(None, f"preemption: 0/{len(snapshot.nodes)} nodes are available: {shown}.")


def _candidate(
    pod: PodInfo, node: NodeInfo, snapshot: Snapshot, budgets: Sequence[JsonObject]
) -> Candidate | None:
    """Take away all that are worth less, then give back whoever need not go, worthiest first."""
    lesser = [other for other in node.pods if other.priority < pod.priority]
    if not lesser:
        return None
    bare = node.without(lesser)
    if not fits(pod, bare, snapshot.replaced(bare)):
        return None
    protected, others = _by_protection(sorted(lesser, key=_worth), budgets)
    victims: list[PodInfo] = []
    violations = 0
    for group, violates in ((protected, True), (others, False)):
        for other in group:
            fuller = bare.with_pod(other)
            if fits(pod, fuller, snapshot.replaced(fuller)):
                bare = fuller
            else:
                victims.append(other)
                violations += violates
    return Candidate(node.name, victims, violations)


def _worth(pod: PodInfo) -> tuple[int, float, str]:
    """Higher priority first, then who has run for longer."""
    return (-pod.priority, _started(pod), pod.name)


def _started(pod: PodInfo) -> float:
    return unix_of(string_at(pod.pod, "status", "startTime"))


def _by_protection(
    pods: Iterable[PodInfo], budgets: Sequence[JsonObject]
) -> tuple[list[PodInfo], list[PodInfo]]:
    """Sort pods into those whose end a budget does not allow any more, and the others."""
    allowed = [integer_at(budget, "status", "disruptionsAllowed") for budget in budgets]
    protected: list[PodInfo] = []
    others: list[PodInfo] = []
    for pod in pods:
        is_protected = False
        for index, budget in enumerate(budgets):
            if _covers(budget, pod):
                allowed[index] -= 1
                is_protected |= allowed[index] < 0
        (protected if is_protected else others).append(pod)
    return protected, others


def _covers(budget: JsonObject, pod: PodInfo) -> bool:
    if string_at(budget, "metadata", "namespace") != pod.namespace or not pod.labels:
        return False
    disrupted: Mapping[str, object] = member(budget, "status", "disruptedPods") or {}
    return pod.name not in disrupted and label_selector(member(budget, "spec", "selector")).matches(
        pod.labels
    )


def _regret(candidate: Candidate) -> tuple[int, int, int, int, float, str]:
    victims = candidate.victims
    highest = max((victim.priority for victim in victims), default=-_PRIORITY_OFFSET)
    worthiest = [victim for victim in victims if victim.priority == highest]
    return (
        candidate.violations,
        highest,
        sum(victim.priority + _PRIORITY_OFFSET for victim in victims),
        len(victims),
        -min(map(_started, worthiest), default=0.0),
        candidate.node_name,
    )
