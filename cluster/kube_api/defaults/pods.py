"""Defaults of pods, and of the templates that controllers make pods of."""

from cluster.kube_api.defaults.setting import default, each, struct
from cluster.kube_api.objects import JsonObject

_CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")
_MODE = 0o644


def set_pod(pod: JsonObject) -> None:
    """Set what a pod has; requests are what the limits are."""
    spec = struct(pod, "spec")
    set_pod_spec(spec)
    default(spec, enableServiceLinks=True)
    for name in ("containers", "initContainers"):
        for container in each(spec, name):
            _set_requests(struct(container, "resources"))


def _set_requests(resources: JsonObject) -> None:
    limits = resources.get("limits")
    if limits:
        resources["requests"] = limits | (resources.get("requests") or {})


def set_pod_template(obj: JsonObject) -> None:
    """Set what the template of a PodTemplate has."""
    set_pod_spec(struct(struct(obj, "template"), "spec"))


def set_pod_spec(spec: JsonObject) -> None:
    """Set what pods and templates have alike."""
    default(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for name in _CONTAINER_LISTS:
        for container in each(spec, name):
            _set_container(container, is_on_host=spec.get("hostNetwork") is True)
    for volume in each(spec, "volumes"):
        set_volume(volume)


def _set_container(container: JsonObject, *, is_on_host: bool) -> None:
    default(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=_pull_policy(str(container.get("image") or "")),
        resources={},
    )
    for port in each(container, "ports"):
        default(port, protocol="TCP")
        if is_on_host and not port.get("hostPort"):
            port["hostPort"] = port.get("containerPort")
    for variable in each(container, "env"):
        _set_field_reference(struct_or_none(variable, "valueFrom"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        _set_probe(struct_or_none(container, name))
    for hook in ("postStart", "preStop"):
        _set_http(struct_or_none(struct_or_none(container, "lifecycle"), hook))


def _pull_policy(image: str) -> str:
    """Return Always for an image that may be another one tomorrow."""
    if "@" in image or not image:
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "Always" if not colon or tag == "latest" else "IfNotPresent"


def struct_or_none(obj: JsonObject | None, name: str) -> JsonObject | None:
    """Return the struct `name`, if it is there."""
    found = obj.get(name) if obj is not None else None
    return found if isinstance(found, dict) else None


def _set_field_reference(source: JsonObject | None) -> None:
    reference = struct_or_none(source, "fieldRef")
    if reference is not None:
        default(reference, apiVersion="v1")


def _set_probe(probe: JsonObject | None) -> None:
    if probe is None:
        return
    default(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _set_http(probe)
    grpc = struct_or_none(probe, "grpc")
    if grpc is not None:
        default(grpc, service="")


def _set_http(handler: JsonObject | None) -> None:
    http = struct_or_none(handler, "httpGet")
    if http is not None:
        default(http, path="/", scheme="HTTP")


_MODED = ("secret", "configMap", "downwardAPI", "projected")


def set_volume(volume: JsonObject) -> None:
    """Set what a volume has; one without a source is an empty directory."""
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for name in _MODED:
        source = struct_or_none(volume, name)
        if source is not None:
            default(source, defaultMode=_MODE)
    path = struct_or_none(volume, "hostPath")
    if path is not None:
        default(path, type="")
    for item in each(struct_or_none(volume, "downwardAPI") or {}, "items"):
        _set_field_reference(item)
    for projection in each(struct_or_none(volume, "projected") or {}, "sources"):
        token = struct_or_none(projection, "serviceAccountToken")
        if token is not None:
            default(token, expirationSeconds=3600)
        for item in each(struct_or_none(projection, "downwardAPI") or {}, "items"):
            _set_field_reference(item)
    template = struct_or_none(struct_or_none(volume, "ephemeral"), "volumeClaimTemplate")
    if template is not None:
        default(struct(template, "spec"), volumeMode="Filesystem")
