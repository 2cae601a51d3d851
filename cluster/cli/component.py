"""What the commands of components share: a connection, an environment, an orderly end."""

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from cluster.informer.connection import BadKubeconfig, Connection, from_kubeconfig, from_pod
from cluster.informer.environment import Environment
from cluster.informer.http_api import HttpApi
from cluster.informer.informers import SharedInformers
from cluster.informer.leader_election import Candidate, LeadershipLost, lead
from cluster.informer.recorder import Recorder
from kvstore.base.clock import SystemClock
from kvstore.base.entropy import SystemEntropy

file_option = click.Path(exists=True, dir_okay=False, path_type=Path)
kubeconfig_option = click.option(
    "--kubeconfig",
    type=file_option,
    envvar="KUBECONFIG",
    help="Where the API server is and who we are to it; in a pod, its service account will do.",
)

Work = Callable[[Environment, SharedInformers], Awaitable[None]]


def connection(kubeconfig: Path | None) -> Connection:
    """Return where the API server is.

    Raises:
        click.ClickException: it cannot be told.
    """
    try:
        return from_kubeconfig(kubeconfig) if kubeconfig is not None else from_pod()
    except (BadKubeconfig, OSError) as error:
        raise click.ClickException(str(error)) from error


def run_component(
    name: str,
    where: Connection,
    work: Work,
    *,
    fields: dict[str, str] | None = None,
    host: str = "",
) -> None:
    """Do `work` until SIGINT or SIGTERM; losing the leadership ends the process with 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(_run(name, where, work, fields or {}, host))
    except* LeadershipLost as lost:
        raise SystemExit(f"{name}: the lease was lost") from lost


async def _run(name: str, where: Connection, work: Work, fields: dict[str, str], host: str) -> None:
    clock, entropy = SystemClock(), SystemEntropy()
    async with HttpApi(where, field_manager=name) as api:
        recorder = Recorder(api, clock, entropy, name, host=host)
        informers = SharedInformers(api, entropy, fields=fields)
        environment = Environment(api, informers, recorder, clock, entropy)
        async with asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(recorder.run())
            working = tasks.create_task(_ended(work(environment, informers)))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, working.cancel)
            working.add_done_callback(lambda _: recording.cancel())


async def _ended(work: Awaitable[None]) -> None:
    await work


async def while_leading(
    environment: Environment, lease: str, work: Callable[[], Awaitable[None]], *, elects: bool
) -> None:
    """Do `work` while the lease is held, or at once if there is to be no election."""
    if not elects:
        await work()
        return
    identity = f"{socket.gethostname()}_{environment.entropy.bits(64):016x}"
    await lead(Candidate(environment.api, environment.clock, identity, lease), work)


async def with_informers(informers: SharedInformers, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` beside running informers, once they are filled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(informers.run())
        await informers.synced()
        await work()
