"""`kvstore local up --kube --nodes N`: the control plane, and a kubelet and a proxy a node."""

import os
import sys
from functools import partial
from pathlib import Path

from cluster.launcher import addresses, companion, kubeconfig, pki
from cluster.launcher.supervisor import Program
from kvstore.cli.local_companions import Place, Plan

NAME = "kube-nodes"
DNS_PORT = 53
DNS_PORT_ELSE = 10053
_PRIVILEGED_BELOW = 1024
_KVSTORE = (sys.executable, "-m", "kvstore.cli.umbrella", "kube")


def plan(place: Place) -> Plan:
    """Make a kubeconfig for each component; return how their supervisor is started."""
    directory = place.directory / companion.DIRECTORY
    count = int(place.argument)
    _, authority = pki.ensure(directory, companion.names(place.base_port))
    users: dict[str, tuple[str, list[str]]] = {
        # One identity for all controllers: it may do what any of them has to.
        "controller-manager": ("system:kube-controller-manager", ["system:masters"]),
        "scheduler": ("system:kube-scheduler", []),
        "proxy": ("system:kube-proxy", []),
    }
    for node in addresses.nodes(place.base_port, count):
        users[node.name] = (f"system:node:{node.name}", ["system:nodes"])
        names = [node.address, node.name]
        pki.keep(_serving(directory, node.name), partial(authority.server, names))
    for component, (user, groups) in users.items():
        path = kubeconfig_of(directory, component)
        if not path.exists():
            access = kubeconfig.Access(
                name=companion.CONTEXT,
                server=f"https://{companion.HOST}:{companion.port_of(place.base_port)}",
                ca=authority.pair.certificate,
                client=authority.user(user, groups),
            )
            kubeconfig.write(path, access.document())
    return Plan(
        name=f"{NAME}:{count}",
        command=(
            *_KVSTORE,
            "nodes",
            f"--directory={directory}",
            f"--base-port={place.base_port}",
            f"--nodes={count}",
        ),
        log_file=directory / "nodes.log",
        announcement=("  kubectl get nodes",),
    )


def kubeconfig_of(directory: Path, component: str) -> Path:
    """Return where a component's kubeconfig lies."""
    return directory / f"{component}.kubeconfig"


def node_directory(directory: Path, name: str) -> Path:
    """Return where a kubelet keeps its pods."""
    return directory / name


def _serving(directory: Path, name: str) -> Path:
    return directory / f"{name}-serving"


def dns_port() -> int:
    """Return where DNS is served: its own port, if this user may have it, else another one."""
    file = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    first = int(file.read_text()) if file.exists() else _PRIVILEGED_BELOW
    return DNS_PORT if os.geteuid() == 0 or first <= DNS_PORT else DNS_PORT_ELSE


def programs(directory: Path, base_port: int, count: int) -> list[Program]:
    """Return every process of the control plane and the nodes, in the order of their start."""

    def program(name: str, component: str, *flags: str) -> Program:
        config = f"--kubeconfig={kubeconfig_of(directory, component)}"
        command = (*_KVSTORE, *flags, config)
        return Program(name, command, directory / f"{name}.log")

    found = [
        program("controller-manager", "controller-manager", "controller-manager"),
        program("scheduler", "scheduler", "scheduler"),
        program(
            "dns",
            "proxy",  # who may see services and slices
            "dns",
            f"--address={addresses.dns_address(base_port)}",
            f"--port={dns_port()}",
        ),
    ]
    for node in addresses.nodes(base_port, count):
        found += [
            program(
                f"kubelet-{node.name}",
                node.name,
                "kubelet",
                f"--node-name={node.name}",
                f"--root-dir={node_directory(directory, node.name)}",
                f"--images-dir={directory / 'images'}",
                f"--address={node.address}",
                f"--pod-cidr={node.pod_cidr}",
                *(
                    [f"--cluster-dns={addresses.dns_address(base_port)}"]
                    if dns_port() == DNS_PORT
                    else []
                ),
                f"--tls-cert-file={_serving(directory, node.name)}.crt",
                f"--tls-private-key-file={_serving(directory, node.name)}.key",
                f"--client-ca-file={pki.Files(directory).ca}",
            ),
            program(
                f"proxy-{node.name}",
                "proxy",
                "proxy",
                f"--node-name={node.name}",
                f"--node-address={node.address}",
            ),
        ]
    return found
