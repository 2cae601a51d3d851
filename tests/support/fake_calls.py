"""Calls without a wire: what a handler answered, for tests of the services."""

from collections.abc import Mapping

from kvstore.rpc.call import WholeReply
from kvstore.wire.plain import Body, BodyEvents


class FakeUnaryCall:
    """A unary call whose answer is kept."""

    def __init__(self, metadata: Mapping[str, str] | None = None) -> None:
        self.metadata = metadata or {}
        self.client_name = ""
        self.timeout_s: float | None = None
        self.is_open = True
        self.message: bytes | None = None
        self.status: tuple[int, str] | None = None

    def reply(self, message: bytes) -> None:
        assert self.status is None, "answered twice"
        self.message = message
        self.status = (0, "")

    def begin(self, message_bytes: int, events: BodyEvents) -> Body:
        return WholeReply(self.reply)

    def fail(self, code: int, text: str) -> None:
        assert self.status is None, "answered twice"
        self.status = (code, text)


class FakeStreamCall:
    """A streaming call whose messages are kept."""

    def __init__(self, metadata: Mapping[str, str] | None = None) -> None:
        self.metadata = metadata or {}
        self.client_name = ""
        self.is_open = True
        self.unsent_bytes = 0
        self.messages: list[bytes] = []
        self.status: tuple[int, str] | None = None

    def send(self, message: bytes) -> None:
        assert self.status is None, "sent after the end"
        self.messages.append(message)

    def finish(self, code: int = 0, text: str = "") -> None:
        assert self.status is None, "ended twice"
        self.status = (code, text)
