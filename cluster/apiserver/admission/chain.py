"""Which plugins are asked, in which order."""

from cluster.apiserver.admission.default_accounts import DefaultAccounts
from cluster.apiserver.admission.limits import LimitRanger, ResourceQuota
from cluster.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from cluster.apiserver.admission.nodes_and_volumes import (
    StorageObjectInUseProtection,
    TaintNodesByCondition,
)
from cluster.apiserver.admission.plugin import Plugin
from cluster.apiserver.admission.pods import DefaultTolerationSeconds, Priority, ServiceAccount
from cluster.apiserver.admission.rbac_escalation import RbacEscalation
from cluster.apiserver.admission.webhooks import MutatingWebhooks, ValidatingWebhooks
from cluster.apiserver.authorization import Rbac
from cluster.apiserver.services import Services


def plugins(services: Services, rbac: Rbac) -> list[Plugin]:
    """Return the plugins in Kubernetes' order."""
    return [
        NamespaceLifecycle(services),
        LimitRanger(services),
        DefaultAccounts(services),
        ServiceAccount(services),
        TaintNodesByCondition(),
        Priority(services),
        DefaultTolerationSeconds(services),
        StorageObjectInUseProtection(),
        RbacEscalation(rbac),
        MutatingWebhooks(services),
        ValidatingWebhooks(services),
        ResourceQuota(services),  # last: what is charged must not be refused by somebody else
    ]
