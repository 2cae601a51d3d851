"""`kvstore kube proxy`: makes the addresses of services work on one node."""

import socket
from pathlib import Path

import click

from cluster.cli.component import connection, kubeconfig_option, run_component, with_informers
from cluster.informer.environment import Environment
from cluster.informer.informers import SharedInformers
from cluster.kube_proxy.proxy import Proxy
from cluster.kube_proxy.relay import Relay


@click.command(epilog="Example: `kvstore kube proxy --node-name n1 --node-address 127.20.1.1`")
@kubeconfig_option
@click.option("--node-name", default=socket.gethostname, help="Default: this machine's name.")
@click.option(
    "--node-address", multiple=True, default=["127.0.0.1"], help="Where node ports are opened."
)
def proxy(*, kubeconfig: Path | None, node_name: str, node_address: tuple[str, ...]) -> None:
    """Pass connections to services on to their endpoints.

    Sockets of this process listen on the services' addresses, which are of the loopback range then:
    it needs no privileges.
    """

    async def work(environment: Environment, informers: SharedInformers) -> None:
        relay = Relay(environment.clock, environment.entropy)
        component = Proxy(
            environment, relay, node_name=node_name, node_addresses=list(node_address)
        )
        try:
            await with_informers(informers, component.run)
        finally:
            await relay.close()

    run_component("kube-proxy", connection(kubeconfig), work, host=node_name)
