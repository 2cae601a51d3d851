"""Every controller by its name, as `--controllers` takes it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from cluster.controllers.account_tokens import AccountTokensController
from cluster.controllers.cron_job import CronJobController, TtlAfterFinishedController
from cluster.controllers.daemon_set import DaemonSetController
from cluster.controllers.deployment import DeploymentController
from cluster.controllers.disruption import DisruptionController
from cluster.controllers.endpoint_slices import EndpointSliceController
from cluster.controllers.endpoints import EndpointsController
from cluster.controllers.garbage_collector import GarbageCollector
from cluster.controllers.job import JobController
from cluster.controllers.namespaces import NamespaceController
from cluster.controllers.node_lifecycle import NodeLifecycleController
from cluster.controllers.replica_set import ReplicaSetController
from cluster.controllers.resource_quota import ResourceQuotaController
from cluster.controllers.service_accounts import (
    RootCertificateController,
    ServiceAccountsController,
)
from cluster.controllers.slice_mirroring import SliceMirroringController
from cluster.controllers.stateful_set import StatefulSetController
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import REPLICA_SETS, REPLICATION_CONTROLLERS
from cluster.kube_api.resource import Resource


@dataclass(frozen=True, slots=True)
class Setting:
    """What some controllers need beside the environment."""

    discover: Callable[[], Awaitable[Sequence[Resource]]]
    root_certificate: str = ""


Make = Callable[[Environment, Setting], Controller]
CONTROLLERS: Mapping[str, Make] = {
    "cronjob": lambda environment, _: CronJobController(environment),
    "daemonset": lambda environment, _: DaemonSetController(environment),
    "deployment": lambda environment, _: DeploymentController(environment),
    "disruption": lambda environment, _: DisruptionController(environment),
    "endpoint": lambda environment, _: EndpointsController(environment),
    "endpointslice": lambda environment, _: EndpointSliceController(environment),
    "endpointslicemirroring": lambda environment, _: SliceMirroringController(environment),
    "garbagecollector": lambda environment, setting: GarbageCollector(
        environment, setting.discover
    ),
    "job": lambda environment, _: JobController(environment),
    "namespace": lambda environment, setting: NamespaceController(environment, setting.discover),
    "node-lifecycle": lambda environment, _: NodeLifecycleController(environment),
    "replicaset": lambda environment, _: ReplicaSetController(environment, REPLICA_SETS),
    "replicationcontroller": lambda environment, _: ReplicaSetController(
        environment, REPLICATION_CONTROLLERS
    ),
    "resourcequota": lambda environment, setting: ResourceQuotaController(
        environment, setting.discover
    ),
    "root-ca-certificate-publisher": lambda environment, setting: RootCertificateController(
        environment, setting.root_certificate
    ),
    "serviceaccount": lambda environment, _: ServiceAccountsController(environment),
    "serviceaccount-token": lambda environment, setting: AccountTokensController(
        environment, setting.root_certificate
    ),
    "statefulset": lambda environment, _: StatefulSetController(environment),
    "ttl-after-finished": lambda environment, _: TtlAfterFinishedController(environment),
}


class UnknownControllers(Exception):
    """Names that are none."""


def selected(wanted: str) -> Sequence[str]:
    """Read `*,-job`: all but some; or `job,cronjob`: only some.

    Raises:
        UnknownControllers: a name is none.
    """
    words = [word.strip() for word in wanted.split(",") if word.strip()]
    named = [word.removeprefix("-") for word in words if word != "*"]
    unknown = [name for name in named if name not in CONTROLLERS]
    if unknown:
        known = ", ".join(CONTROLLERS)
        raise UnknownControllers(f"no such controllers: {', '.join(unknown)} (known: {known})")
    on = {word for word in words if not word.startswith("-")}
    off = {word.removeprefix("-") for word in words if word.startswith("-")}
    return [name for name in CONTROLLERS if name not in off and ("*" in on or name in on)]
