"""`kvstore kube dns`: answers for the names of services."""

import asyncio
from pathlib import Path

import click

from cluster.cli.component import connection, kubeconfig_option, run_component, with_informers
from cluster.cluster_dns.server import DnsServer
from cluster.cluster_dns.zone import Zone, zone_of
from cluster.informer.environment import Environment
from cluster.informer.informers import SharedInformers
from cluster.informer.resources import ENDPOINT_SLICES, SERVICES


@click.command(epilog="Example: `kvstore kube dns --address 127.0.0.53 --port 10053`")
@kubeconfig_option
@click.option("--address", default="127.0.0.1", show_default=True)
@click.option("--port", default=53, show_default=True, help="Below 1024 it needs privileges.")
@click.option("--cluster-domain", default="cluster.local", show_default=True)
def dns(*, kubeconfig: Path | None, address: str, port: int, cluster_domain: str) -> None:
    """Answer for NAME.NAMESPACE.svc and what is below it, over UDP and TCP."""
    domain = f"{cluster_domain.rstrip('.')}."

    async def work(environment: Environment, informers: SharedInformers) -> None:
        services = informers.store(SERVICES)
        slices = informers.store(ENDPOINT_SLICES)
        made: list[Zone] = []

        def zone() -> Zone:
            """Return the zone, made anew at the first question after a change."""
            if not made:
                made.append(zone_of(services.all(), slices.all(), domain))
            return made[0]

        for resource in (SERVICES, ENDPOINT_SLICES):
            informers.subscribe(resource, lambda _: made.clear())
        server = DnsServer(zone, address=address, port=port)

        async def serve() -> None:
            await server.start()
            await asyncio.Event().wait()

        try:
            await with_informers(informers, serve)
        finally:
            await server.stop()

    run_component("kube-dns", connection(kubeconfig), work)
