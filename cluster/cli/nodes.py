"""`kvstore kube nodes`: the control plane and N nodes on this machine, in the foreground."""

import asyncio
import signal
import threading
from contextlib import suppress
from pathlib import Path

import click

from cluster.controllers.pod_facts import condition
from cluster.informer.api import ApiError, Unreachable
from cluster.informer.connection import from_kubeconfig
from cluster.informer.http_api import HttpApi
from cluster.informer.resources import NODES
from cluster.kubelet.process_runtime import ProcessRuntime
from cluster.kubelet.runtime import Phase
from cluster.launcher import addresses, companion, nodes
from cluster.launcher.supervisor import Supervisor

_POLL_S = 0.2


@click.command(name="nodes", epilog="Started by `kvstore local up --kube --nodes 2`.")
@click.option("--directory", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--base-port", type=int, required=True, help="Of the store: it tells addresses.")
@click.option("--nodes", "count", type=int, default=1, show_default=True)
def run_nodes(*, directory: Path, base_port: int, count: int) -> None:
    """Run controllers, scheduler, and a kubelet and a proxy for each node.

    Prints `ready: ` and the names of the nodes when all are. At the end every container is ended.
    """
    supervisor = Supervisor(nodes.programs(directory, base_port, count))
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    announcing = threading.Thread(
        target=_announce, args=(directory, count, stopping), daemon=True, name="announce"
    )
    announcing.start()
    try:
        supervisor.run(stopping)
    finally:
        _end_containers(directory, base_port, count)


def _announce(directory: Path, count: int, stopping: threading.Event) -> None:
    names = asyncio.run(_wait_until_ready(directory, count, stopping))
    if names:
        print(f"ready: {','.join(names)}", flush=True)


async def _wait_until_ready(directory: Path, count: int, stopping: threading.Event) -> list[str]:
    where = from_kubeconfig(directory / companion.KUBECONFIG)
    async with HttpApi(where, field_manager="kvstore-local") as api:
        while not stopping.is_set():
            with suppress(ApiError, Unreachable):
                found = (await api.list(NODES)).items
                ready = [
                    str(one["metadata"]["name"])
                    for one in found
                    if condition(one, "Ready").get("status") == "True"
                    and not one["spec"].get("taints")
                ]
                if len(ready) >= count:
                    return sorted(ready)
            await asyncio.sleep(_POLL_S)
    return []


def _end_containers(directory: Path, base_port: int, count: int) -> None:
    """Kubelets leave their containers running when they end; with the cluster they end."""
    for node in addresses.nodes(base_port, count):
        runtime = ProcessRuntime(nodes.node_directory(directory, node.name))
        for run in runtime.runs():
            if run.phase is not Phase.EXITED:
                runtime.signal(run.id, signal.SIGKILL)
