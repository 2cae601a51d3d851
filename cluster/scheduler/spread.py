"""Pods of a kind spread over domains: topology spread constraints. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from cluster.kube_api.objects import JsonObject, integer_at, list_at, string_at
from cluster.kube_api.selectors import LabelSelector, label_selector
from cluster.scheduler.affinity import Domain, domain
from cluster.scheduler.filters import Reason, matches_node, taints
from cluster.scheduler.node_info import NodeInfo, Snapshot
from cluster.scheduler.pod_info import PodInfo, with_label_keys

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
_TEXT = "node(s) didn't match pod topology spread constraints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """At most how unevenly matching pods may lie over the domains of a topology key."""

    key: str
    skew_max: int
    selector: LabelSelector
    is_required: bool = False
    domains_min: int = 1
    heeds_affinity: bool = True
    heeds_taints: bool = False

    def counts(self, node: NodeInfo, pod: PodInfo) -> bool:
        """Whether a node is one over which `pod` is to be spread."""
        return (not self.heeds_affinity or matches_node(pod, node)) and (
            not self.heeds_taints or not taints(pod, node)
        )

    def matching(self, node: NodeInfo, namespace: str) -> int:
        """Return how many of a node's pods are of the kind that is spread."""
        return sum(
            pod.namespace == namespace
            and not pod.is_terminating
            and self.selector.matches(pod.labels)
            for pod in node.pods
        )


def constraints(pod: PodInfo) -> list[Constraint]:
    """Read those that a pod states."""
    return [_constraint(pod, one) for one in list_at(pod.spec, "topologySpreadConstraints")]


def _constraint(pod: PodInfo, one: JsonObject) -> Constraint:
    selector = label_selector(one.get("labelSelector"))
    return Constraint(
        key=string_at(one, "topologyKey"),
        skew_max=integer_at(one, "maxSkew", default=1),
        selector=with_label_keys(selector, pod.labels, list_at(one, "matchLabelKeys")),
        is_required=string_at(one, "whenUnsatisfiable") != "ScheduleAnyway",
        domains_min=integer_at(one, "minDomains", default=1),
        heeds_affinity=string_at(one, "nodeAffinityPolicy") != "Ignore",
        heeds_taints=string_at(one, "nodeTaintsPolicy") == "Honor",
    )


def default_constraints(selector: LabelSelector) -> list[Constraint]:
    """Return how pods of one Service or owner are spread when they do not say: if possible."""
    return [
        Constraint(key=key, skew_max=skew_max, selector=selector)
        for key, skew_max in ((HOSTNAME, 3), (ZONE, 5))
    ]


class TopologySpread:
    """One pod's constraints, counted once per decision.

    `kind` selects the pods of the same Service or owner; None if there is neither.
    """

    def __init__(self, pod: PodInfo, snapshot: Snapshot, kind: LabelSelector | None) -> None:
        self._pod = pod
        self._nodes = snapshot.nodes
        stated = constraints(pod)
        self._required = [one for one in stated if one.is_required]
        self._wished = [one for one in stated if not one.is_required]
        self._is_default = not stated and kind is not None
        if not stated and kind is not None:
            self._wished = default_constraints(kind)
        self._counts = self._count(self._required)

    def rule(self, _pod: PodInfo, node: NodeInfo) -> list[Reason]:
        """No domain gets further ahead of the emptiest than allowed."""
        for one in self._required:
            found = domain(node, one.key)
            if found is None:
                return [Reason(f"{_TEXT} (missing required label)", is_final=True)]
            counts = self._counts[one.key]
            least = min(counts.values(), default=0) if len(counts) >= one.domains_min else 0
            itself = one.selector.matches(self._pod.labels)
            if counts.get(found, 0) + itself - least > one.skew_max:
                return [Reason(_TEXT)]
        return []

    def _count(self, stated: Sequence[Constraint]) -> dict[str, dict[Domain, int]]:
        """Return by topology key how many matching pods each domain has.

        Only nodes that have all the keys take part.
        """
        result: dict[str, dict[Domain, int]] = {}
        for one in stated:
            counts: Counter[Domain] = Counter()
            for node in self._nodes:
                if not all(other.key in node.labels for other in stated):
                    continue
                found = domain(node, one.key)
                if found is not None and one.counts(node, self._pod):
                    counts[found] += one.matching(node, self._pod.namespace)
            result[one.key] = dict(counts)
        return result

    def scores(self, feasible: Sequence[NodeInfo]) -> dict[str, int] | None:
        """Return 0 to 100 by node name: fewer of the kind nearby is better. None: no wishes."""
        if not self._wished:
            return None
        needs_all = not self._is_default
        ignored = {
            node.name
            for node in feasible
            if needs_all and not all(one.key in node.labels for one in self._wished)
        }
        rated = [node for node in feasible if node.name not in ignored]
        sums = dict.fromkeys((node.name for node in rated), 0.0)
        for one in self._wished:
            self._add(one, rated, sums, needs_all=needs_all)
        raw = {name: round(value) for name, value in sums.items()}
        highest, lowest = max(raw.values(), default=0), min(raw.values(), default=0)
        return {
            node.name: 0
            if node.name in ignored
            else 100
            if highest == 0
            else (highest + lowest - raw[node.name]) * 100 // highest
            for node in feasible
        }

    def _add(
        self, one: Constraint, rated: Sequence[NodeInfo], sums: dict[str, float], *, needs_all: bool
    ) -> None:
        domains = {found for node in rated if (found := domain(node, one.key)) is not None}
        counts: Counter[Domain] = Counter()
        for node in self._nodes:
            has_all = all(other.key in node.labels for other in self._wished)
            found = domain(node, one.key)
            if found in domains and (has_all or not needs_all) and one.counts(node, self._pod):
                counts[found] += one.matching(node, self._pod.namespace)
        size = len(rated) if one.key == HOSTNAME else len(domains)
        weight = log(size + 2)
        for node in rated:
            found = domain(node, one.key)
            if found is not None:
                sums[node.name] += counts[found] * weight + (one.skew_max - 1)
