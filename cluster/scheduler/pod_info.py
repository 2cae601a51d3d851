"""What the rules ask of a pod, read once. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from cluster.kube_api.objects import JsonObject, integer_at, list_at, member, object_at, string_at
from cluster.kube_api.quantity import parse_quantity
from cluster.kube_api.selectors import LabelSelector, Operator, Requirement, label_selector

Amounts = Mapping[str, int]
"""Amounts of resources by name: cpu in thousandths, everything else in whole units."""

CPU, MEMORY, PODS = "cpu", "memory", "pods"
_UNSAID = {CPU: 100, MEMORY: 200 << 20}
"""What scores count for a container that does not say what it needs."""


class HostPort(NamedTuple):
    """A port of the node itself that a container wants; address "0.0.0.0" is all of them."""

    address: str
    protocol: str
    port: int

    def clashes(self, other: "HostPort") -> bool:
        """Whether not both can be had."""
        is_same = (self.protocol, self.port) == (other.protocol, other.port)
        anywhere = "0.0.0.0"  # noqa: S104 - the API's word for all addresses
        return is_same and (
            self.address == other.address or anywhere in (self.address, other.address)
        )


@dataclass(frozen=True, slots=True)
class PodTerm:
    """Pods near which, or far from which, a pod is to be."""

    selector: LabelSelector
    topology_key: str
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None
    weight: int = 0

    def selects(self, pod: "PodInfo", namespaces: Mapping[str, JsonObject]) -> bool:
        """Whether `pod` is meant; `namespaces` are the labels of all."""
        is_there = pod.namespace in self.namespaces or (
            self.namespace_selector is not None
            and self.namespace_selector.matches(namespaces.get(pod.namespace, {}))
        )
        return is_there and self.selector.matches(pod.labels)


def amounts(resources: Mapping[str, object]) -> dict[str, int]:
    """Read a ResourceList."""
    return {name: _amount(name, str(text)) for name, text in resources.items()}


def _amount(name: str, text: str) -> int:
    quantity = parse_quantity(text)
    return quantity.milli if name == CPU else quantity.units


def added(left: Amounts, right: Amounts) -> dict[str, int]:
    """Return the sums by name."""
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


def _larger(left: Amounts, right: Amounts) -> dict[str, int]:
    return {name: max(left.get(name, 0), right.get(name, 0)) for name in {**left, **right}}


def _container_requests(container: JsonObject, unsaid: Amounts) -> dict[str, int]:
    return {**unsaid, **amounts(object_at(container, "resources", "requests"))}


def _requests(pod: JsonObject, unsaid: Amounts) -> dict[str, int]:
    """Return what a pod needs at its hungriest moment.

    Sidecars (init containers that restart) run beside all that come after them.
    """
    total: dict[str, int] = {}
    for container in list_at(pod, "spec", "containers"):
        total = added(total, _container_requests(container, unsaid))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in list_at(pod, "spec", "initContainers"):
        own = _container_requests(container, unsaid)
        if string_at(container, "restartPolicy") == "Always":
            sidecars = added(sidecars, own)
            peak = _larger(peak, sidecars)
        else:
            peak = _larger(peak, added(sidecars, own))
    overhead = amounts(object_at(pod, "spec", "overhead"))
    return added(_larger(added(total, sidecars), peak), overhead)


@dataclass(frozen=True)
class PodInfo:
    """A pod, and what its spec says. Computed when first asked for, then kept."""

    pod: JsonObject
    node_name: str = field(default="", compare=False)
    """Where it runs, or is assumed to."""

    @cached_property
    def uid(self) -> str:
        """What it is told apart by."""
        return string_at(self.pod, "metadata", "uid")

    @cached_property
    def name(self) -> str:
        """Its name in its namespace."""
        return string_at(self.pod, "metadata", "name")

    @cached_property
    def namespace(self) -> str:
        """Where its name counts."""
        return string_at(self.pod, "metadata", "namespace")

    @cached_property
    def labels(self) -> JsonObject:
        """What selectors look at."""
        return object_at(self.pod, "metadata", "labels")

    @cached_property
    def spec(self) -> JsonObject:
        """What is wanted."""
        return object_at(self.pod, "spec")

    @cached_property
    def is_terminating(self) -> bool:
        """Whether it is on its way out."""
        return bool(string_at(self.pod, "metadata", "deletionTimestamp"))

    @cached_property
    def priority(self) -> int:
        """Higher goes first, and may push lower ones out."""
        return integer_at(self.spec, "priority")

    @cached_property
    def requests(self) -> Amounts:
        """What a node must have left for it."""
        return _requests(self.pod, {})

    @cached_property
    def scored_requests(self) -> Amounts:
        """The same for scores: a container that says nothing counts as something."""
        return _requests(self.pod, _UNSAID)

    @cached_property
    def host_ports(self) -> tuple[HostPort, ...]:
        """Ports of the node that it wants for itself."""
        return tuple(_host_ports(list_at(self.spec, "containers"), self.spec))

    @cached_property
    def tolerations(self) -> list[JsonObject]:
        """Taints that it does not mind."""
        return list_at(self.spec, "tolerations")

    @cached_property
    def required_affinity(self) -> tuple[PodTerm, ...]:
        """Pods that it must be near."""
        return self._terms("podAffinity")

    @cached_property
    def required_anti_affinity(self) -> tuple[PodTerm, ...]:
        """Pods that it must not be near."""
        return self._terms("podAntiAffinity")

    @cached_property
    def preferred(self) -> tuple[PodTerm, ...]:
        """Pods that it would rather be near, or far from: then with a negative weight."""
        return self._weighted("podAffinity", 1) + self._weighted("podAntiAffinity", -1)

    @cached_property
    def has_affinity(self) -> bool:
        """Whether it cares about other pods at all."""
        return bool(self.required_affinity or self.required_anti_affinity or self.preferred)

    def _terms(self, kind: str) -> tuple[PodTerm, ...]:
        path = ("affinity", kind, "requiredDuringSchedulingIgnoredDuringExecution")
        return tuple(self._term(term, 0) for term in list_at(self.spec, *path))

    def _weighted(self, kind: str, sign: int) -> tuple[PodTerm, ...]:
        path = ("affinity", kind, "preferredDuringSchedulingIgnoredDuringExecution")
        return tuple(
            self._term(object_at(one, "podAffinityTerm"), sign * integer_at(one, "weight"))
            for one in list_at(self.spec, *path)
        )

    def _term(self, term: JsonObject, weight: int) -> PodTerm:
        named = frozenset(map(str, list_at(term, "namespaces")))
        by_labels = member(term, "namespaceSelector")
        if not named and by_labels is None:
            named = frozenset([self.namespace])
        selector = label_selector(member(term, "labelSelector"))
        selector = with_label_keys(selector, self.labels, list_at(term, "matchLabelKeys"))
        return PodTerm(
            with_label_keys(
                selector, self.labels, list_at(term, "mismatchLabelKeys"), operator=Operator.NOT_IN
            ),
            string_at(term, "topologyKey"),
            named,
            None if by_labels is None else label_selector(by_labels),
            weight,
        )


def with_label_keys(
    selector: LabelSelector,
    labels: JsonObject,
    keys: Iterable[str],
    *,
    operator: Operator = Operator.IN,
) -> LabelSelector:
    """Return `selector` that also compares, for each of `keys` the pod has, its own value."""
    more = [Requirement(key, operator, (str(labels[key]),)) for key in keys if key in labels]
    if not more:
        return selector
    return LabelSelector(tuple(sorted((*selector.requirements, *more), key=lambda one: one.key)))


def _host_ports(containers: Iterable[JsonObject], spec: JsonObject) -> Iterable[HostPort]:
    uses_host = member(spec, "hostNetwork") is True
    for container in containers:
        for port in list_at(container, "ports"):
            number = integer_at(port, "hostPort")
            if not number and uses_host:
                number = integer_at(port, "containerPort")
            if number:
                address = string_at(port, "hostIP") or "0.0.0.0"  # noqa: S104 - as above
                yield HostPort(address, string_at(port, "protocol") or "TCP", number)
