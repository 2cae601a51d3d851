"""What a pod needs from the node: its volumes, its configuration, its token."""

import asyncio
import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.informer.api import Api, ApiError, Ref, is_not_found
from cluster.informer.resources import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, SERVICES
from cluster.informer.times import unix_of
from cluster.kube_api.objects import JsonObject, integer_at, list_at, object_at, string_at
from cluster.kube_api.resource import Resource
from cluster.kubelet import resolving, volumes
from cluster.kubelet.container_config import PodFacts, container_config
from cluster.kubelet.images import Images
from cluster.kubelet.resolving import RESOLV_CONF
from cluster.kubelet.runtime import ContainerConfig, Runtime
from kvstore.base.clock import Clock

_TOKEN_LIFE_USED = 0.8


class LoadedSources:
    """ConfigMaps and Secrets that were read before."""

    def __init__(self) -> None:
        self.config_maps: dict[str, JsonObject | None] = {}
        self.secrets: dict[str, JsonObject | None] = {}

    def config_map(self, name: str) -> Mapping[str, str] | None:
        """Return its data; None if there is none of that name."""
        found = self.config_maps.get(name)
        if found is None:
            return None
        binary = {
            key: base64.b64decode(text).decode(errors="replace")
            for key, text in object_at(found, "binaryData").items()
        }
        return {**object_at(found, "data"), **binary}

    def secret(self, name: str) -> Mapping[str, bytes] | None:
        """Return its data, decoded."""
        found = self.secrets.get(name)
        if found is None:
            return None
        return {key: base64.b64decode(text) for key, text in object_at(found, "data").items()}


@dataclass(frozen=True, slots=True)
class ClusterDns:
    """Where the cluster's names are answered for."""

    address: str = ""
    domain: str = "cluster.local"


class NodePreparation:
    """The adapter of `pod_worker.Preparation` over the API and a directory."""

    def __init__(  # noqa: PLR0913 - one of each
        self,
        api: Api,
        runtime: Runtime,
        images: Images,
        clock: Clock,
        node: JsonObject,
        *,
        can_mount: bool,
        dns: ClusterDns | None = None,
    ) -> None:
        self._api = api
        self._runtime = runtime
        self._images = images
        self._clock = clock
        self._host_ip = _address(node)
        self._allocatable = object_at(node, "status", "allocatable")
        self._can_mount = can_mount
        self._dns = dns or ClusterDns()
        self._prepared: dict[str, tuple[PodFacts, LoadedSources]] = {}
        self._tokens: dict[tuple[str, str], tuple[float, str]] = {}
        self.pod_ips: dict[str, str] = {}
        """Addresses of pods, by uid: given out by the kubelet."""

    async def prepare(self, pod: JsonObject) -> None:
        """Read what the pod refers to, and make its volumes."""
        uid = string_at(pod, "metadata", "uid")
        sources = LoadedSources()
        wanted = {found for found in _references(pod) if found[1]}
        namespace = string_at(pod, "metadata", "namespace")
        for kind, name in sorted(wanted):
            if kind == "configMap":
                sources.config_maps[name] = await self._get(CONFIG_MAPS, namespace, name)
            else:
                sources.secrets[name] = await self._get(SECRETS, namespace, name)
        tokens = await self._load_tokens(pod)
        facts = PodFacts(
            pod,
            pod_ip=self.pod_ips.get(uid, self._host_ip),
            host_ip=self._host_ip,
            allocatable=self._allocatable,
            services=await self._services(namespace),
            can_mount=self._can_mount,
        )
        directory = self._runtime.directory(uid)
        mounts = await asyncio.to_thread(
            volumes.prepare, pod, directory, facts, sources, lambda one: tokens[_token_key(one)]
        )
        resolv_conf = await asyncio.to_thread(self._write_resolv_conf, pod, directory)
        facts = replace(facts, mounts=mounts, resolv_conf=resolv_conf)
        self._prepared[uid] = (facts, sources)

    def _write_resolv_conf(self, pod: JsonObject, directory: Path) -> str:
        """Write how the pod's processes resolve names; return the file, empty if it needs none."""
        own = Path(RESOLV_CONF)
        machine = resolving.read(own.read_text() if own.exists() else "")
        found = resolving.resolver_of(pod, self._dns.address, self._dns.domain, machine)
        if found is None or not self._can_mount:
            return ""
        path = directory / "resolv.conf"
        path.write_text(found.text())
        return str(path)

    def config(self, pod: JsonObject, container: JsonObject, image: str) -> ContainerConfig:
        """Decide what a container runs."""
        facts, sources = self._prepared[string_at(pod, "metadata", "uid")]
        return container_config(container, self._images.find(image), facts, sources)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._prepared.pop(uid, None)
        self.pod_ips.pop(uid, None)
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]

    async def _get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        try:
            return await self._api.get(Ref(resource, namespace, name))
        except ApiError as error:
            if is_not_found(error):
                return None
            raise

    async def _services(self, namespace: str) -> list[JsonObject]:
        found = (await self._api.list(SERVICES, namespace=namespace)).items
        if namespace != "default":
            api = await self._get(SERVICES, "default", "kubernetes")
            found += [api] if api is not None else []
        return found

    async def _load_tokens(self, pod: JsonObject) -> dict[str, str]:
        """Return a token for each projection that asks for one; kept until most of it is over."""
        uid = string_at(pod, "metadata", "uid")
        account = string_at(pod, "spec", "serviceAccountName") or "default"
        ref = Ref(SERVICE_ACCOUNTS, string_at(pod, "metadata", "namespace"), account)
        found: dict[str, str] = {}
        for wanted in _token_projections(pod):
            key = _token_key(wanted)
            known = self._tokens.get((uid, key))
            if known is None or known[0] <= self._clock.unix():
                known = self._tokens[uid, key] = await self._ask_token(ref, pod, wanted)
            found[key] = known[1]
        return found

    async def _ask_token(self, ref: Ref, pod: JsonObject, wanted: JsonObject) -> tuple[float, str]:
        audience = string_at(wanted, "audience")
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": integer_at(wanted, "expirationSeconds", default=3600),
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": string_at(pod, "metadata", "name"),
                    "uid": string_at(pod, "metadata", "uid"),
                },
            },
        }
        answer = await self._api.post(ref, "token", request)
        now = self._clock.unix()
        expires = unix_of(string_at(answer, "status", "expirationTimestamp"))
        return now + (expires - now) * _TOKEN_LIFE_USED, string_at(answer, "status", "token")


def _address(node: JsonObject) -> str:
    for one in list_at(node, "status", "addresses"):
        if string_at(one, "type") == "InternalIP":
            return string_at(one, "address")
    return "127.0.0.1"


def _token_projections(pod: JsonObject) -> list[JsonObject]:
    return [
        object_at(source, "serviceAccountToken")
        for volume in list_at(pod, "spec", "volumes")
        for source in list_at(volume, "projected", "sources")
        if "serviceAccountToken" in source
    ]


def _token_key(wanted: JsonObject) -> str:
    return f"{string_at(wanted, 'audience')} {integer_at(wanted, 'expirationSeconds')}"


def _references(pod: JsonObject) -> Iterable[tuple[str, str]]:
    """Yield kind and name of every ConfigMap and Secret that a pod refers to."""
    for kind in ("initContainers", "containers"):
        for container in list_at(pod, "spec", kind):
            for one in list_at(container, "envFrom"):
                yield "configMap", string_at(one, "configMapRef", "name")
                yield "secret", string_at(one, "secretRef", "name")
            for one in list_at(container, "env"):
                yield "configMap", string_at(one, "valueFrom", "configMapKeyRef", "name")
                yield "secret", string_at(one, "valueFrom", "secretKeyRef", "name")
    for volume in list_at(pod, "spec", "volumes"):
        for source in [volume, *list_at(volume, "projected", "sources")]:
            yield "configMap", string_at(source, "configMap", "name")
            secret = object_at(source, "secret")
            yield "secret", string_at(secret, "secretName") or string_at(secret, "name")
