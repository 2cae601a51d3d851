"""Commands that are one rpc of the Auth service: words in, a request, a line or two out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import click
from google.protobuf.message import Message

from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoCommand, session
from kvstore.cli.ctl.session import Session, write
from kvstore.wire.pb import rpc_pb2

_Reply = TypeVar("_Reply", bound=Message)
_WITHOUT_FIELDS = (
    rpc_pb2.AuthUserGetResponse,
    rpc_pb2.AuthUserListResponse,
    rpc_pb2.AuthStatusResponse,
)


@dataclass(frozen=True, slots=True)
class OneRpc(Generic[_Reply]):
    """A command that takes so many words and asks one thing."""

    name: str
    help: str
    words: int
    complaint: str
    """About another number of words."""
    rpc: str
    request: Callable[[Sequence[str]], Message]
    reply: type[_Reply]
    lines: Callable[[Sequence[str], _Reply], Sequence[str]]
    """What is printed in the simple format."""

    def add_to(self, group: click.Group) -> None:
        """Make it a command of `group`."""

        def run(words: tuple[str, ...]) -> None:
            exactly(words, self.words, self.complaint)
            running = session(click.get_current_context())
            reply = asked(running, self.rpc, self.request(words), self.reply)
            show(running, reply, lambda: self.lines(words, reply))

        argument = click.Argument(["words"], nargs=-1)
        group.add_command(GoCommand(self.name, callback=run, params=[argument], help=self.help))


def asked(running: Session, name: str, request: Message, reply: type[_Reply]) -> _Reply:
    """Return the answer of one method of the Auth service."""
    from kvstore.client.calls import Call, Effect

    call = Call(f"/etcdserverpb.Auth/{name}", request, reply, lambda found: found, Effect.ONCE)
    return running.exchange(call)


def show(running: Session, reply: Message, lines: Callable[[], Sequence[str]]) -> None:
    """Print a reply: in the simple format, `lines`."""
    if running.settings.write_out == "simple":
        for line in lines():
            write(line)
    elif running.settings.write_out == "fields" and isinstance(reply, _WITHOUT_FIELDS):
        raise Stop(Exit.BAD_FEATURE, "fields not supported as output format")
    else:
        running.show(reply)


def exactly(words: Sequence[str], count: int, complaint: str) -> None:
    """Refuse another number of arguments."""
    if len(words) != count:
        raise Stop(Exit.BAD_ARGS, complaint)
