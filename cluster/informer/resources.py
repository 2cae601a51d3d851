"""The resources that controllers name, from the catalogue."""

from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.resource import Resource


def resource(api_version: str, plural: str) -> Resource:
    """Return a built-in resource: `resource("apps/v1", "deployments")`."""
    group, _, version = api_version.rpartition("/")
    return BY_PLURAL[group, version, plural]


CONFIG_MAPS = resource("v1", "configmaps")
ENDPOINTS = resource("v1", "endpoints")
EVENTS = resource("v1", "events")
LIMIT_RANGES = resource("v1", "limitranges")
NAMESPACES = resource("v1", "namespaces")
NODES = resource("v1", "nodes")
PERSISTENT_VOLUME_CLAIMS = resource("v1", "persistentvolumeclaims")
PERSISTENT_VOLUMES = resource("v1", "persistentvolumes")
PODS = resource("v1", "pods")
REPLICATION_CONTROLLERS = resource("v1", "replicationcontrollers")
RESOURCE_QUOTAS = resource("v1", "resourcequotas")
SECRETS = resource("v1", "secrets")
SERVICE_ACCOUNTS = resource("v1", "serviceaccounts")
SERVICES = resource("v1", "services")
CONTROLLER_REVISIONS = resource("apps/v1", "controllerrevisions")
DAEMON_SETS = resource("apps/v1", "daemonsets")
DEPLOYMENTS = resource("apps/v1", "deployments")
REPLICA_SETS = resource("apps/v1", "replicasets")
STATEFUL_SETS = resource("apps/v1", "statefulsets")
CRON_JOBS = resource("batch/v1", "cronjobs")
JOBS = resource("batch/v1", "jobs")
LEASES = resource("coordination.k8s.io/v1", "leases")
ENDPOINT_SLICES = resource("discovery.k8s.io/v1", "endpointslices")
POD_DISRUPTION_BUDGETS = resource("policy/v1", "poddisruptionbudgets")
PRIORITY_CLASSES = resource("scheduling.k8s.io/v1", "priorityclasses")
