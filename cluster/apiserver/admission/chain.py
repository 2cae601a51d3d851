"""Which plugins are asked, in which order."""

from cluster.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from cluster.apiserver.admission.plugin import Plugin
from cluster.apiserver.services import Services


def plugins(services: Services) -> list[Plugin]:
    """Return the plugins in Kubernetes' order."""
    return [NamespaceLifecycle(services)]
