"""What the rules ask of a node, and the snapshot that a decision looks at. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at
from cluster.scheduler.pod_info import CPU, MEMORY, Amounts, HostPort, PodInfo, added, amounts


@dataclass(frozen=True)
class NodeInfo:
    """A node, and the pods that run there or are assumed to."""

    node: JsonObject
    pods: tuple[PodInfo, ...] = ()

    @cached_property
    def name(self) -> str:
        """Its name."""
        return string_at(self.node, "metadata", "name")

    @cached_property
    def labels(self) -> JsonObject:
        """What selectors look at."""
        return object_at(self.node, "metadata", "labels")

    @cached_property
    def taints(self) -> list[JsonObject]:
        """What keeps pods away that do not tolerate it."""
        return list_at(self.node, "spec", "taints")

    @cached_property
    def is_unschedulable(self) -> bool:
        """Whether somebody cordoned it."""
        return member(self.node, "spec", "unschedulable") is True

    @cached_property
    def allocatable(self) -> Amounts:
        """What pods may have together."""
        return amounts(object_at(self.node, "status", "allocatable"))

    @cached_property
    def requested(self) -> Amounts:
        """What its pods asked for."""
        return _sum(pod.requests for pod in self.pods)

    @cached_property
    def scored_requested(self) -> Amounts:
        """The same for scores."""
        return _sum(map(_scored, self.pods))

    @cached_property
    def choosy_pods(self) -> list[PodInfo]:
        """Those of its pods that care which pods are near them."""
        return [pod for pod in self.pods if pod.has_affinity]

    @cached_property
    def host_ports(self) -> list[HostPort]:
        """Ports of the node that its pods have taken."""
        return [port for pod in self.pods for port in pod.host_ports]

    @cached_property
    def image_sizes(self) -> Mapping[str, int]:
        """Bytes of the images that are there already, by every name."""
        return {
            str(name): int(image.get("sizeBytes", 0))
            for image in list_at(self.node, "status", "images")
            for name in list_at(image, "names")
        }

    def without(self, removed: Iterable[PodInfo]) -> "NodeInfo":
        """Return the node as it would be if some pods were gone."""
        uids = {pod.uid for pod in removed}
        return NodeInfo(self.node, tuple(pod for pod in self.pods if pod.uid not in uids))

    def with_pod(self, pod: PodInfo) -> "NodeInfo":
        """Return the node as it would be with one more pod. Cost: the sums are added to."""
        changed = NodeInfo(self.node, (*self.pods, pod))
        changed.__dict__["requested"] = added(self.requested, pod.requests)
        changed.__dict__["scored_requested"] = added(self.scored_requested, _scored(pod))
        return changed

    def as_node(self, node: JsonObject) -> "NodeInfo":
        """Return the same pods on another state of the node."""
        changed = NodeInfo(node, self.pods)
        changed.__dict__["requested"] = self.requested
        changed.__dict__["scored_requested"] = self.scored_requested
        return changed


def _scored(pod: PodInfo) -> Amounts:
    return {name: pod.scored_requests.get(name, 0) for name in (CPU, MEMORY)}


def _sum(parts: Iterable[Amounts]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        total = added(total, part)
    return total


@dataclass(frozen=True)
class Snapshot:
    """Everything a decision looks at."""

    nodes: Sequence[NodeInfo]
    namespaces: Mapping[str, JsonObject] = field(default_factory=dict)
    """Labels of every namespace."""

    @cached_property
    def pods(self) -> list[tuple[PodInfo, NodeInfo]]:
        """Every placed pod, with its node."""
        return [(pod, node) for node in self.nodes for pod in node.pods]

    @cached_property
    def choosy_pods(self) -> list[tuple[PodInfo, NodeInfo]]:
        """Those that care which pods are near them."""
        return [(pod, node) for node in self.nodes for pod in node.choosy_pods]

    @cached_property
    def nodes_by_image(self) -> Mapping[str, int]:
        """On how many nodes an image is."""
        counts: dict[str, int] = {}
        for node in self.nodes:
            for image in node.image_sizes:
                counts[image] = counts.get(image, 0) + 1
        return counts

    def replaced(self, changed: NodeInfo) -> "Snapshot":
        """Return the snapshot with another state of one node."""
        nodes = [changed if node.name == changed.name else node for node in self.nodes]
        return Snapshot(nodes, self.namespaces)
