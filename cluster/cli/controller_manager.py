"""`kvstore kube controller-manager`: all controllers in one process."""

from functools import partial
from pathlib import Path

import click

from cluster.cli.component import (
    connection,
    kubeconfig_option,
    run_component,
    while_leading,
    with_informers,
)
from cluster.controllers.catalogue import CONTROLLERS, Setting, UnknownControllers, selected
from cluster.informer.controller import run_controllers
from cluster.informer.discovery import discover
from cluster.informer.environment import Environment
from cluster.informer.http_api import HttpApi
from cluster.informer.informers import SharedInformers


@click.command(epilog="Example: `kvstore kube controller-manager --controllers '*,-job'`")
@kubeconfig_option
@click.option(
    "--controllers",
    default="*",
    show_default=True,
    help="Which: names with commas between; `*` is all, `-name` all but that one.",
)
@click.option("--leader-elect/--no-leader-elect", default=True, show_default=True)
def controller_manager(*, kubeconfig: Path | None, controllers: str, leader_elect: bool) -> None:
    """Bring what is to what should be, for every kind of object that asks for it."""
    try:
        names = selected(controllers)
    except UnknownControllers as error:
        raise click.UsageError(str(error)) from error

    where = connection(kubeconfig)

    async def work(environment: Environment, informers: SharedInformers) -> None:
        assert isinstance(environment.api, HttpApi), "the component's own client"
        setting = Setting(partial(discover, environment.api), where.certificate_authority)

        async def controlling() -> None:
            made = [CONTROLLERS[name](environment, setting) for name in names]
            await with_informers(informers, partial(run_controllers, made))

        await while_leading(
            environment, "kube-controller-manager", controlling, elects=leader_elect
        )

    run_component("kube-controller-manager", where, work)
