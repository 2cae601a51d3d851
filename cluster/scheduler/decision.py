"""One pod, one snapshot: which nodes could have it, and which is best. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cluster.kube_api.selectors import LabelSelector
from cluster.scheduler import scores
from cluster.scheduler.affinity import InterPodAffinity
from cluster.scheduler.filters import RULES, Reason
from cluster.scheduler.node_info import NodeInfo, Snapshot
from cluster.scheduler.pod_info import PodInfo
from cluster.scheduler.spread import TopologySpread


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of it."""

    scores: Mapping[str, int] = field(default_factory=dict)
    """The feasible nodes, each with its score."""
    rejections: Mapping[str, Sequence[Reason]] = field(default_factory=dict)
    """The others, each with the reasons of the first rule that said no."""

    @property
    def best(self) -> list[str]:
        """Return the names of the nodes with the highest score, in order: any of them will do."""
        highest = max(self.scores.values(), default=0)
        return sorted(name for name, score in self.scores.items() if score == highest)

    def why(self) -> str:
        """Say why no node will do, as kube-scheduler does in its events."""
        if not self.rejections:
            return "no nodes available to schedule pods"
        counts = Counter(reason.text for reasons in self.rejections.values() for reason in reasons)
        shown = sorted(f"{count} {text}" for text, count in counts.items())
        return f"0/{len(self.rejections)} nodes are available: {', '.join(shown)}."


def decide(pod: PodInfo, snapshot: Snapshot, kind: LabelSelector | None) -> Decision:
    """Decide. `kind` selects the pods of the same Service or owner, over which nodes it is spread.

    Cost: every rule on every node; the rules about other pods count these once.
    """
    affinity = InterPodAffinity(pod, snapshot)
    spread = TopologySpread(pod, snapshot, kind)
    feasible: list[NodeInfo] = []
    rejections: dict[str, Sequence[Reason]] = {}
    for node in snapshot.nodes:
        reasons = rejection(pod, node, affinity, spread)
        if reasons:
            rejections[node.name] = reasons
        else:
            feasible.append(node)
    rated = scores.total(pod, feasible, snapshot, affinity, spread)
    return Decision(rated, rejections)


def rejection(
    pod: PodInfo, node: NodeInfo, affinity: InterPodAffinity, spread: TopologySpread
) -> list[Reason]:
    """Return the reasons of the first rule that says no."""
    for rule in (*RULES, spread.rule, affinity.rule):
        reasons = rule(pod, node)
        if reasons:
            return reasons
    return []


def fits(pod: PodInfo, node: NodeInfo, snapshot: Snapshot) -> bool:
    """Whether `pod` could run on `node`, which is part of `snapshot`."""
    spread = TopologySpread(pod, snapshot, None)
    return not rejection(pod, node, InterPodAffinity(pod, snapshot), spread)
