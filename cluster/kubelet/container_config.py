"""What a container runs: command, environment, directories. Pure, given what was looked up."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at
from cluster.kube_api.quantity import parse_quantity
from cluster.kubelet.images import Image
from cluster.kubelet.resolving import RESOLV_CONF
from cluster.kubelet.runtime import CannotStart, ContainerConfig

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_KEY = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]")


class Sources(Protocol):
    """ConfigMaps and Secrets of a pod's namespace."""

    def config_map(self, name: str) -> Mapping[str, str] | None:
        """Return its data, or None if there is none of that name."""
        ...

    def secret(self, name: str) -> Mapping[str, bytes] | None:
        """Return its data, decoded, or None if there is none of that name."""
        ...


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What is known of a pod beside its object."""

    pod: JsonObject
    pod_ip: str
    host_ip: str
    allocatable: Mapping[str, str] = field(default_factory=dict)
    services: Iterable[JsonObject] = ()
    """The services of its namespace, and `default/kubernetes`."""
    mounts: Mapping[str, str] = field(default_factory=dict)
    """Where each of its volumes is, by name."""
    can_mount: bool = True
    resolv_conf: str = ""
    """The file by which its processes resolve names, if it is not the machine's."""


def expanded(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by values; what is unknown stays, `$$` is one dollar sign."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return "$" if name is None else env.get(name, found[0])

    return _REFERENCE.sub(value, text)


def container_config(
    container: JsonObject, image: Image, facts: PodFacts, sources: Sources
) -> ContainerConfig:
    """Decide.

    Raises:
        CannotStart: something that the container needs is not there (CreateContainerConfigError).
    """
    env = {**image.env, **environment(container, facts, sources)}
    command = [expanded(str(one), env) for one in list_at(container, "command")]
    args = [expanded(str(one), env) for one in list_at(container, "args")]
    argv = [*(command or image.entrypoint), *(args or ([] if command else image.command))]
    if not argv:
        raise CannotStart("CreateContainerConfigError", "no command specified")
    directory = string_at(container, "workingDir") or image.working_directory
    limit = string_at(container, "resources", "limits", "memory")
    if container.get("tty") is True:
        env.setdefault("TERM", "xterm")
    return ContainerConfig(
        argv,
        env,
        directory,
        mounts=_mounts(container, facts, env),
        memory_bytes_max=parse_quantity(limit).units if limit else 0,
        stdin=container.get("stdin") is True,
        stdin_once=container.get("stdinOnce") is True,
        tty=container.get("tty") is True,
    )


def _mounts(container: JsonObject, facts: PodFacts, env: Mapping[str, str]) -> dict[str, str]:
    if not facts.can_mount:
        return {}
    found = {RESOLV_CONF: facts.resolv_conf} if facts.resolv_conf else {}
    for mount in list_at(container, "volumeMounts"):
        name = string_at(mount, "name")
        source = facts.mounts.get(name)
        if source is None:
            raise CannotStart("CreateContainerConfigError", f'volume "{name}" not found')
        sub = string_at(mount, "subPath") or expanded(string_at(mount, "subPathExpr"), env)
        if ".." in sub.split("/"):
            raise CannotStart("CreateContainerConfigError", f'subPath "{sub}" leaves the volume')
        found[string_at(mount, "mountPath")] = f"{source}/{sub}" if sub else source
    return found


def environment(container: JsonObject, facts: PodFacts, sources: Sources) -> dict[str, str]:
    """Return the variables of a container: services, then envFrom, then env, each over the last."""
    env = service_variables(facts)
    for one in list_at(container, "envFrom"):
        env |= _from_source(one, sources)
    for one in list_at(container, "env"):
        name = string_at(one, "name")
        origin = member(one, "valueFrom")
        if origin is None:
            env[name] = expanded(string_at(one, "value"), env)
        else:
            value = _value_from(object_at(one, "valueFrom"), container, facts, sources)
            if value is not None:
                env[name] = value
    env["HOSTNAME"] = string_at(facts.pod, "spec", "hostname") or string_at(
        facts.pod, "metadata", "name"
    )
    return env


def _from_source(one: JsonObject, sources: Sources) -> dict[str, str]:
    prefix = string_at(one, "prefix")
    if reference := object_at(one, "configMapRef"):
        data = sources.config_map(string_at(reference, "name"))
        if data is None:
            return _missing(reference, "configmap")
        pairs = data.items()
    else:
        reference = object_at(one, "secretRef")
        secret = sources.secret(string_at(reference, "name"))
        if secret is None:
            return _missing(reference, "secret")
        pairs = {key: _text(value) for key, value in secret.items()}.items()
    return {prefix + key: value for key, value in pairs if _ENV_NAME.fullmatch(prefix + key)}


def _missing(reference: JsonObject, kind: str) -> dict[str, str]:
    if reference.get("optional") is True:
        return {}
    text = f'{kind} "{string_at(reference, "name")}" not found'
    raise CannotStart("CreateContainerConfigError", text)


def _value_from(
    origin: JsonObject, container: JsonObject, facts: PodFacts, sources: Sources
) -> str | None:
    if reference := object_at(origin, "fieldRef"):
        return field_value(string_at(reference, "fieldPath"), facts)
    if reference := object_at(origin, "resourceFieldRef"):
        return resource_value(reference, container, facts)
    if reference := object_at(origin, "configMapKeyRef"):
        data = sources.config_map(string_at(reference, "name"))
        value = None if data is None else data.get(string_at(reference, "key"))
        kind = "configmap"
    else:
        reference = object_at(origin, "secretKeyRef")
        secret = sources.secret(string_at(reference, "name"))
        raw = None if secret is None else secret.get(string_at(reference, "key"))
        value = None if raw is None else _text(raw)
        data = None if secret is None else {}
        kind = "secret"
    if value is None and data is None:
        _missing(reference, kind)
    elif value is None and reference.get("optional") is not True:
        key, name = string_at(reference, "key"), string_at(reference, "name")
        namespace = string_at(facts.pod, "metadata", "namespace")
        text = f"couldn't find key {key} in {kind.title()} {namespace}/{name}"
        raise CannotStart("CreateContainerConfigError", text)
    return value


def field_value(path: str, facts: PodFacts) -> str:
    """Return a field of the pod, as the downward API gives it.

    Raises:
        CannotStart: the path is none of those that it has.
    """
    known = {
        "status.podIP": facts.pod_ip,
        "status.podIPs": facts.pod_ip,
        "status.hostIP": facts.host_ip,
        "status.hostIPs": facts.host_ip,
    }
    if path in known:
        return known[path]
    if found := _KEY.fullmatch(path):
        return string_at(facts.pod, *found[1].split("."), found[2])
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = object_at(facts.pod, *path.split("."))
        return "\n".join(f'{key}="{_escaped(str(pairs[key]))}"' for key in sorted(pairs))
    allowed = ("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName")
    if path in (*allowed, "spec.serviceAccountName"):
        return string_at(facts.pod, *path.split("."))
    raise CannotStart("CreateContainerConfigError", f"unsupported fieldPath: {path}")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_value(reference: JsonObject, container: JsonObject, facts: PodFacts) -> str:
    """Return a request or limit in units of the divisor; a limit not set is what the node has."""
    kind, _, name = string_at(reference, "resource").partition(".")
    text = str(object_at(container, "resources", kind).get(name, ""))
    if not text and kind == "limits":
        text = facts.allocatable.get(name, "")
    amount = parse_quantity(text or "0").nano
    divisor = parse_quantity(str(reference.get("divisor") or "1")).nano or 1_000_000_000
    return str(-(-amount // divisor))


def service_variables(facts: PodFacts) -> dict[str, str]:
    """Return where the services of the namespace are, as container links had it."""
    links = member(facts.pod, "spec", "enableServiceLinks") is not False
    namespace = string_at(facts.pod, "metadata", "namespace")
    env: dict[str, str] = {}
    for service in facts.services:
        is_api = (
            string_at(service, "metadata", "namespace"),
            string_at(service, "metadata", "name"),
        ) == ("default", "kubernetes")
        is_near = string_at(service, "metadata", "namespace") == namespace
        address = string_at(service, "spec", "clusterIP")
        if address not in ("", "None") and (is_api or (links and is_near)):
            env |= _links(service, address)
    return env


def _links(service: JsonObject, address: str) -> dict[str, str]:
    prefix = string_at(service, "metadata", "name").upper().replace("-", "_")
    env: dict[str, str] = {}
    for index, port in enumerate(list_at(service, "spec", "ports")):
        number = str(port.get("port"))
        protocol = (string_at(port, "protocol") or "TCP").lower()
        name = string_at(port, "name").upper().replace("-", "_")
        url = f"{protocol}://{address}:{number}"
        if index == 0:
            env |= {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": number}
            env[f"{prefix}_PORT"] = url
        if name:
            env[f"{prefix}_SERVICE_PORT_{name}"] = number
        link = f"{prefix}_PORT_{number}_{protocol.upper()}"
        env |= {link: url, f"{link}_PROTO": protocol, f"{link}_PORT": number}
        env[f"{link}_ADDR"] = address
    return env


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
