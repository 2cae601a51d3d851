"""watch: one watch, or many under an interactive prompt."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kvstore.base.errors import Compacted, RpcError
from kvstore.base.key_range import KeyRange
from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoCommand, session
from kvstore.cli.ctl.go_text import quoted
from kvstore.cli.ctl.session import Session, write
from kvstore.cli.ctl.txn_grammar import words as split

if TYPE_CHECKING:
    from kvstore.client import Client, Event, Watch, WatchBatch
    from kvstore.wire.pb import rpc_pb2


@click.command(
    cls=GoCommand,
    help="Watches events stream on keys or prefixes",
    context_settings={"ignore_unknown_options": False},
)
@click.argument("words", nargs=-1)
@click.option("-i", "--interactive", is_flag=True, help="Interactive mode")
@click.option("--prefix", is_flag=True, help="Watch on a prefix if prefix is set")
@click.option("--rev", default=0, help="Revision to start watching")
@click.option("--prev-kv", is_flag=True, help="get the previous key-value pair")
@click.option("--progress-notify", is_flag=True, help="get periodic watch progress notification")
@click.pass_context
def watch(context: click.Context, /, **parameters: object) -> None:
    running = session(context)
    if parameters["interactive"]:
        _interactive(running)
        return
    if not parameters["words"] and (key := os.environ.get("ETCDCTL_WATCH_KEY")):
        end = os.environ.get("ETCDCTL_WATCH_RANGE_END")
        parameters["words"] = (key, end) if end else (key,)
    command = _after_dashes(sys.argv)
    if command:
        words = parameters["words"]
        assert isinstance(words, tuple)
        parameters["words"] = words[: len(words) - len(command)]
    with running.client() as client, _opened(client, parameters) as stream:
        _print_all(running, stream, command)


def _interactive(running: Session) -> None:
    streams: list[Watch] = []
    with running.client() as client:
        for line in sys.stdin.buffer:
            text = line.decode(errors="surrogateescape").strip()
            arguments = split(text)
            if text == "progress":
                for stream in streams:
                    stream.request_progress()
            elif not arguments or arguments[0] != "watch":
                click.echo(f"Invalid command {text} (only support watch)", err=True)
            elif (stream_or_none := _from_line(client, text, arguments[1:])) is not None:
                streams.append(stream_or_none.__enter__())
                threading.Thread(
                    target=_print_all, args=(running, streams[-1], ()), daemon=True
                ).start()
        for stream in streams:
            stream.close()
    raise Stop(Exit.INVALID_INPUT, "error reading watch request line: EOF")


def _from_line(client: "Client", line: str, arguments: Sequence[str]) -> "Watch | None":
    try:
        parameters = watch.make_context("watch", list(arguments)).params
        return _opened(client, parameters)
    except click.UsageError as error:
        click.echo(f"Invalid command {line} ({error.message})", err=True)
    except Stop:
        click.echo(f"Invalid command {line} (command type or key is not provided)", err=True)
    return None


def _opened(client: "Client", parameters: dict[str, object]) -> "Watch":
    from kvstore.client import between, prefix

    words = parameters["words"]
    assert isinstance(words, tuple)
    if not 1 <= len(words) <= 2 or (len(words) > 1 and parameters["prefix"]):  # noqa: PLR2004
        raise Stop(Exit.BAD_ARGS, "bad number of arguments")
    key = os.fsencode(words[0])
    keys: bytes | KeyRange = key
    if parameters["prefix"]:
        keys = prefix(key)
    elif len(words) > 1:
        end = os.fsencode(words[1])
        keys = KeyRange(key, None) if end == b"\x00" else between(key, end)
    return client.watch(
        keys,
        start_revision=int(str(parameters["rev"])),
        previous=bool(parameters["prev_kv"]),
        progress_notify=bool(parameters["progress_notify"]),
    )


def _print_all(running: Session, stream: "Watch", command: Sequence[str]) -> None:
    from kvstore.client import WatchCanceled

    try:
        for batch in stream.batches():
            if not batch.events and running.settings.write_out == "simple":
                write(f"progress notify: {batch.revision}")
                sys.stdout.flush()
                continue
            running.show(_response(batch))
            for event in batch.events if command else ():
                _execute(event, batch.revision, command)
    except (RpcError, WatchCanceled) as error:
        text = error.message if isinstance(error, RpcError) else error.reason
        if not isinstance(error, Compacted | WatchCanceled):
            raise
        click.echo(f"watch was canceled ({text})", err=True)
        raise Stop(Exit.INTERRUPTED, "watch is canceled by the server") from error


def _execute(event: "Event", revision: int, command: Sequence[str]) -> None:
    kind = "DELETE" if event.is_delete else "PUT"
    environment = {
        **os.environ,
        "ETCD_WATCH_REVISION": str(revision),
        "ETCD_WATCH_EVENT_TYPE": quoted(kind),
        "ETCD_WATCH_KEY": quoted(event.kv.key),
        "ETCD_WATCH_VALUE": quoted(event.kv.value),
    }
    try:
        result = subprocess.run(command, env=environment, check=False)
    except OSError as error:
        raise Stop(Exit.ERROR, f"command {command} error ({error})") from error
    if result.returncode != 0:
        raise Stop(Exit.ERROR, f"command {command} error (exit status {result.returncode})")


def _response(batch: "WatchBatch") -> "rpc_pb2.WatchResponse":
    """Return the message that a batch came from, as far as it is printed."""
    from dataclasses import asdict

    from kvstore.wire.pb import kv_pb2, rpc_pb2

    def key_value(kv: object) -> kv_pb2.KeyValue | None:
        return None if kv is None else kv_pb2.KeyValue(**asdict(kv))  # type: ignore[call-overload]

    return rpc_pb2.WatchResponse(
        header=rpc_pb2.ResponseHeader(**asdict(batch.header)),
        events=[
            kv_pb2.Event(
                type=kv_pb2.Event.DELETE if event.is_delete else kv_pb2.Event.PUT,
                kv=key_value(event.kv),
                prev_kv=key_value(event.previous),
            )
            for event in batch.events
        ],
    )


def _after_dashes(arguments: Sequence[str]) -> list[str]:
    """Return the command to run for each event: all after the first `--`."""
    return list(arguments[arguments.index("--") + 1 :]) if "--" in arguments else []
