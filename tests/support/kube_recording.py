"""Requests of a real client, written down as they pass, and played again without it.

A recording is a JSON line a request: method, path, headers that matter, body, and the code and kind
that were answered. Names that differ from run to run are put in by their placeholders.
"""

import base64
import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.kube_process import KubeClient

KEPT_HEADERS = ("Accept", "Content-Type", "User-Agent")
NAMESPACE = "recorded-namespace"
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request, and what came of it."""

    command: str
    method: str
    path: str
    headers: dict[str, str]
    body: str
    """Base64."""
    code: int
    kind: str
    """Of the answered object; empty where it is none."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Proxy"

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(self.server.target, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        connection.request(self.command, self.path, body or None, headers)
        response = connection.getresponse()
        is_watch = "watch=true" in self.path
        self.send_response(response.status)
        for name, value in response.headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if is_watch:
            self.send_header("Connection", "close")
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # the client has seen what it waited for
                while line := response.readline():
                    self.wfile.write(line)
                    self.wfile.flush()
            self.close_connection = True
        else:
            answered = response.read()
            self.send_header("Content-Length", str(len(answered)))
            self.end_headers()
            self.wfile.write(answered)
            self.server.note(self, body, response.status, answered)
        connection.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815  the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        """Say nothing."""


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(url).netloc
        self.command = ""
        self.recorded: list[Recorded] = []

    def note(self, handler: _Handler, body: bytes, code: int, answered: bytes) -> None:
        if (
            b"resourceVersion" in body
            or "?hash=" in handler.path
            or code == http.HTTPStatus.NOT_MODIFIED
        ):
            return  # what the server gave before: another version or hash the next time
        kept = {name: handler.headers[name] for name in KEPT_HEADERS if name in handler.headers}
        sent = base64.b64encode(body).decode()
        one = Recorded(
            self.command, handler.command, handler.path, kept, sent, code, _kind_of(answered)
        )
        self.recorded.append(one)


def _kind_of(answered: bytes) -> str:
    try:
        value = json.loads(answered)
    except ValueError:
        return ""
    return str(value.get("kind", "")) if isinstance(value, dict) else ""


@contextlib.contextmanager
def recording(url: str) -> Iterator[tuple[str, _Proxy]]:
    """Yield the URL of a proxy in front of `url`, and what it has recorded."""
    proxy = _Proxy(url)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}", proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def written(recorded: list[Recorded]) -> str:
    """Return the lines of a recording."""
    return "".join(json.dumps(asdict(one)) + "\n" for one in recorded)


def read(path: Path) -> list[Recorded]:
    """Read a recording."""
    return [Recorded(**json.loads(line)) for line in path.read_text().splitlines()]


def replayed(client: KubeClient, one: Recorded, namespace: str) -> tuple[int, str]:
    """Send a recorded request; return the code and the kind that are answered now.

    Bodies may be protobuf, where lengths stand before strings: so the namespace that takes the
    place of the recorded one has to have as many letters.
    """
    assert len(namespace) == len(NAMESPACE)
    body = base64.b64decode(one.body).replace(NAMESPACE.encode(), namespace.encode())
    path = one.path.replace(NAMESPACE, namespace)
    answer = client.request(one.method, path, body or None, headers=one.headers)
    return answer.code, _kind_of(answer.body)
