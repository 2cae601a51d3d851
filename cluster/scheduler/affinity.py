"""Near which pods, and far from which: inter-pod affinity. Pure.

A pod's neighbourhood is a *domain*: the nodes with the same value of a topology key.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property

from cluster.scheduler.filters import Reason
from cluster.scheduler.node_info import NodeInfo, Snapshot
from cluster.scheduler.pod_info import PodInfo, PodTerm

_REQUIRED_WEIGHT = 1
"""What it is worth to be where a placed pod requires one like this."""
Domain = tuple[str, str]


def domain(node: NodeInfo, key: str) -> Domain | None:
    """Return the domain of a node; None if it lacks the label."""
    value = node.labels.get(key)
    return None if value is None else (key, str(value))


class InterPodAffinity:
    """What one pod and all placed pods want of each other, counted once per decision."""

    def __init__(self, pod: PodInfo, snapshot: Snapshot) -> None:
        self._pod = pod
        self._snapshot = snapshot

    def rule(self, _pod: PodInfo, node: NodeInfo) -> list[Reason]:
        """The required terms of the pod, and those of pods that are there already."""
        if not self._is_near_all(node):
            return [Reason("node(s) didn't match pod affinity rules", is_final=True)]
        if any(
            self._shunned[found] for found in self._domains(node, self._pod.required_anti_affinity)
        ):
            return [Reason("node(s) didn't match pod anti-affinity rules")]
        if any((key, str(value)) in self._shunning for key, value in node.labels.items()):
            return [Reason("node(s) didn't satisfy existing pods anti-affinity rules")]
        return []

    def raw_score(self, node: NodeInfo) -> int:
        """Return the sum of the weights of all preferences that the node fulfils."""
        return sum(
            weight
            for (key, value), weight in self._weights.items()
            if node.labels.get(key) == value
        )

    def _is_near_all(self, node: NodeInfo) -> bool:
        terms = self._pod.required_affinity
        if not terms:
            return True
        found = [domain(node, term.topology_key) for term in terms]
        if None in found:
            return False
        if all(one is not None and self._sought[one] for one in found):
            return True
        # The first of a group that wants its own kind near must start somewhere.
        return not self._sought and all(self._selects(term, self._pod) for term in terms)

    @cached_property
    def _sought(self) -> Counter[Domain]:
        """In which domains pods are that fulfil all required terms."""
        terms = self._pod.required_affinity
        counts: Counter[Domain] = Counter()
        for pod, node in self._snapshot.pods if terms else ():
            if all(self._selects(term, pod) for term in terms):
                counts.update(self._domains(node, terms))
        return counts

    @cached_property
    def _shunned(self) -> Counter[Domain]:
        """In which domains pods are that this one must not be near."""
        counts: Counter[Domain] = Counter()
        for term in self._pod.required_anti_affinity:
            for pod, node in self._snapshot.pods:
                if self._selects(term, pod):
                    counts.update(self._domains(node, [term]))
        return counts

    @cached_property
    def _shunning(self) -> set[Domain]:
        """In which domains pods are that do not want this one near."""
        return {
            found
            for pod, node in self._snapshot.choosy_pods
            for term in pod.required_anti_affinity
            if self._selects(term, self._pod)
            for found in self._domains(node, [term])
        }

    @cached_property
    def _weights(self) -> Counter[Domain]:
        """What it is worth to be in a domain, by this pod's preferences and by those of others."""
        wishes = [
            (node, term)
            for term in self._pod.preferred
            for pod, node in self._snapshot.pods
            if self._selects(term, pod)
        ] + [
            (node, term)
            for pod, node in self._snapshot.choosy_pods
            for term in (*pod.preferred, *pod.required_affinity)
            if self._selects(term, self._pod)
        ]
        weights: Counter[Domain] = Counter()
        for node, term in wishes:
            for found in self._domains(node, [term]):
                weights[found] += term.weight or _REQUIRED_WEIGHT
        return weights

    def _selects(self, term: PodTerm, pod: PodInfo) -> bool:
        return term.selects(pod, self._snapshot.namespaces)

    def _domains(self, node: NodeInfo, terms: Iterable[PodTerm]) -> Iterable[Domain]:
        return (found for term in terms if (found := domain(node, term.topology_key)) is not None)
