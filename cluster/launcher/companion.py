"""`kvstore local up --kube`: an API server beside the members, and an admin's kubeconfig."""

import sys
from pathlib import Path

from cluster.launcher import addresses, kubeconfig, pki
from kvstore.cli.local_companions import Place, Plan

HOST = "127.0.0.1"
PORT_DEFAULT = 6443
STORE_PORT_DEFAULT = 2379
PORT_OFFSET = 5
"""From the base port, where that is not the usual one: between two members' ports."""
_NAMES = (
    HOST,
    "localhost",
    "::1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_TLS = {"cacert": "--etcd-cafile", "cert": "--etcd-certfile", "key": "--etcd-keyfile"}
CONTEXT = "kvstore"
DIRECTORY = "kube"
KUBECONFIG = "kubeconfig"


def names(base_port: int) -> tuple[str, ...]:
    """Return every name and address that the API server's certificate is for."""
    return (*_NAMES, addresses.api_service_address(base_port))


def port_of(base_port: int) -> int:
    """Return the API server's port for a cluster's base port."""
    return PORT_DEFAULT if base_port == STORE_PORT_DEFAULT else base_port + PORT_OFFSET


def kubeconfig_of(directory: Path) -> Path:
    """Return where the kubeconfig of the cluster in `directory` lies."""
    return directory / DIRECTORY / KUBECONFIG


def plan(place: Place) -> Plan:
    """Make the keys and the kubeconfig; return how the API server is started."""
    port = port_of(place.base_port)
    files, authority = pki.ensure(place.directory / DIRECTORY, names(place.base_port))
    path = kubeconfig_of(place.directory)
    if not path.exists():
        access = kubeconfig.Access(
            name=CONTEXT,
            server=f"https://{HOST}:{port}",
            ca=authority.pair.certificate,
            client=authority.user("kubernetes-admin", ["system:masters"]),
        )
        kubeconfig.write(path, access.document())
    for_kubelets = pki.keep(
        place.directory / DIRECTORY / "apiserver-kubelet-client",
        lambda: authority.user("kube-apiserver-kubelet-client", ["system:masters"]),
    )
    return Plan(
        name="kube",
        command=(
            sys.executable,
            "-m",
            "kvstore.cli.umbrella",
            "kube",
            "apiserver",
            f"--endpoints={place.profile['endpoints']}",
            *(
                f"{flag}={place.profile[name]}"
                for name, flag in _TLS.items()
                if name in place.profile
            ),
            f"--host={HOST}",
            f"--port={port}",
            f"--tls-cert-file={files.server}",
            f"--tls-private-key-file={files.server_key}",
            f"--client-ca-file={files.ca}",
            f"--kubelet-certificate-authority={files.ca}",
            f"--kubelet-client-certificate={for_kubelets.certificate}",
            f"--kubelet-client-key={for_kubelets.key}",
            f"--service-account-key-file={files.signing_key}",
            f"--service-cluster-ip-range={addresses.service_range(place.base_port)}",
        ),
        log_file=place.directory / DIRECTORY / "apiserver.log",
        announcement=(
            f"kubeconfig: {path}",
            f"  export KUBECONFIG={path}",
            "  kubectl get namespaces",
        ),
    )
