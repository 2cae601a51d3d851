"""May this pod run there? One function a rule, in kube-scheduler's order. Pure.

A rule answers with reasons, in kube-scheduler's words, or with nothing. A reason is *final* if no
pod's end could change it: then preemption is not tried on that node.
"""

from collections.abc import Callable
from typing import NamedTuple

from cluster.kube_api import node_selection
from cluster.kube_api.node_selection import is_tolerated
from cluster.kube_api.objects import JsonObject, string_at
from cluster.scheduler.node_info import NodeInfo
from cluster.scheduler.pod_info import CPU, MEMORY, PODS, PodInfo

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_RESOURCE_ORDER = {CPU: 0, MEMORY: 1, "ephemeral-storage": 2}


class Reason(NamedTuple):
    """Why a node is out of the question."""

    text: str
    is_final: bool = False


Rule = Callable[[PodInfo, NodeInfo], list[Reason]]


def unschedulable(pod: PodInfo, node: NodeInfo) -> list[Reason]:
    """A cordoned node takes only what tolerates that."""
    if not node.is_unschedulable or is_tolerated(UNSCHEDULABLE_TAINT, pod.tolerations):
        return []
    return [Reason("node(s) were unschedulable", is_final=True)]


def node_name(pod: PodInfo, node: NodeInfo) -> list[Reason]:
    """A pod may name its node."""
    wanted = string_at(pod.spec, "nodeName")
    if not wanted or wanted == node.name:
        return []
    return [Reason("node(s) didn't match the requested node name", is_final=True)]


def taints(pod: PodInfo, node: NodeInfo) -> list[Reason]:
    """The first taint that keeps new pods away and is not tolerated."""
    for taint in node.taints:
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not is_tolerated(
            taint, pod.tolerations
        ):
            shown = f"{{{string_at(taint, 'key')}: {string_at(taint, 'value')}}}"
            return [Reason(f"node(s) had untolerated taint {shown}", is_final=True)]
    return []


def node_affinity(pod: PodInfo, node: NodeInfo) -> list[Reason]:
    """What the pod's nodeSelector and required node affinity ask of a node's labels and name."""
    if matches_node(pod, node):
        return []
    return [Reason("node(s) didn't match Pod's node affinity/selector", is_final=True)]


def host_ports(pod: PodInfo, node: NodeInfo) -> list[Reason]:
    """No two pods have the same port of the node."""
    if any(own.clashes(taken) for own in pod.host_ports for taken in node.host_ports):
        return [Reason("node(s) didn't have free ports for the requested pod ports")]
    return []


def resources(pod: PodInfo, node: NodeInfo) -> list[Reason]:
    """Everything that is asked for and not left; a node that is too small for it is final."""
    found: list[Reason] = []
    if len(node.pods) + 1 > node.allocatable.get(PODS, 0):
        found.append(Reason("Too many pods"))
    for name in sorted(pod.requests, key=lambda one: (_RESOURCE_ORDER.get(one, 3), one)):
        wanted, whole = pod.requests[name], node.allocatable.get(name, 0)
        if wanted and wanted > whole - node.requested.get(name, 0):
            found.append(Reason(f"Insufficient {name}", is_final=wanted > whole))
    return found


RULES: tuple[Rule, ...] = (unschedulable, node_name, taints, node_affinity, host_ports, resources)


def matches_node(pod: PodInfo, node: NodeInfo) -> bool:
    """Whether a node's labels and name are what a pod requires."""
    return node_selection.matches_node(pod.spec, node.labels, node.name)


def matches_term(term: JsonObject, node: NodeInfo) -> bool:
    """Whether a node is what a NodeSelectorTerm asks for; an empty term matches none."""
    return node_selection.matches_term(term, node.labels, node.name)
