"""lock and elect: the services of the same names, held by a lease that is kept alive."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click
from google.protobuf.message import Message

from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import session
from kvstore.cli.ctl.session import Session
from kvstore.wire.pb import rpc_pb2, v3election_pb2, v3lock_pb2

if TYPE_CHECKING:
    from kvstore.client import Client
    from kvstore.client.sync_lease import Lease

_Reply = TypeVar("_Reply", bound=Message)

_TTL_S = 10
_ELECTION_TTL_S = 60
_FOREVER_S = 10 * 365 * 86400.0
"""How long to wait for a lock, or for the end of a leader: until it comes."""
_POLL_S = 0.5


@click.command(
    help="Acquires a named lock",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("words", nargs=-1)
@click.option("--ttl", type=int, default=_TTL_S, help="timeout for session")
@click.pass_context
def lock(context: click.Context, words: tuple[str, ...], ttl: int) -> None:
    if not words:
        raise Stop(
            Exit.BAD_ARGS,
            "lock takes a lock name argument and an optional command to execute",
        )
    running = session(context)
    with running.client() as client, client.lease(ttl) as lease, _ending() as ended:
        request = v3lock_pb2.LockRequest(name=os.fsencode(words[0]), lease=lease.lease_id)
        held = _ask(client, "/v3lockpb.Lock/Lock", request, v3lock_pb2.LockResponse)
        try:
            if words[1:]:
                _run(words[1:], held)
            else:
                _show_key(running, client, held.key, "lock lost on init")
                _hold(lease, ended, "session expired")
        finally:
            unlock = v3lock_pb2.UnlockRequest(key=held.key)
            _ask(client, "/v3lockpb.Lock/Unlock", unlock, v3lock_pb2.UnlockResponse)


@click.command(help="Observes and participates in leader election")
@click.argument("words", nargs=-1)
@click.option("-l", "--listen", is_flag=True, help="observation mode")
@click.pass_context
def elect(context: click.Context, words: tuple[str, ...], *, listen: bool) -> None:
    if len(words) not in (1, 2):
        raise Stop(
            Exit.BAD_ARGS,
            "elect takes one election name argument and an optional proposal argument",
        )
    if len(words) == 1 and not listen:
        raise Stop(Exit.BAD_ARGS, "no proposal argument but -l not set")
    if len(words) > 1 and listen:
        raise Stop(Exit.BAD_ARGS, "proposal given but -l is set")
    running = session(context)
    if listen:
        _observe(running, os.fsencode(words[0]))
    else:
        _campaign(running, os.fsencode(words[0]), os.fsencode(words[1]))


def _campaign(running: Session, name: bytes, proposal: bytes) -> None:
    with running.client() as client, client.lease(_ELECTION_TTL_S) as lease, _ending() as ended:
        request = v3election_pb2.CampaignRequest(name=name, lease=lease.lease_id, value=proposal)
        path = "/v3electionpb.Election/"
        won = _ask(client, path + "Campaign", request, v3election_pb2.CampaignResponse)
        try:
            _show_key(running, client, won.leader.key, "elect: session expired")
            _hold(lease, ended, "elect: session expired")
        finally:
            resign = v3election_pb2.ResignRequest(leader=won.leader)
            _ask(client, path + "Resign", resign, v3election_pb2.ResignResponse)


def _observe(running: Session, name: bytes) -> None:
    """Print who leads, whenever that changes: the oldest key under the election's name."""
    from kvstore.client import prefix

    shown: tuple[bytes, int] | None = None
    with running.client() as client:
        while True:
            reply = client.range(prefix(name + b"/"), limit=1, sort_by="create")
            first = reply.kvs[0] if reply.kvs else None
            if first is not None and (first.key, first.mod_revision) != shown:
                shown = (first.key, first.mod_revision)
                _show_key(running, client, first.key, "")
            start = reply.header.revision + 1
            with client.watch(prefix(name + b"/"), start_revision=start) as changes:
                next(iter(changes))


@contextmanager
def _ending() -> Iterator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set: what is held is let go of, not dropped."""
    ended = threading.Event()

    def end(number: int, _frame: object) -> None:
        if ended.is_set() or number == signal.SIGINT:
            ended.set()
            raise KeyboardInterrupt
        ended.set()
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield ended
    except KeyboardInterrupt:
        if not ended.is_set():
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hold(lease: "Lease", ended: threading.Event, lost: str) -> None:
    """Wait for a signal."""
    while not ended.wait(_POLL_S):
        if lease.is_lost:
            raise Stop(Exit.ERROR, lost)


def _run(command: tuple[str, ...], held: v3lock_pb2.LockResponse) -> None:
    environment = {
        "ETCD_LOCK_KEY": os.fsdecode(held.key),
        "ETCD_LOCK_REV": str(held.header.revision),
        **os.environ,
    }
    try:
        done = subprocess.run(command, env=environment, check=False)
    except OSError as error:
        raise Stop(Exit.ERROR, f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise Stop(done.returncode, f"exit status {done.returncode}")


def _show_key(running: Session, client: "Client", key: bytes, lost: str) -> None:
    reply = _ask(
        client, "/etcdserverpb.KV/Range", rpc_pb2.RangeRequest(key=key), rpc_pb2.RangeResponse
    )
    if reply.kvs:
        running.show(reply)
    elif lost:
        raise Stop(Exit.ERROR, lost)


def _ask(client: "Client", path: str, request: Message, reply: type[_Reply]) -> _Reply:
    from kvstore.client.calls import Call, Effect

    call = Call(path, request, reply, lambda found: found, Effect.ONCE)
    return client.within(_FOREVER_S).exchange(call)
