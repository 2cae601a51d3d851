"""Kinds that are special, a file a topic; all others are `strategy.DEFAULT`."""

from collections.abc import Mapping

from cluster.apiserver.registry.strategies.definitions import DefinitionStrategy
from cluster.apiserver.registry.strategies.namespaces import NamespaceStrategy
from cluster.apiserver.registry.strategies.nodes import NodeStrategy
from cluster.apiserver.registry.strategies.pods import PodStrategy
from cluster.apiserver.registry.strategies.services import ServiceStrategy
from cluster.apiserver.registry.strategies.workloads import EventStrategy, OrphaningStrategy
from cluster.apiserver.registry.strategy import DEFAULT, Strategy
from cluster.kube_api.resource import Resource

_BY_RESOURCE: Mapping[tuple[str, str], Strategy] = {
    ("", "events"): EventStrategy(),
    ("events.k8s.io", "events"): EventStrategy(),
    ("", "namespaces"): NamespaceStrategy(),
    ("", "nodes"): NodeStrategy(),
    ("", "pods"): PodStrategy(),
    ("", "services"): ServiceStrategy(),
    ("", "replicationcontrollers"): OrphaningStrategy(),
    ("apiextensions.k8s.io", "customresourcedefinitions"): DefinitionStrategy(),
    ("batch", "jobs"): OrphaningStrategy(),
}


def strategy_of(resource: Resource) -> Strategy:
    """Return the hooks of a resource."""
    return _BY_RESOURCE.get((resource.group, resource.plural), DEFAULT)
