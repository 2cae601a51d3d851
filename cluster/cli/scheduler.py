"""`kvstore kube scheduler`: gives each pod a node."""

from pathlib import Path

import click

from cluster.cli.component import (
    connection,
    kubeconfig_option,
    run_component,
    while_leading,
    with_informers,
)
from cluster.informer.environment import Environment
from cluster.informer.informers import SharedInformers
from cluster.scheduler.scheduler import DEFAULT_NAME, Scheduler


@click.command(epilog="Example: `kvstore kube scheduler --kubeconfig admin.conf`")
@kubeconfig_option
@click.option("--scheduler-name", default=DEFAULT_NAME, show_default=True, help="Whose pods.")
@click.option("--leader-elect/--no-leader-elect", default=True, show_default=True)
def scheduler(*, kubeconfig: Path | None, scheduler_name: str, leader_elect: bool) -> None:
    """Give each pod that names this scheduler the best node that can have it."""
    lease = "kube-scheduler" if scheduler_name == DEFAULT_NAME else scheduler_name

    async def work(environment: Environment, informers: SharedInformers) -> None:
        async def scheduling() -> None:
            component = Scheduler(environment, name=scheduler_name)
            await with_informers(informers, component.run)

        await while_leading(environment, lease, scheduling, elects=leader_elect)

    run_component(scheduler_name, connection(kubeconfig), work)
