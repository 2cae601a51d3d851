"""Where would a pod be best? 0 to 100 a rule, and the rules' weights. Pure."""

from collections.abc import Callable, Sequence

from cluster.kube_api.node_selection import is_tolerated
from cluster.kube_api.objects import integer_at, list_at, object_at, string_at
from cluster.scheduler.affinity import InterPodAffinity
from cluster.scheduler.filters import matches_term
from cluster.scheduler.node_info import NodeInfo, Snapshot
from cluster.scheduler.pod_info import CPU, MEMORY, PodInfo
from cluster.scheduler.spread import TopologySpread

Scores = dict[str, int]
BEST = 100
_MIB = 1 << 20
_IMAGES_MIN = 23 * _MIB
_IMAGES_MAX = 1000 * _MIB


def total(
    pod: PodInfo,
    feasible: Sequence[NodeInfo],
    snapshot: Snapshot,
    affinity: InterPodAffinity,
    spread: TopologySpread,
) -> Scores:
    """Return the weighted sum by node name, with kube-scheduler's default weights."""
    parts: list[tuple[int, Scores | None]] = [
        (3, untolerated_taints(pod, feasible)),
        (2, preferred_nodes(pod, feasible)),
        (1, least_allocated(pod, feasible)),
        (1, balanced(pod, feasible)),
        (2, spread.scores(feasible)),
        (2, between(affinity.raw_score, feasible)),
        (1, images(pod, feasible, snapshot)),
    ]
    return {
        node.name: sum(weight * part[node.name] for weight, part in parts if part is not None)
        for node in feasible
    }


def least_allocated(pod: PodInfo, feasible: Sequence[NodeInfo]) -> Scores:
    """Emptier is better: the mean over cpu and memory of what would be left."""
    return {node.name: _left(pod, node) for node in feasible}


def _left(pod: PodInfo, node: NodeInfo) -> int:
    parts = []
    for name in (CPU, MEMORY):
        whole = node.allocatable.get(name, 0)
        if whole:
            used = node.scored_requested.get(name, 0) + pod.scored_requests.get(name, 0)
            parts.append(max(whole - used, 0) * BEST // whole)
    return sum(parts) // len(parts) if parts else 0


def balanced(pod: PodInfo, feasible: Sequence[NodeInfo]) -> Scores | None:
    """Using cpu and memory alike is better. A pod that asks for nothing has no opinion."""
    if not any(pod.requests.values()):
        return None
    return {node.name: _balance(pod, node) for node in feasible}


def _balance(pod: PodInfo, node: NodeInfo) -> int:
    parts = []
    for name in (CPU, MEMORY):
        whole = node.allocatable.get(name, 0)
        if whole:
            used = node.requested.get(name, 0) + pod.requests.get(name, 0)
            parts.append(min(used / whole, 1.0))
    deviation = abs(parts[0] - parts[1]) / 2 if len(parts) == 2 else 0.0  # noqa: PLR2004 - cpu, memory
    return int((1 - deviation) * BEST)


def untolerated_taints(pod: PodInfo, feasible: Sequence[NodeInfo]) -> Scores:
    """Fewer taints that would rather keep it away are better."""
    tolerations = [
        one for one in pod.tolerations if string_at(one, "effect") in ("", "PreferNoSchedule")
    ]
    counts = {
        node.name: sum(
            string_at(taint, "effect") == "PreferNoSchedule"
            and not is_tolerated(taint, tolerations)
            for taint in node.taints
        )
        for node in feasible
    }
    most = max(counts.values(), default=0)
    return {name: BEST - (count * BEST // most if most else 0) for name, count in counts.items()}


def preferred_nodes(pod: PodInfo, feasible: Sequence[NodeInfo]) -> Scores | None:
    """The weights of the preferred node affinities that a node fulfils; None if there are none."""
    path = ("affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution")
    wishes = list_at(pod.spec, *path)
    if not wishes:
        return None
    sums = {
        node.name: sum(
            integer_at(wish, "weight")
            for wish in wishes
            if matches_term(object_at(wish, "preference"), node)
        )
        for node in feasible
    }
    most = max(sums.values(), default=0)
    return {name: found * BEST // most if most else 0 for name, found in sums.items()}


def between(raw: Callable[[NodeInfo], int], feasible: Sequence[NodeInfo]) -> Scores:
    """Stretch raw scores, which may be negative, from 0 to 100; all 0 if they are equal."""
    values = {node.name: raw(node) for node in feasible}
    lowest, highest = min(values.values(), default=0), max(values.values(), default=0)
    reach = highest - lowest
    return {
        name: (value - lowest) * BEST // reach if reach else 0 for name, value in values.items()
    }


def images(pod: PodInfo, feasible: Sequence[NodeInfo], snapshot: Snapshot) -> Scores:
    """More bytes of its images there already are better; less so if few nodes have them."""
    containers = list_at(pod.spec, "initContainers") + list_at(pod.spec, "containers")
    names = [_with_tag(string_at(container, "image")) for container in containers]
    most = _IMAGES_MAX * max(len(names), 1)
    result: Scores = {}
    for node in feasible:
        present = sum(
            size * snapshot.nodes_by_image[name] // len(snapshot.nodes)
            for name in names
            if (size := node.image_sizes.get(name, 0))
        )
        clipped = min(max(present, _IMAGES_MIN), most)
        result[node.name] = BEST * (clipped - _IMAGES_MIN) // (most - _IMAGES_MIN)
    return result


def _with_tag(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"
