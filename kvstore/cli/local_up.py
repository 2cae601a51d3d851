"""`kvstore local up`: start a cluster, wait until it serves, and hold it in the foreground."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from kvstore.cli import local_companions
from kvstore.cli.local_ports import free_base_port, owner, ports_of, taken_ports
from kvstore.cli.local_process import (
    MEMBER_COMMAND,
    LocalCluster,
    is_healthy,
    read_state,
    running_members,
    up_lock,
    write_profile,
    write_state,
)
from kvstore.cli.local_topology import LocalState, Topology
from kvstore.cli.local_view import LinesView, MemberStatus, View, try_this
from kvstore.cli.tls_directory import TlsDirectory

READY_TIMEOUT_S = 60.0
EXIT_MEMBERS_ENDED = 1
TLS_HOSTS = ("localhost", "127.0.0.1", "::1")
_AUTHORITY_DAYS = 3650
_CERTIFICATE_DAYS = 3650
_POLL_S = 0.1
_REFRESH_S = 1.0
_LOG_LINES_SHOWN = 10


def up(
    topology: Topology,
    *,
    is_detached: bool = False,
    command: Sequence[str] = MEMBER_COMMAND,
    companions: Sequence[str] = (),
) -> int:
    """Start the cluster, print `ready: URL,URL,...`, and stay unless detached.

    Returns the exit code: 0 after SIGINT, SIGTERM or `stop`; 1 when every member ended by itself.

    Raises:
        click.ClickException: the cluster cannot be started, or did not become ready; nothing of it
            is left running.
    """
    with up_lock(topology.directory) as is_ours:
        state = read_state(topology.directory)
        running = running_members(state) if state is not None else {}
        if not is_ours or running:
            raise click.ClickException(
                f"the cluster in {topology.directory} is already running"
                + "".join(f", {name} as pid {pid}" for name, pid in running.items())
                + f"; `kvstore local stop --dir {topology.directory}` ends it"
            )
        _check_ports(topology)
        # Remembered before there is anything to lose: a second `up` must find the same cluster.
        write_state(LocalState(topology=topology, member_pids={}, launcher_pid=None))
        cluster = LocalCluster(topology, command=command)
        with _stop_signals() as stopping:
            return _run(cluster, stopping, is_detached=is_detached, companions=companions)


def _run(
    cluster: LocalCluster,
    stopping: threading.Event,
    *,
    is_detached: bool,
    companions: Sequence[str],
) -> int:
    is_left_running = False
    try:
        if cluster.topology.is_tls:
            _make_certificates(cluster.topology)
        write_profile(cluster.topology)
        cluster.start()
        write_state(cluster.state(launcher_pid=os.getpid()))
        _wait_until_ready(cluster, stopping, LinesView())
        if stopping.is_set():
            return 0
        with local_companions.started(_place(cluster), companions, is_left=is_detached) as lines:
            for line in lines:
                print(line, flush=True)
            endpoints = cluster.topology.client_urls
            print(f"ready: {endpoints}", flush=True)
            if is_detached:
                write_state(cluster.state(launcher_pid=None))
                is_left_running = True
                return 0
            if not sys.stdout.isatty():
                return _hold(cluster, stopping, LinesView())
            from kvstore.cli.local_table import TableView

            print(try_this(endpoints), flush=True)
            with TableView() as table:
                return _hold(cluster, stopping, table)
    finally:
        if not is_left_running:
            cluster.stop()
            write_state(cluster.state(launcher_pid=None))


def _make_certificates(topology: Topology) -> None:
    """Make what is not there yet: a second `up` finds the same certificates."""
    directory = TlsDirectory(topology.tls_directory)
    now = datetime.now(UTC)
    if directory.make_authority(now=now, days=_AUTHORITY_DAYS):
        directory.make("member", "member", TLS_HOSTS, now=now, days=_CERTIFICATE_DAYS)
        directory.make("client", "client", [], now=now, days=_CERTIFICATE_DAYS)


def _place(cluster: LocalCluster) -> local_companions.Place:
    topology = cluster.topology
    return local_companions.Place(
        directory=topology.directory,
        base_port=topology.base_port,
        profile=topology.profile,
    )


def _wait_until_ready(cluster: LocalCluster, stopping: threading.Event, view: View) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        members = _members(cluster, waiting="starting")
        view.show(members)
        ended = [member for member in members if member.state.startswith("exited")]
        if ended:
            member = ended[0]
            raise click.ClickException(
                f"{member.plan.name} {member.state} before it was ready. The end of its log, "
                f"{member.plan.log_file}:\n{_log_end(member)}"
            )
        if all(member.state == "healthy" for member in members) or stopping.wait(_POLL_S):
            return
        if time.monotonic() > deadline:
            late = ", ".join(member.plan.name for member in members if member.state != "healthy")
            raise click.ClickException(
                f"not ready after {READY_TIMEOUT_S:.0f} s: {late} did not answer GET /health; "
                f"their logs are in {cluster.topology.directory}"
            )


def _hold(cluster: LocalCluster, stopping: threading.Event, view: View) -> int:
    """Show the members until asked to stop, or until none is left."""
    while True:
        view.show(_members(cluster, waiting="not answering"))
        if stopping.wait(_REFRESH_S):
            return 0
        if not cluster.is_running:
            view.show(_members(cluster, waiting="not answering"))
            return EXIT_MEMBERS_ENDED


def _members(cluster: LocalCluster, *, waiting: str) -> list[MemberStatus]:
    members = []
    for plan in cluster.topology.members:
        code = cluster.exit_code(plan)
        if code is not None:
            state = f"exited with code {code}"
        else:
            state = "healthy" if is_healthy(plan) else waiting
        members.append(MemberStatus(plan, cluster.pid(plan), state))
    return members


def _check_ports(topology: Topology) -> None:
    taken = taken_ports(ports_of(topology))
    if not taken:
        return
    port = taken[0]
    other = free_base_port(topology)
    raise click.ClickException(
        f"port {port} is taken by {owner(port) or 'a process that the system does not name'}"
        + (f"; other ports are free: kvstore local up --base-port {other}" if other else "")
    )


def _log_end(member: MemberStatus) -> str:
    lines = member.plan.log_file.read_text(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LOG_LINES_SHOWN:]) or "  (empty)"


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Give an event that SIGINT, SIGTERM and SIGHUP set, in place of what they do otherwise."""
    stopping = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in numbers}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
