"""The roles and bindings that every cluster begins with, as data.

A line is `verbs | groups | resources`; `-` stands for the core group. The first four roles are for
people, the others for the parts of a cluster; discovery and health are for everybody who is known.
"""

from collections.abc import Iterable, Iterator

from cluster.kube_api.objects import JsonObject

GROUP = "rbac.authorization.k8s.io"
API_VERSION = f"{GROUP}/v1"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_READ = "get list watch"
_WRITE = "create delete deletecollection patch update"
_ALL = f"{_READ} {_WRITE}"

_VIEW = f"""
{_READ} | - | configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods
{_READ} | - | replicationcontrollers replicationcontrollers/scale serviceaccounts services
{_READ} | - | services/status
{_READ} | - | bindings events limitranges namespaces/status pods/log pods/status
{_READ} | - | replicationcontrollers/status resourcequotas resourcequotas/status namespaces
{_READ} | discovery.k8s.io | endpointslices
{_READ} | apps | controllerrevisions daemonsets daemonsets/status deployments deployments/scale
{_READ} | apps | deployments/status replicasets replicasets/scale replicasets/status
{_READ} | apps | statefulsets statefulsets/scale statefulsets/status
{_READ} | autoscaling | horizontalpodautoscalers horizontalpodautoscalers/status
{_READ} | batch | cronjobs cronjobs/status jobs jobs/status
{_READ} | policy | poddisruptionbudgets poddisruptionbudgets/status
{_READ} | networking.k8s.io | ingresses ingresses/status networkpolicies
"""
_EDIT = f"""
{_READ} | - | pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy
impersonate | - | serviceaccounts
{_WRITE} | - | pods pods/attach pods/exec pods/portforward pods/proxy
create | - | pods/eviction serviceaccounts/token
{_WRITE} | - | configmaps events persistentvolumeclaims replicationcontrollers
{_WRITE} | - | replicationcontrollers/scale secrets serviceaccounts services services/proxy
{_WRITE} | apps | daemonsets deployments deployments/rollback deployments/scale
{_WRITE} | apps | replicasets replicasets/scale statefulsets statefulsets/scale
{_WRITE} | autoscaling | horizontalpodautoscalers
{_WRITE} | batch | cronjobs jobs
{_WRITE} | policy | poddisruptionbudgets
{_WRITE} | networking.k8s.io | ingresses networkpolicies
{_ALL} | coordination.k8s.io | leases
"""
_ADMIN = f"""
create | authorization.k8s.io | localsubjectaccessreviews
{_ALL} | {GROUP} | roles rolebindings
"""
_ROLES = {
    "cluster-admin": "* | * | *",
    "system:aggregate-to-view": _VIEW,
    "system:aggregate-to-edit": _EDIT,
    "system:aggregate-to-admin": _ADMIN,
    "system:basic-user": """
create | authorization.k8s.io | selfsubjectaccessreviews selfsubjectrulesreviews
create | authentication.k8s.io | selfsubjectreviews
""",
    "system:auth-delegator": """
create | authentication.k8s.io | tokenreviews
create | authorization.k8s.io | subjectaccessreviews
""",
    "system:node": f"""
create | authentication.k8s.io | tokenreviews
create | authorization.k8s.io | localsubjectaccessreviews subjectaccessreviews
{_READ} | - | services
{_READ} create update patch delete | - | nodes
update patch | - | nodes/status
create update patch | - events.k8s.io | events
{_READ} create delete | - | pods
update patch | - | pods/status
create | - | pods/eviction
{_READ} | - | configmaps secrets endpoints
{_READ} | - | persistentvolumeclaims persistentvolumes
create | - | serviceaccounts/token
get | - | serviceaccounts
{_READ} create | certificates.k8s.io | certificatesigningrequests
get create update patch delete | coordination.k8s.io | leases
get | storage.k8s.io | volumeattachments
{_READ} | storage.k8s.io | csidrivers
get create update patch delete | storage.k8s.io | csinodes
{_READ} | node.k8s.io | runtimeclasses
""",
    "system:node-proxier": f"""
list watch | - | services endpoints
{_READ} | - | nodes
create update patch | - events.k8s.io | events
list watch | discovery.k8s.io | endpointslices
list watch | networking.k8s.io | servicecidrs
""",
    "system:kube-scheduler": f"""
create update patch | - events.k8s.io | events
create get list update watch patch | coordination.k8s.io | leases
{_READ} | - | nodes
delete {_READ} | - | pods
create | - | pods/binding bindings
update patch | - | pods/status
{_READ} | - | replicationcontrollers services namespaces
{_READ} | apps | replicasets statefulsets
{_READ} | policy | poddisruptionbudgets
{_READ} update patch | - | persistentvolumeclaims persistentvolumes
create | authentication.k8s.io | tokenreviews
create | authorization.k8s.io | subjectaccessreviews
{_READ} | storage.k8s.io | csinodes csidrivers csistoragecapacities volumeattachments
{_READ} | storage.k8s.io | storageclasses
""",
    "system:volume-scheduler": f"""
{_READ} update patch | - | persistentvolumes
{_READ} | storage.k8s.io | storageclasses
{_READ} update patch | - | persistentvolumeclaims
""",
    "system:kube-controller-manager": """
create update patch | - events.k8s.io | events
create get list update watch patch | coordination.k8s.io | leases
create delete get update | - | secrets serviceaccounts
get | - | namespaces configmaps
create | authentication.k8s.io | tokenreviews
create | authorization.k8s.io | subjectaccessreviews
list watch get | * | *
create | - | serviceaccounts/token
""",
}
_DISCOVERY = (
    "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz",
    "/version", "/version/",
)  # fmt: skip
_PATHS = {
    "system:discovery": _DISCOVERY,
    "system:public-info-viewer": ("/healthz", "/livez", "/readyz", "/version", "/version/"),
    "system:monitoring": ("/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz"),
    "system:service-account-issuer-discovery": (
        "/.well-known/openid-configuration", "/.well-known/openid-configuration/",
        "/openid/v1/jwks", "/openid/v1/jwks/",
    ),
}  # fmt: skip
_AGGREGATED = {"admin": "admin", "edit": "edit", "view": "view"}
_AGGREGATES_TO = {
    "system:aggregate-to-admin": "admin",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
    "edit": "admin",
    "view": "edit",
}
_SUBJECTS = {
    "cluster-admin": ("Group system:masters",),
    "system:discovery": ("Group system:authenticated",),
    "system:basic-user": ("Group system:authenticated",),
    "system:public-info-viewer": ("Group system:authenticated", "Group system:unauthenticated"),
    "system:monitoring": ("Group system:monitoring",),
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
    "system:kube-scheduler": ("User system:kube-scheduler",),
    "system:volume-scheduler": ("User system:kube-scheduler",),
    "system:kube-controller-manager": ("User system:kube-controller-manager",),
    "system:node-proxier": ("User system:kube-proxy",),
    "system:node": ("Group system:nodes",),
}


def objects() -> Iterator[JsonObject]:
    """Yield the roles, then the bindings."""
    for name, lines in _ROLES.items():
        rules = list(_rules(lines))
        if name == "cluster-admin":
            rules.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
        yield _role(name, rules)
    for name, paths in _PATHS.items():
        yield _role(name, [{"verbs": ["get"], "nonResourceURLs": list(paths)}])
    for name, label in _AGGREGATED.items():
        selector = {"matchLabels": {_aggregate_label(label): "true"}}
        role = _role(name, list(_rules(_filled(name))))
        yield role | {"aggregationRule": {"clusterRoleSelectors": [selector]}}
    for name, subjects in _SUBJECTS.items():
        yield _binding(name, subjects)


def _filled(name: str) -> str:
    """Return what the aggregation controller fills in; without one, the roles are whole as well."""
    return {"view": _VIEW, "edit": _VIEW + _EDIT, "admin": _VIEW + _EDIT + _ADMIN}[name]


def _aggregate_label(role: str) -> str:
    return f"{GROUP.removesuffix('.k8s.io')}.k8s.io/aggregate-to-{role}"


def _rules(lines: str) -> Iterator[JsonObject]:
    for line in filter(None, lines.splitlines()):
        verbs, groups, resources = (part.split() for part in line.split("|"))
        named = ["" if group == "-" else group for group in groups]
        yield {"verbs": verbs, "apiGroups": named, "resources": resources}


def _metadata(name: str, labels: dict[str, str] | None = None) -> JsonObject:
    return {"name": name, "labels": _LABELS | (labels or {}), "annotations": dict(_ANNOTATIONS)}


def _role(name: str, rules: list[JsonObject]) -> JsonObject:
    to = _AGGREGATES_TO.get(name)
    labels = {_aggregate_label(to): "true"} if to else None
    head = {"apiVersion": API_VERSION, "kind": "ClusterRole"}
    return head | {"metadata": _metadata(name, labels), "rules": rules}


def _binding(role: str, subjects: Iterable[str]) -> JsonObject:
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusterRoleBinding",
        "metadata": _metadata(role),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [_subject(*subject.split()) for subject in subjects],
    }


def _subject(kind: str, name: str) -> JsonObject:
    return {"apiGroup": GROUP, "kind": kind, "name": name}
