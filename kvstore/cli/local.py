"""`kvstore local`: a cluster on this machine, for trying and testing."""

import json
import shutil
import sys
import time
from pathlib import Path

import click

from kvstore.cli import local_companions, local_topology
from kvstore.cli.local_process import (
    LOCK_FILE,
    PROFILE_FILE,
    STATE_FILE,
    is_healthy,
    read_state,
    running_members,
    stop_pids,
    up_lock,
)
from kvstore.cli.local_topology import LocalState, Topology, UnknownState
from kvstore.cli.local_up import up as bring_up
from kvstore.cli.local_view import MemberStatus, member_lines

DIRECTORY_DEFAULT = Path(".kvstore") / "local"
_FOLLOW_POLL_S = 0.2
_directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DIRECTORY_DEFAULT,
    show_default=True,
    callback=lambda _context, _option, value: value.resolve(),
    help="Where the cluster keeps its data, logs and state.",
)


@click.group()
def local() -> None:
    """Run a cluster on this machine, one process a member."""


@local.command(epilog="Examples: `kvstore local up`, `kvstore local up -n 1 --base-port 12379 -d`")
@click.option(
    "-n",
    "size",
    type=click.IntRange(1, local_topology.MEMBERS_MAX),
    help=f"Members; default {local_topology.MEMBERS_DEFAULT}, or as many as there were.",
)
@_directory_option
@click.option(
    "--base-port",
    type=click.IntRange(1, 60_000),
    help=f"Client port of the first member; default {local_topology.BASE_PORT_DEFAULT}. "
    f"The others follow at +{local_topology.PORT_STEP}, peers at +1.",
)
@click.option(
    "--tls/--no-tls",
    "tls",
    default=None,
    help="Speak mutual TLS everywhere; certificates are made, and kvstorectl finds them.",
)
@click.option(
    "--kube", is_flag=True, help="A Kubernetes API server too; again, where there was one."
)
@click.option(
    "--nodes",
    type=click.IntRange(0, 250),
    default=0,
    help="With --kube: controllers, a scheduler, and so many nodes that run pods as processes.",
)
@click.option("-d", "--detach", is_flag=True, help="Return when the cluster is ready.")
@click.pass_context
def up(  # noqa: PLR0913 - one for each option
    context: click.Context,
    size: int | None,
    directory: Path,
    base_port: int | None,
    *,
    tls: bool | None,
    kube: bool,
    nodes: int,
    detach: bool,
) -> None:
    """Start a cluster; the second time on a directory, the same one again.

    Prints `ready: URL,URL,...` when every member answers.
    """
    topology = _wanted(_state(directory), directory, size=size, base_port=base_port, tls=tls)
    if nodes and not kube:
        raise click.UsageError("--nodes goes with --kube")
    companions = local_companions.remembered(directory)
    if kube:
        companions = ("kube", f"kube-nodes:{nodes}") if nodes else ("kube",)
    context.exit(bring_up(topology, is_detached=detach, companions=companions))


@local.command(epilog="Examples: `kvstore local stop`, `kvstore local stop --dir /tmp/cluster`")
@_directory_option
def stop(directory: Path) -> None:
    """Stop the members; their data stays."""
    state = _existing(directory)
    with up_lock(directory) as is_alone:
        launcher_pid = None if is_alone else state.launcher_pid
    pids = running_members(state)
    if not pids and launcher_pid is None:
        click.echo("nothing is running")
        return
    # A launcher in the foreground stops them itself; what a detached one left is stopped here.
    companions = local_companions.stop(directory) if launcher_pid is None else []
    stop_pids(pids, launcher_pid=launcher_pid)
    click.echo(f"stopped: {', '.join([*companions, *pids])}")


@local.command(epilog="Examples: `kvstore local ls`, `kvstore local ls --json`")
@_directory_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ls(directory: Path, *, as_json: bool) -> None:
    """List the members and how they are."""
    members = _members(_existing(directory))
    if not as_json:
        click.echo(member_lines(members))
        return
    listed = [
        {
            "name": member.plan.name,
            "pid": member.pid or None,
            "state": member.state,
            "client_url": member.plan.client_url,
            "peer_url": member.plan.peer_url,
            "data_dir": str(member.plan.data_dir),
            "log_file": str(member.plan.log_file),
        }
        for member in members
    ]
    click.echo(json.dumps(listed, indent=2))


@local.command(epilog="Examples: `kvstore local logs`, `kvstore local logs m2 -f`")
@click.argument("name", required=False)
@_directory_option
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are written.")
def logs(name: str | None, directory: Path, *, follow: bool) -> None:
    """Print the logs of all members, or of one."""
    plans = _existing(directory).topology.members
    chosen = [plan for plan in plans if name in (None, plan.name)]
    if not chosen:
        raise click.ClickException(
            f"no member {name}; there are {', '.join(plan.name for plan in plans)}"
        )
    offsets = dict.fromkeys((plan.name for plan in chosen), 0)
    while True:
        for plan in chosen:
            prefix = f"{plan.name}: " if len(chosen) > 1 else ""
            offsets[plan.name] = _print_log(plan.log_file, offsets[plan.name], prefix)
        if not follow:
            return
        time.sleep(_FOLLOW_POLL_S)


@local.command(epilog="Examples: `kvstore local rm`, `kvstore local rm --yes`")
@_directory_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(directory: Path, *, yes: bool) -> None:
    """Remove a stopped cluster with all its data."""
    state = _existing(directory)
    running = running_members(state)
    if running:
        raise click.ClickException(
            f"{', '.join(running)} still run; `kvstore local stop --dir {directory}` ends them"
        )
    plans = state.topology.members
    if not yes:
        click.echo("This removes the data and logs of " + ", ".join(plan.name for plan in plans))
        click.confirm(f"in {directory}. Go on?", abort=True)
    for plan in plans:
        if plan.data_dir.exists():
            shutil.rmtree(plan.data_dir)
        plan.log_file.unlink(missing_ok=True)
    if state.topology.is_tls and state.topology.tls_directory.exists():
        shutil.rmtree(state.topology.tls_directory)
    for name in local_companions.remembered(directory):
        if (directory / name).is_dir():
            shutil.rmtree(directory / name)
    for name in (local_companions.STATE_FILE, STATE_FILE, LOCK_FILE, PROFILE_FILE):
        directory.joinpath(name).unlink(missing_ok=True)
    if not any(directory.iterdir()):  # what is not ours stays
        directory.rmdir()
    click.echo(f"removed: {directory}")


def _wanted(
    state: LocalState | None,
    directory: Path,
    *,
    size: int | None,
    base_port: int | None,
    tls: bool | None,
) -> Topology:
    """Return the cluster to start: the one that is there, or a new one as asked for."""
    if state is None:
        return Topology(
            directory=directory,
            base_port=base_port or local_topology.BASE_PORT_DEFAULT,
            size=size or local_topology.MEMBERS_DEFAULT,
            is_tls=bool(tls),
        )
    there = state.topology
    if (
        size not in (None, there.size)
        or base_port not in (None, there.base_port)
        or tls not in (None, there.is_tls)
    ):
        raise click.ClickException(
            f"{directory} holds a cluster of {there.size} at base port {there.base_port}"
            f"{', with TLS' if there.is_tls else ''}; "
            f"start it as it is, remove it (`kvstore local rm --dir {directory}`), "
            "or choose another --dir"
        )
    return there


def _state(directory: Path) -> LocalState | None:
    try:
        return read_state(directory)
    except UnknownState as error:
        raise click.ClickException(f"{directory / STATE_FILE}: {error}") from error


def _existing(directory: Path) -> LocalState:
    state = _state(directory)
    if state is None:
        raise click.ClickException(
            f"there is no cluster in {directory}; `kvstore local up` starts one"
        )
    return state


def _members(state: LocalState) -> list[MemberStatus]:
    running = running_members(state)
    return [
        MemberStatus(
            plan,
            running.get(plan.name, 0),
            "stopped"
            if plan.name not in running
            else "healthy"
            if is_healthy(plan)
            else "not answering",
        )
        for plan in state.topology.members
    ]


def _print_log(path: Path, offset: int, prefix: str) -> int:
    """Print the whole lines after `offset`; return where the next ones begin."""
    if not path.exists():
        return offset
    with path.open("rb") as log:
        log.seek(offset)
        for line in log:
            if not line.endswith(b"\n"):
                break
            sys.stdout.write(prefix + line.decode(errors="replace"))
            offset += len(line)
    sys.stdout.flush()
    return offset
