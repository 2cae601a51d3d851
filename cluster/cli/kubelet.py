"""`kvstore kube kubelet`: a node, whose containers are processes of this machine."""

import asyncio
import socket
from pathlib import Path

import click

from cluster.cli.component import (
    connection,
    file_option,
    kubeconfig_option,
    run_component,
    with_informers,
)
from cluster.informer.environment import Environment
from cluster.informer.informers import SharedInformers
from cluster.kubelet.images import Images
from cluster.kubelet.kubelet import Kubelet
from cluster.kubelet.node import NodeConfig, NodeKeeper
from cluster.kubelet.preparation import ClusterDns, NodePreparation
from cluster.kubelet.process_runtime import ProcessRuntime, can_mount
from cluster.kubelet.server import KubeletServer, ServingFiles


@click.command(epilog="Example: `kvstore kube kubelet --node-name n1 --root-dir /tmp/n1`")
@kubeconfig_option
@click.option("--node-name", default=socket.gethostname, help="Default: this machine's name.")
@click.option("--root-dir", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--images-dir", type=click.Path(file_okay=False, path_type=Path), default=None)
@click.option("--address", default="127.20.1.1", show_default=True, help="The node's own.")
@click.option("--port", default=10250, show_default=True, help="Where logs and exec are served.")
@click.option(
    "--pod-cidr",
    default="127.20.1.0/24",
    show_default=True,
    help="Addresses for pods: on one machine without privileges, of the loopback range.",
)
@click.option("--cluster-dns", default="", help="The DNS server of pods; it needs privileges.")
@click.option("--cluster-domain", default="cluster.local", show_default=True)
@click.option("--tls-cert-file", type=file_option, help="The certificate of its server.")
@click.option("--tls-private-key-file", type=file_option, help="The key of that certificate.")
@click.option("--client-ca-file", type=file_option, help="Whose certificates get in.")
def kubelet(  # noqa: PLR0913 - a flag each
    *,
    kubeconfig: Path | None,
    node_name: str,
    root_dir: Path,
    images_dir: Path | None,
    address: str,
    port: int,
    pod_cidr: str,
    cluster_dns: str,
    cluster_domain: str,
    tls_cert_file: Path | None,
    tls_private_key_file: Path | None,
    client_ca_file: Path | None,
) -> None:
    """Run the pods that are bound to this node as processes of this machine.

    Which program stands behind an image name: see docs/control_plane.md. A container listens at its
    pod's own address, which is in the variable that it asks for by `fieldRef: status.podIP`.
    """
    files = None
    if (
        tls_cert_file is not None
        and tls_private_key_file is not None
        and client_ca_file is not None
    ):
        files = ServingFiles(tls_cert_file, tls_private_key_file, client_ca_file)
    elif (tls_cert_file, tls_private_key_file, client_ca_file) != (None, None, None):
        raise click.UsageError("the server's certificate, key and client CA go together")
    root_dir.mkdir(parents=True, exist_ok=True)
    config = NodeConfig(
        name=node_name, address=address, port=port, directory=root_dir, pod_cidr=pod_cidr
    )

    async def work(environment: Environment, informers: SharedInformers) -> None:
        keeper = NodeKeeper(environment.api, environment.clock, config)
        node = await keeper.register()
        runtime = ProcessRuntime(root_dir)
        preparation = NodePreparation(
            environment.api,
            runtime,
            Images(images_dir or root_dir / "images"),
            environment.clock,
            node,
            can_mount=can_mount(),
            dns=ClusterDns(cluster_dns, cluster_domain),
        )
        component = Kubelet(environment, runtime, preparation, config)
        server = KubeletServer(
            component, runtime, environment.clock, address=address, port=port, files=files
        )
        await server.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(keeper.run())
                await with_informers(informers, component.run)
        finally:
            await server.stop()

    run_component(
        "kubelet",
        connection(kubeconfig),
        work,
        fields={"pods": f"spec.nodeName={node_name}"},
        host=node_name,
    )
