"""Every built-in resource, in the order of discovery: the order decides which group wins a name.

Columns of tables are in `tables`, schemas in `schema`, defaults and rules in `defaults` and
`validation`. What is not here is not served, and must not be in discovery: controllers watch all
that discovery lists.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from cluster.kube_api import names
from cluster.kube_api.resource import ALL_VERBS, Kind, Resource, Subresource

READ_WRITE = ("get", "patch", "update")
_API = "io.k8s.api"
_PACKAGES = {
    "": f"{_API}.core",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
SCALE = Kind("autoscaling", "v1", "Scale")
_FOREIGN = {
    "scale": ("scale", READ_WRITE, SCALE),
    "eviction": ("eviction", ("create",), Kind("policy", "v1", "Eviction")),
    "binding": ("binding", ("create",), Kind("", "v1", "Binding")),
    "token": ("token", ("create",), Kind("authentication.k8s.io", "v1", "TokenRequest")),
    "log": ("log", ("get",), Kind("", "v1", "Pod")),
    "exec": ("exec", ("create", "get"), Kind("", "v1", "PodExecOptions")),
    "attach": ("attach", ("create", "get"), Kind("", "v1", "PodAttachOptions")),
    "portforward": ("portforward", ("create", "get"), Kind("", "v1", "PodPortForwardOptions")),
    "finalize": ("finalize", ("update",), Kind("", "v1", "Namespace")),
}


def _subresources(text: str, kind: Kind) -> tuple[Subresource, ...]:
    """Read `status scale`; a subresource that is not foreign speaks of the object's own kind."""
    return tuple(
        Subresource(*_FOREIGN.get(name, (name, READ_WRITE, kind))) for name in sorted(text.split())
    )


def definition_name(group: str, version: str, kind: str) -> str:
    """Return the name of a built-in kind among the OpenAPI definitions."""
    package = _PACKAGES.get(group) or f"{_API}.{group.partition('.')[0]}"
    return f"{package}.{version}.{kind}"


def _paths(text: str) -> dict[str, str]:
    """Read fields; one that is not named as its path is `name=path`."""
    pairs = (word.partition("=") for word in text.split())
    return {name: path or name for name, _, path in pairs}


def _row(kind: str, **options: Any) -> dict[str, Any]:
    return {"kind": kind, **options}


def _group(group: str, version: str, rows: Iterable[dict[str, Any]]) -> list[Resource]:
    return [_resource(group, version, row) for row in rows]


def _resource(group: str, version: str, row: Mapping[str, Any]) -> Resource:
    kind = row["kind"]
    options = {name: value for name, value in row.items() if name not in _TEXTS}
    plural = row.get("plural") or f"{kind.lower()}s"
    return Resource(
        group=group,
        version=version,
        plural=plural,
        singular=kind.lower(),
        list_kind=f"{kind}List",
        definition=definition_name(group, version, kind),
        key_prefix=row.get("key_prefix") or plural,
        short_names=tuple(row.get("short", "").split()),
        categories=tuple(row.get("categories", "").split()),
        subresources=_subresources(row.get("sub", ""), Kind(group, version, kind)),
        fields=_paths(row.get("select", "")),
        renamed_fields=_paths(row.get("renamed", "")),
        **options,
    )


_TEXTS = {"plural", "key_prefix", "short", "categories", "sub", "select", "renamed"}
_CLUSTER: dict[str, Any] = {"is_namespaced": False}
_COUNTED: dict[str, Any] = {"tracks_generation": True}
_STRICT: dict[str, Any] = {"needs_resource_version": True}
_UPSERT: dict[str, Any] = {"creates_on_update": True}
_REVIEW: dict[str, Any] = {"verbs": ("create",), "is_namespaced": False}
_PATH_NAMED: dict[str, Any] = {"name_rule": names.path_segment}

_INVOLVED = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"]
_EVENT_FIELDS = " ".join(f"involvedObject.{name}" for name in _INVOLVED) + (
    " reason type reportingComponent source=source.component"
)
_NEW_EVENT_FIELDS = " ".join(f"regarding.{name}" for name in _INVOLVED) + (
    " reason type reportingController"
)

_CORE = _group(
    "",
    "v1",
    [
        _row("Binding", verbs=("create",)),
        _row("ConfigMap", short="cm"),
        _row("Endpoints", plural="endpoints", short="ep", key_prefix="services/endpoints")
        | _UPSERT,
        _row("Event", short="ev", select=_EVENT_FIELDS) | _UPSERT,
        _row("LimitRange", short="limits") | _UPSERT,
        _row(
            "Namespace",
            short="ns",
            sub="finalize status",
            select="status.phase",
            name_rule=names.dns_label,
            verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
        )
        | _CLUSTER,
        _row("Node", short="no", sub="status", select="spec.unschedulable", key_prefix="minions")
        | _CLUSTER,
        _row("PersistentVolumeClaim", short="pvc", sub="status"),
        _row("PersistentVolume", short="pv", sub="status") | _CLUSTER,
        _row(
            "Pod",
            short="po",
            categories="all",
            sub="attach binding ephemeralcontainers eviction exec log portforward resize status",
            select="spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName"
            " spec.hostNetwork status.phase status.podIP status.podIPs status.nominatedNodeName",
            renamed="spec.host=spec.nodeName",
        )
        | _COUNTED,
        _row("PodTemplate") | _COUNTED,
        _row(
            "ReplicationController",
            short="rc",
            categories="all",
            sub="scale status",
            select="status.replicas",
            key_prefix="controllers",
        )
        | _COUNTED,
        _row("ResourceQuota", short="quota", sub="status"),
        _row("Secret", select="type"),
        _row("ServiceAccount", short="sa", sub="token"),
        _row(
            "Service",
            short="svc",
            categories="all",
            sub="status",
            select="spec.clusterIP spec.type",
            key_prefix="services/specs",
            name_rule=names.dns_1035_label,
        )
        | _UPSERT,
    ],
)

_GROUPS = [
    _group(
        "apiregistration.k8s.io",
        "v1",
        [
            _row(
                "APIService",
                sub="status",
                categories="api-extensions",
                key_prefix="apiregistration.k8s.io/apiservices",
            )
            | _CLUSTER
        ],
    ),
    _group(
        "apps",
        "v1",
        [
            _row("ControllerRevision"),
            _row("DaemonSet", short="ds", categories="all", sub="status") | _COUNTED,
            _row("Deployment", short="deploy", categories="all", sub="scale status") | _COUNTED,
            _row(
                "ReplicaSet",
                short="rs",
                categories="all",
                sub="scale status",
                select="status.replicas",
            )
            | _COUNTED,
            _row(
                "StatefulSet",
                short="sts",
                categories="all",
                sub="scale status",
                name_rule=names.dns_label,
            )
            | _COUNTED,
        ],
    ),
    _group("events.k8s.io", "v1", [_row("Event", short="ev", select=_NEW_EVENT_FIELDS) | _UPSERT]),
    _group(
        "authentication.k8s.io",
        "v1",
        [_row("SelfSubjectReview") | _REVIEW, _row("TokenReview") | _REVIEW],
    ),
    _group(
        "authorization.k8s.io",
        "v1",
        [
            _row("LocalSubjectAccessReview", verbs=("create",)),
            _row("SelfSubjectAccessReview") | _REVIEW,
            _row("SelfSubjectRulesReview") | _REVIEW,
            _row("SubjectAccessReview") | _REVIEW,
        ],
    ),
    _group(
        "autoscaling",
        "v2",
        [_row("HorizontalPodAutoscaler", short="hpa", categories="all", sub="status")],
    ),
    _group(
        "autoscaling",
        "v1",
        [_row("HorizontalPodAutoscaler", short="hpa", categories="all", sub="status")],
    ),
    _group(
        "batch",
        "v1",
        [
            _row("CronJob", short="cj", categories="all", sub="status") | _COUNTED,
            _row(
                "Job",
                categories="all",
                sub="status",
                select="status.successful=status.succeeded",
            )
            | _COUNTED,
        ],
    ),
    _group(
        "certificates.k8s.io",
        "v1",
        [
            _row(
                "CertificateSigningRequest",
                short="csr",
                sub="approval status",
                select="spec.signerName",
            )
            | _CLUSTER
        ],
    ),
    _group(
        "networking.k8s.io",
        "v1",
        [
            _row("IngressClass", plural="ingressclasses") | _CLUSTER | _COUNTED,
            _row("Ingress", plural="ingresses", short="ing", sub="status", key_prefix="ingress")
            | _COUNTED,
            _row("IPAddress", plural="ipaddresses", short="ip") | _CLUSTER,
            _row("NetworkPolicy", plural="networkpolicies", short="netpol") | _COUNTED,
            _row("ServiceCIDR", sub="status") | _CLUSTER,
        ],
    ),
    _group(
        "policy",
        "v1",
        [_row("PodDisruptionBudget", short="pdb", sub="status") | _COUNTED | _STRICT],
    ),
    _group(
        "rbac.authorization.k8s.io",
        "v1",
        [
            _row("ClusterRoleBinding") | _CLUSTER | _UPSERT | _PATH_NAMED,
            _row("ClusterRole") | _CLUSTER | _UPSERT | _PATH_NAMED,
            _row("RoleBinding") | _UPSERT | _PATH_NAMED,
            _row("Role") | _UPSERT | _PATH_NAMED,
        ],
    ),
    _group(
        "storage.k8s.io",
        "v1",
        [
            _row("CSIDriver") | _CLUSTER | _STRICT,
            _row("CSINode") | _CLUSTER | _STRICT,
            _row("CSIStorageCapacity", plural="csistoragecapacities") | _STRICT,
            _row("StorageClass", plural="storageclasses", short="sc") | _CLUSTER,
            _row("VolumeAttachment", sub="status") | _CLUSTER | _STRICT,
        ],
    ),
    _group(
        "admissionregistration.k8s.io",
        "v1",
        [
            _row(kind, plural=plural, sub=sub, categories="api-extensions")
            | _CLUSTER
            | _COUNTED
            | _STRICT
            for kind, plural, sub in (
                ("MutatingWebhookConfiguration", "", ""),
                ("ValidatingAdmissionPolicy", "validatingadmissionpolicies", "status"),
                ("ValidatingAdmissionPolicyBinding", "", ""),
                ("ValidatingWebhookConfiguration", "", ""),
            )
        ],
    ),
    _group(
        "apiextensions.k8s.io",
        "v1",
        [
            _row(
                "CustomResourceDefinition",
                short="crd crds",
                categories="api-extensions",
                sub="status",
                key_prefix="apiextensions.k8s.io/customresourcedefinitions",
            )
            | _CLUSTER
            | _COUNTED
            | _STRICT
        ],
    ),
    _group(
        "scheduling.k8s.io",
        "v1",
        [_row("PriorityClass", plural="priorityclasses", short="pc") | _CLUSTER | _COUNTED],
    ),
    _group("coordination.k8s.io", "v1", [_row("Lease") | _STRICT | _UPSERT]),
    _group(
        "node.k8s.io",
        "v1",
        [
            _row("RuntimeClass", plural="runtimeclasses", name_rule=names.dns_subdomain)
            | _CLUSTER
            | _STRICT
            | _UPSERT
        ],
    ),
    _group("discovery.k8s.io", "v1", [_row("EndpointSlice") | _COUNTED]),
    _group(
        "flowcontrol.apiserver.k8s.io",
        "v1",
        [
            _row("FlowSchema", sub="status") | _CLUSTER | _COUNTED,
            _row("PriorityLevelConfiguration", sub="status") | _CLUSTER | _COUNTED,
        ],
    ),
]

BUILT_IN: tuple[Resource, ...] = (*_CORE, *(resource for group in _GROUPS for resource in group))
BY_KIND: Mapping[Kind, Resource] = {resource.gvk: resource for resource in BUILT_IN}
BY_PLURAL: Mapping[tuple[str, str, str], Resource] = {
    (resource.group, resource.version, resource.plural): resource for resource in BUILT_IN
}
