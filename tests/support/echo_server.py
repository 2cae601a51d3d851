"""A server with one echo service, for foreign clients: `python -m tests.support.echo_server`.

Serves `/echo.Echo/Unary`, `/echo.Echo/Stream` and plain HTTP until SIGTERM; prints its port.
"""

import asyncio
import signal
from collections.abc import Callable

import uvloop

from kvstore.base.clock import SystemClock
from kvstore.base.limits import Limits
from kvstore.rpc.call import (
    HttpRequest,
    HttpResponse,
    StreamCall,
    StreamMethod,
    UnaryCall,
    UnaryMethod,
)
from kvstore.server.listener import Listener


class _Echo:
    def __init__(self, call: StreamCall) -> None:
        self._call = call

    def message_received(self, message: bytes) -> None:
        self._call.send(message)

    def half_closed(self) -> None:
        self._call.finish()

    def drained(self) -> None:
        pass

    def closed(self) -> None:
        pass


def _echo(call: UnaryCall, request: bytes) -> None:
    call.reply(request)


def _http(request: HttpRequest, respond: Callable[[HttpResponse], None]) -> None:
    respond(HttpResponse(status=200, body=request.body or b"hello\n"))


async def main() -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    listener = Listener(
        {"/echo.Echo/Unary": UnaryMethod(_echo), "/echo.Echo/Stream": StreamMethod(_Echo)},
        _http,
        limits=Limits(),
        clock=SystemClock(),
    )
    _, port = await listener.listen("127.0.0.1", 0)
    print(port, flush=True)
    await stopped.wait()
    await listener.close(grace_s=1.0)


if __name__ == "__main__":
    uvloop.run(main())
