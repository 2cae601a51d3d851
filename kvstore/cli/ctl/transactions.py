"""txn."""

import sys
from collections.abc import Callable
from typing import TypeVar

import click

from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoCommand, session
from kvstore.cli.ctl.session import write
from kvstore.cli.ctl.txn_grammar import comparison, operation

Part = TypeVar("Part")


@click.command(cls=GoCommand, help="Txn processes all the requests in one transaction")
@click.option("-i", "--interactive", is_flag=True, help="Input transaction in interactive mode")
@click.pass_context
def txn(context: click.Context, *, interactive: bool) -> None:
    from kvstore.client import calls
    from kvstore.wire.pb import rpc_pb2

    running = session(context)

    def part(title: str, read: Callable[[str], Part]) -> list[Part]:
        if interactive:
            write(title)
            sys.stdout.flush()
        return [read(line) for line in iter(_line, "")]

    request = rpc_pb2.TxnRequest(
        compare=part("compares:", comparison),
        success=part("success requests (get, put, del):", operation),
        failure=part("failure requests (get, put, del):", operation),
    )
    running.show(running.exchange(calls.txn_call(request)))


def _line() -> str:
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        raise Stop(Exit.INVALID_INPUT, "EOF")
    return line.decode(errors="surrogateescape").strip()
