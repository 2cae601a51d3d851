"""The rules of pods, of containers, and of the templates of pods."""

from collections.abc import Iterable
from typing import Any

from cluster.kube_api import names
from cluster.kube_api.field_errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)
from cluster.kube_api.metadata import annotation_errors, label_errors
from cluster.kube_api.objects import JsonObject, list_at, member, object_at, same, string_at
from cluster.kube_api.quantity import parse_quantity
from cluster.kube_api.validation.checks import (
    NEGATIVE,
    choice_errors,
    count_errors,
    named_errors,
    port_errors,
)

_RESTART = ("Always", "OnFailure", "Never")
_PULL = ("Always", "IfNotPresent", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")


def pod_errors(pod: JsonObject) -> list[FieldError]:
    """Return what is wrong with a pod."""
    return pod_spec_errors(object_at(pod, "spec"), "spec")


def pod_template_errors(obj: JsonObject) -> list[FieldError]:
    """Return what is wrong with a PodTemplate."""
    return template_errors(object_at(obj, "template"), "template")


def template_errors(template: JsonObject, path: str) -> list[FieldError]:
    """Return what is wrong with the template of a controller."""
    metadata = object_at(template, "metadata")
    errors = label_errors(f"{path}.metadata.labels", object_at(metadata, "labels"))
    errors += annotation_errors(f"{path}.metadata.annotations", object_at(metadata, "annotations"))
    return errors + pod_spec_errors(object_at(template, "spec"), f"{path}.spec")


def pod_spec_errors(spec: JsonObject, path: str) -> list[FieldError]:
    """Return what is wrong with the spec of a pod or of a template."""
    volumes = list_at(spec, "volumes")
    errors = named_errors(volumes, f"{path}.volumes", names.dns_label)
    errors += _source_errors(volumes, f"{path}.volumes")
    containers = list_at(spec, "containers")
    if not containers:
        errors.append(required(f"{path}.containers"))
    known = {string_at(volume, "name") for volume in volumes}
    init_containers = list_at(spec, "initContainers")
    errors += _containers_errors(containers, f"{path}.containers", known)
    errors += _containers_errors(init_containers, f"{path}.initContainers", known)
    errors += _shared_names(containers, init_containers, f"{path}.initContainers")
    errors += choice_errors(spec, path, "restartPolicy", _RESTART)
    errors += choice_errors(spec, path, "dnsPolicy", _DNS)
    errors += count_errors(spec, path, "terminationGracePeriodSeconds")
    errors += _deadline_errors(spec, path)
    errors += label_errors(f"{path}.nodeSelector", object_at(spec, "nodeSelector"))
    for name in ("nodeName", "serviceAccountName", "priorityClassName"):
        value = string_at(spec, name)
        problems = names.dns_subdomain(value) if value else []
        errors += [invalid(f"{path}.{name}", value, problem) for problem in problems]
    for name in ("hostname", "subdomain"):
        value = string_at(spec, name)
        problems = names.dns_label(value) if value else []
        errors += [invalid(f"{path}.{name}", value, problem) for problem in problems]
    return errors + _toleration_errors(list_at(spec, "tolerations"), f"{path}.tolerations")


def _deadline_errors(spec: JsonObject, path: str) -> list[FieldError]:
    deadline = member(spec, "activeDeadlineSeconds")
    if isinstance(deadline, int) and not 0 < deadline < 1 << 31:
        why = "must be between 1 and 2147483647, inclusive"
        return [invalid(f"{path}.activeDeadlineSeconds", deadline, why)]
    return []


def _source_errors(volumes: list[Any], path: str) -> list[FieldError]:
    errors = []
    for index, volume in enumerate(volumes):
        sources = [name for name in volume if name != "name" and volume[name] is not None]
        errors += [
            forbidden(f"{path}[{index}].{name}", "may not specify more than 1 volume type")
            for name in sources[1:]
        ]
        claim = member(volume, "persistentVolumeClaim")
        if claim is not None and not string_at(claim, "claimName"):
            errors.append(required(f"{path}[{index}].persistentVolumeClaim.claimName"))
    return errors


def _shared_names(containers: list[Any], others: list[Any], path: str) -> list[FieldError]:
    taken = {string_at(container, "name") for container in containers}
    return [
        duplicate(f"{path}[{index}].name", string_at(other, "name"))
        for index, other in enumerate(others)
        if string_at(other, "name") in taken
    ]


def _containers_errors(containers: list[Any], path: str, volumes: set[str]) -> list[FieldError]:
    errors = named_errors(containers, path, names.dns_label)
    for index, container in enumerate(containers):
        errors += _container_errors(container, f"{path}[{index}]", volumes)
    return errors


def _container_errors(container: JsonObject, path: str, volumes: set[str]) -> list[FieldError]:
    image = string_at(container, "image")
    errors = []
    if not image:
        errors.append(required(f"{path}.image"))
    elif image.strip() != image:
        why = "must not have leading or trailing whitespace"
        errors.append(invalid(f"{path}.image", image, why))
    errors += choice_errors(container, path, "imagePullPolicy", _PULL)
    errors += _ports_errors(list_at(container, "ports"), f"{path}.ports")
    errors += _environment_errors(list_at(container, "env"), f"{path}.env")
    errors += _mount_errors(list_at(container, "volumeMounts"), f"{path}.volumeMounts", volumes)
    errors += _resource_errors(object_at(container, "resources"), f"{path}.resources")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if member(container, name) is not None:
            errors += _probe_errors(object_at(container, name), f"{path}.{name}", name)
    return errors


def _ports_errors(ports: list[Any], path: str) -> list[FieldError]:
    errors, seen = [], set()
    for index, port in enumerate(ports):
        where, name = f"{path}[{index}]", string_at(port, "name")
        if name:
            errors += [invalid(f"{where}.name", name, one) for one in names.port_name(name)]
            if name in seen:
                errors.append(duplicate(f"{where}.name", name))
            seen.add(name)
        if not member(port, "containerPort"):
            errors.append(required(f"{where}.containerPort"))
        else:
            errors += port_errors(member(port, "containerPort"), f"{where}.containerPort")
        if member(port, "hostPort"):
            errors += port_errors(member(port, "hostPort"), f"{where}.hostPort")
        errors += choice_errors(port, where, "protocol", PROTOCOLS)
    return errors


def _environment_errors(variables: list[Any], path: str) -> list[FieldError]:
    errors = []
    for index, variable in enumerate(variables):
        name, where = string_at(variable, "name"), f"{path}[{index}]"
        if not name:
            errors.append(required(f"{where}.name"))
        else:
            problems = names.environment_name(name)
            errors += [invalid(f"{where}.name", name, problem) for problem in problems]
        source = member(variable, "valueFrom")
        if source is not None and string_at(variable, "value"):
            errors.append(
                invalid(f"{where}.valueFrom", "", "may not be specified when `value` is not empty")
            )
        elif source is not None and len(source) != 1:
            why = (
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or"
                " `secretKeyRef`"
            )
            errors.append(invalid(f"{where}.valueFrom", "", why))
    return errors


def _mount_errors(mounts: list[Any], path: str, volumes: set[str]) -> list[FieldError]:
    errors, seen = [], set()
    for index, mount in enumerate(mounts):
        name, where = string_at(mount, "name"), f"{path}[{index}]"
        place = string_at(mount, "mountPath")
        if not name:
            errors.append(required(f"{where}.name"))
        elif name not in volumes:
            errors.append(not_found(f"{where}.name", name))
        if not place:
            errors.append(required(f"{where}.mountPath"))
        elif place in seen:
            errors.append(invalid(f"{where}.mountPath", place, "must be unique"))
        seen.add(place)
    return errors


def _resource_errors(resources: JsonObject, path: str) -> list[FieldError]:
    errors = []
    limits, requests = object_at(resources, "limits"), object_at(resources, "requests")
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if parse_quantity(amount).nano < 0:
                errors.append(invalid(f"{path}.{part}[{name}]", amount, NEGATIVE))
    for name, request in requests.items():
        limit = limits.get(name)
        if limit is not None and parse_quantity(limit) < parse_quantity(request):
            why = f"must be less than or equal to {name} limit of {limit}"
            errors.append(invalid(f"{path}.requests", request, why))
    return errors


def _probe_errors(probe: JsonObject, path: str, name: str) -> list[FieldError]:
    handlers = [one for one in _HANDLERS if member(probe, one) is not None]
    errors = []
    if not handlers:
        errors.append(required(path, "must specify a handler type"))
    errors += [
        forbidden(f"{path}.{one}", "may not specify more than 1 handler type")
        for one in handlers[1:]
    ]
    numbers = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold")
    errors += count_errors(probe, path, *numbers, "successThreshold")
    if name != "readinessProbe" and member(probe, "successThreshold") not in (None, 1):
        where = f"{path}.successThreshold"
        errors.append(invalid(where, member(probe, "successThreshold"), "must be 1"))
    http = member(probe, "httpGet")
    if http is not None:
        errors += port_errors(member(http, "port"), f"{path}.httpGet.port")
    socket = member(probe, "tcpSocket")
    if socket is not None:
        errors += port_errors(member(socket, "port"), f"{path}.tcpSocket.port")
    return errors


def _toleration_errors(tolerations: Iterable[JsonObject], path: str) -> list[FieldError]:
    errors = []
    for index, one in enumerate(tolerations):
        where, operator = f"{path}[{index}]", string_at(one, "operator") or "Equal"
        if not string_at(one, "key") and operator != "Exists":
            why = (
                "operator must be Exists when `key` is empty, which means"
                ' "match all values and all keys"'
            )
            errors.append(invalid(f"{where}.operator", operator, why))
        if operator not in ("Equal", "Exists"):
            errors.append(not_supported(f"{where}.operator", operator, ("Equal", "Exists")))
        elif operator == "Exists" and string_at(one, "value"):
            why = "value must be empty when `operator` is 'Exists'"
            errors.append(invalid(f"{where}.operator", string_at(one, "value"), why))
        errors += choice_errors(one, where, "effect", _EFFECTS, is_required=False)
        if member(one, "tolerationSeconds") is not None and string_at(one, "effect") != "NoExecute":
            why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid(f"{where}.effect", string_at(one, "effect"), why))
    return errors


_CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions"
    " to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it"
    " was previously negative)"
)
_WHILE_GATED = ("nodeSelector", "affinity")


def pod_update_errors(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Return what an update must not change of a pod: nearly all of it."""
    after, before = object_at(new, "spec"), object_at(old, "spec")
    if same(after, before):
        return []
    errors = _gate_errors(after, before)
    kept = [
        one for one in list_at(before, "tolerations") if one not in list_at(after, "tolerations")
    ]
    if kept:
        why = "existing toleration can not be modified except its tolerationSeconds"
        errors.append(forbidden("spec.tolerations", why))
    is_gated = bool(list_at(before, "schedulingGates"))
    if not same(_fixed(after, is_gated=is_gated), _fixed(before, is_gated=is_gated)):
        errors.append(forbidden("spec", _CHANGEABLE))
    return errors


def _gate_errors(after: JsonObject, before: JsonObject) -> list[FieldError]:
    gates = [string_at(one, "name") for one in list_at(before, "schedulingGates")]
    added = [
        string_at(one, "name")
        for one in list_at(after, "schedulingGates")
        if string_at(one, "name") not in gates
    ]
    if not added:
        return []
    why = "only deletion is allowed, but found new scheduling gate " + ", ".join(
        f"'{name}'" for name in added
    )
    return [forbidden("spec.schedulingGates", why)]


def _fixed(spec: JsonObject, *, is_gated: bool) -> JsonObject:
    """Return the part of a spec that stays what it is."""
    free = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"}
    free |= {"schedulingGates", *(_WHILE_GATED if is_gated else ())}
    # Placed and numbered by the server, on URLs of their own:
    free |= {"nodeName", "ephemeralContainers"}
    fixed = {name: value for name, value in spec.items() if name not in free}
    for name in ("containers", "initContainers"):
        fixed[name] = [
            {field: value for field, value in one.items() if field not in ("image", "resources")}
            for one in list_at(spec, name)
        ]
    return fixed
