"""Servers taken at their word: TLS with whatever certificate an endpoint shows.

grpcio cannot skip the verification. So it is given a socket of this process, in a directory that
only its user may enter, and what goes through it is carried to the endpoint over TLS by Python's
own library, which can. Whoever sits between us and the server can read and change everything: this
is for tests, and for a first look at a server.
"""

import asyncio
import contextlib
import ssl
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from kvstore.client.endpoints import Endpoint, Tls

_CHUNK_BYTES = 1 << 16


class UnverifiedRelay:
    """Carries connections to one endpoint until `close`, in a thread of its own."""

    def __init__(self, endpoint: Endpoint, tls: Tls) -> None:
        self._far = endpoint.target
        self._context = _unverifying(tls)
        self._directory = tempfile.TemporaryDirectory(prefix="kvstore-")  # made with mode 0700
        path = str(Path(self._directory.name) / "relay")
        self.endpoint = replace(endpoint, target=f"unix:{path}", is_tls=False)
        """What to connect to instead, in the clear."""
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        listening = threading.Event()
        self._thread = threading.Thread(
            target=lambda: self._loop.run_until_complete(self._run(path, listening)), daemon=True
        )
        self._thread.start()
        listening.wait()

    def close(self) -> None:
        """Cut every connection."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._loop.close()
        self._directory.cleanup()

    async def _run(self, path: str, listening: threading.Event) -> None:
        try:
            server = await asyncio.start_unix_server(self._carry, path)
        finally:
            listening.set()
        async with server:
            await self._end.wait()

    async def _carry(self, near: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        with contextlib.closing(answers), contextlib.suppress(OSError):
            far, requests = await _connected(self._far, self._context)
            with contextlib.closing(requests):
                ends = [
                    asyncio.ensure_future(_pump(near, requests)),
                    asyncio.ensure_future(_pump(far, answers)),
                ]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for end in ends:
                    end.cancel()


def _unverifying(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if tls.certificate and tls.key:
        with tempfile.NamedTemporaryFile() as pair:  # it reads files only; mode 0600
            pair.write(tls.certificate + b"\n" + tls.key)
            pair.flush()
            context.load_cert_chain(pair.name)
    return context


async def _connected(
    target: str, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.startswith("unix:"):
        path = target.removeprefix("unix:")
        return await asyncio.open_unix_connection(path, ssl=context, server_hostname="")
    host, _, port = target.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            sink.write(data)
            await sink.drain()
