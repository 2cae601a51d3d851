"""What a running command holds: its settings, a client made of them, and its output."""

import contextlib
import getpass
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict, TypeVar

from google.protobuf.message import Message

from kvstore.base.errors import AuthenticationFailed, Code, RpcError
from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.settings import FORMATS, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvstore.client import Client, Timing, Tls
    from kvstore.client.calls import Call

Reply = TypeVar("Reply", bound=Message)
Result = TypeVar("Result")


class ClientArguments(TypedDict):
    """What both kinds of client are made with."""

    endpoints: "Sequence[str]"
    tls: "Tls | None"
    user: str | None
    password: str
    timing: "Timing"


class Session:
    """One run of a command."""

    def __init__(self, settings: Settings) -> None:
        if settings.write_out not in FORMATS:
            raise Stop(Exit.BAD_FEATURE, "unsupported output format")
        self.settings = settings

    @contextlib.contextmanager
    def client(self, *endpoints: str) -> "Iterator[Client]":
        """Give a client of all endpoints, or of those named; its errors end the command."""
        from kvstore.client import Client

        with Client(**self.client_arguments(*endpoints)) as client:
            try:
                yield client
            except RpcError as error:
                # A login that fails is a connection that cannot be made.
                is_login = error.message == AuthenticationFailed.message
                code = Exit.BAD_CONNECTION if is_login else Exit.ERROR
                raise Stop(code, text_of(error)) from error

    def client_arguments(self, *endpoints: str) -> "ClientArguments":
        """Return what a client of all endpoints, or of those named, is made with."""
        from kvstore.client import Timing, Tls

        settings = self.settings
        password = settings.password
        if settings.user and not password:
            password = prompted("Password: ")
        tls = Tls.from_files(
            ca=settings.ca_file,
            certificate=settings.certificate_file,
            key=settings.key_file,
            verifies=not settings.skips_verification,
        )
        return {
            "endpoints": endpoints or settings.endpoints,
            "tls": tls if settings.is_tls else None,
            "user": settings.user or None,
            "password": password,
            "timing": Timing(
                timeout_s=settings.command_timeout_s,
                connect_timeout_s=settings.dial_timeout_s,
                # grpc-go does not probe more often either, whatever it is told.
                keepalive_time_s=max(settings.keepalive_time_s, 10.0),
                keepalive_timeout_s=settings.keepalive_timeout_s,
            ),
        }

    def exchange(self, call: "Call[Reply, Result]", *endpoints: str) -> Reply:
        """Return the reply to one call."""
        with self.client(*endpoints) as client:
            return client.exchange(call)

    def show(self, message: Message, *, values_only: bool = False) -> None:
        """Print a reply in the format asked for."""
        is_hex = self.settings.is_hex
        match self.settings.write_out:
            case "simple":
                from kvstore.cli.ctl.output.simple_format import simple_lines

                for line in simple_lines(message, is_hex=is_hex, values_only=values_only):
                    write(line)
            case "json":
                from kvstore.cli.ctl.output.json_format import json_text

                write(json_text(message, is_hex=is_hex))
            case "fields":
                from kvstore.cli.ctl.output.fields_format import fields_lines

                for text in fields_lines(message, is_hex=is_hex):
                    write(text)
            case "protobuf":
                sys.stdout.buffer.write(message.SerializeToString())
            case _:
                raise Stop(Exit.BAD_FEATURE, "table not supported as output format")
        sys.stdout.flush()


def prompted(question: str) -> str:
    """Ask for the password; an interrupt first gives the terminal its echo back."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return getpass.getpass(question)
    finally:
        signal.signal(signal.SIGINT, before)


def text_of(error: RpcError) -> str:
    """Return the text that etcdctl shows: the server's own, or Go's for an endless wait."""
    from kvstore.client.errors import was_never_sent

    if error.code is Code.DEADLINE_EXCEEDED or was_never_sent(error.code, error.message):
        return "context deadline exceeded"
    return error.message


def write(line: str | bytes) -> None:
    """Print a line of text, or of bytes as they are."""
    data = line.encode(errors="surrogateescape") if isinstance(line, str) else line
    sys.stdout.buffer.write(data + b"\n")
