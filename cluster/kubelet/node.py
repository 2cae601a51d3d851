"""The node object, registered and kept up to date, and its lease: the kubelet lives."""

import asyncio
import logging
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.informer.api import (
    Api,
    ApiError,
    PatchKind,
    Ref,
    Unreachable,
    is_already_exists,
    is_not_found,
)
from cluster.informer.resources import LEASES, NODES
from cluster.informer.times import micro_timestamp, timestamp
from cluster.kube_api.objects import JsonObject, list_at, object_at, string_at
from kvstore.base.clock import Clock

logger = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASE_S = 40
_RENEW_S = 10.0
_RETRY_S = 1.0
_WRITE_AT_LEAST_EVERY_S = 300.0
_PODS_MAX = 110
_FREE_BYTES_MIN = 256 << 20
VERSION = "v1.33.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """What a node says of itself."""

    name: str
    address: str
    port: int
    directory: Path
    pod_cidr: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[JsonObject, ...] = ()
    capacity: Mapping[str, str] = field(default_factory=dict)
    """Amounts to tell instead of those of this machine: `{"cpu": "2"}`."""


def node_object(config: NodeConfig, now: float) -> JsonObject:
    """Return the node as it registers."""
    labels = {
        "kubernetes.io/hostname": config.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": _architecture(),
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": _architecture(),
        **config.labels,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.name, "labels": labels},
        "spec": {
            "podCIDR": config.pod_cidr,
            "podCIDRs": [config.pod_cidr],
            **({"taints": list(config.taints)} if config.taints else {}),
        },
        "status": node_status(config, {}, now),
    }


def node_status(config: NodeConfig, before: JsonObject, now: float) -> JsonObject:
    """Return the status as of now; conditions keep the time of their last turn."""
    capacity = {**_machine(config.directory), **config.capacity}
    has_disk = shutil.disk_usage(config.directory).free > _FREE_BYTES_MIN
    said = [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "has sufficient memory",
        ),
        (
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "has no disk pressure")
            if has_disk
            else ("DiskPressure", "True", "KubeletHasDiskPressure", "has disk pressure")
        ),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "is posting ready status"),
    ]
    old = {string_at(one, "type"): one for one in list_at(before, "conditions")}
    stamp = timestamp(now)
    conditions = []
    for kind, state, reason, message in said:
        is_same = string_at(old.get(kind, {}), "status") == state
        turned = string_at(old[kind], "lastTransitionTime") if is_same else stamp
        conditions.append(
            {
                "type": kind,
                "status": state,
                "reason": reason,
                "message": f"kubelet {message}",
                "lastHeartbeatTime": stamp,
                "lastTransitionTime": turned,
            }
        )
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [
            {"type": "InternalIP", "address": config.address},
            {"type": "Hostname", "address": config.address},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        "nodeInfo": _node_info(),
        "conditions": conditions,
    }


def _machine(directory: Path) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{memory >> 10}Ki",
        "pods": str(_PODS_MAX),
        "ephemeral-storage": f"{shutil.disk_usage(directory).total >> 10}Ki",
    }


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _node_info() -> JsonObject:
    return {
        "machineID": _first_line("/etc/machine-id"),
        "systemUUID": _first_line("/sys/class/dmi/id/product_uuid"),
        "bootID": _first_line("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": platform.release(),
        "osImage": _os_name(),
        "containerRuntimeVersion": "process://1",
        "kubeletVersion": VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": _architecture(),
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


class NodeKeeper:
    """Registers the node, and says every ten seconds that it lives."""

    def __init__(self, api: Api, clock: Clock, config: NodeConfig) -> None:
        self._api = api
        self._clock = clock
        self._config = config
        self._written_at = 0.0

    async def register(self) -> JsonObject:
        """Create the node, or bring the one of its name up to date; return it.

        Waits for as long as there is no server to talk to.
        """
        while True:
            try:
                return await self._register()
            except (ApiError, Unreachable) as error:
                logger.warning("node not registered", extra={"error": str(error)})
                await asyncio.sleep(_RETRY_S)

    async def _register(self) -> JsonObject:
        wanted = node_object(self._config, self._clock.unix())
        try:
            return await self._api.create(NODES, wanted)
        except ApiError as error:
            if not is_already_exists(error):
                raise
        labels = object_at(wanted, "metadata", "labels")
        await self._api.patch(
            Ref(NODES, "", self._config.name),
            {"metadata": {"labels": labels}},
            kind=PatchKind.MERGE,
        )
        return await self._write_status(is_forced=True)

    async def run(self) -> None:
        """Renew the lease and the status until cancelled."""
        while True:
            try:
                await self._renew()
                await self._write_status()
            except (ApiError, Unreachable) as error:
                logger.warning("heartbeat failed", extra={"error": str(error)})
                await asyncio.sleep(_RETRY_S)
                continue
            await asyncio.sleep(_RENEW_S)

    async def _renew(self) -> None:
        spec = {
            "holderIdentity": self._config.name,
            "leaseDurationSeconds": LEASE_S,
            "renewTime": micro_timestamp(self._clock.unix()),
        }
        ref = Ref(LEASES, LEASE_NAMESPACE, self._config.name)
        try:
            await self._api.patch(ref, {"spec": spec}, kind=PatchKind.MERGE)
        except ApiError as error:
            if not is_not_found(error):
                raise
            node = await self._api.get(Ref(NODES, "", self._config.name))
            owner = {
                "apiVersion": "v1",
                "kind": "Node",
                "name": self._config.name,
                "uid": string_at(node, "metadata", "uid"),
            }
            metadata = {
                "name": ref.name,
                "namespace": ref.namespace,
                "ownerReferences": [owner],
            }
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
            await self._api.create(LEASES, {**body, "spec": spec})

    async def _write_status(self, *, is_forced: bool = False) -> JsonObject:
        """Write the status if it says something new, or has not been written for long."""
        now = self._clock.unix()
        try:
            node = await self._api.get(Ref(NODES, "", self._config.name))
        except ApiError as error:
            if not is_not_found(error):
                raise
            return await self._register()  # somebody deleted it
        before = object_at(node, "status")
        wanted = node_status(self._config, before, now)
        is_due = now - self._written_at >= _WRITE_AT_LEAST_EVERY_S
        if not (is_forced or is_due) and _without_heartbeats(wanted) == _without_heartbeats(before):
            return node
        patch = {"status": wanted}
        ref = Ref(NODES, "", self._config.name)
        written = await self._api.patch(ref, patch, kind=PatchKind.STRATEGIC, subresource="status")
        self._written_at = now
        return written


def _without_heartbeats(status: JsonObject) -> JsonObject:
    conditions = [
        {key: one.get(key) for key in ("type", "status", "reason", "message")}
        for one in list_at(status, "conditions")
    ]
    kept = ("capacity", "allocatable", "addresses", "daemonEndpoints", "nodeInfo")
    return {**{name: status.get(name) for name in kept}, "conditions": conditions}
