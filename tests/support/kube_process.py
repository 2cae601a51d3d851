"""A real API server process over a real store, and the plainest client of it."""

import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.support.cluster_process import KVSTORED, ClusterProcess, Program

START_TIMEOUT_S = 60.0
_COMMAND = (sys.executable, "-m", "kvstore.cli.umbrella", "kube", "apiserver")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered."""

    code: int
    headers: Mapping[str, str]
    body: bytes
    warnings: list[str] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class KubeClient:
    """One request, one connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = urlsplit(url).netloc

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """Send a request; an object as body goes as JSON, bytes as they are."""
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        with contextlib.closing(
            http.client.HTTPConnection(self._address, timeout=60)
        ) as connection:
            connection.request(method, _with_query(path, query), sent, dict(headers or {}))
            response = connection.getresponse()
            warnings = response.headers.get_all("Warning") or []
            return Answer(response.status, dict(response.headers), response.read(), warnings)

    def get(self, path: str, **query: str) -> Any:
        """Return the object or list at `path`; fails if there is none."""
        return _succeeded(self.request("GET", path, **query))

    def create(self, path: str, body: Any, **query: str) -> Any:
        """Return what was created; fails if nothing was."""
        return _succeeded(self.request("POST", path, body, **query))

    def patch(self, path: str, body: Any, *, kind: str = "merge-patch+json", **query: str) -> Any:
        """Return what the patch made."""
        headers = {"Content-Type": f"application/{kind}"}
        return _succeeded(self.request("PATCH", path, body, headers=headers, **query))

    @contextlib.contextmanager
    def watch(self, path: str, **query: str) -> Iterator[Iterator[Any]]:
        """Watch a collection; the iterator gives events as they come."""
        with contextlib.closing(
            http.client.HTTPConnection(self._address, timeout=60)
        ) as connection:
            connection.request("GET", _with_query(path, {"watch": "true", **query}))
            response = connection.getresponse()
            assert response.status == http.HTTPStatus.OK, response.read()
            yield (json.loads(line) for line in iter(response.readline, b""))


def _with_query(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _succeeded(answer: Answer) -> Any:
    assert answer.code < 300, answer.body.decode()
    return answer.json


class ApiServerDidNotStart(Exception):
    """Holds what it printed."""


@contextlib.contextmanager
def api_server(endpoints: str, log_file: Path, *flags: str) -> Iterator[str]:
    """Run an API server on a free port; yield its URL."""
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*_COMMAND, "--endpoints", endpoints, "--port", "0", *(flags or ("--insecure",))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _ready_url(process, log_file)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _ready_url(process: subprocess.Popen[bytes], log_file: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        for line in log_file.read_text().splitlines():
            if line.startswith("ready: "):
                return line.removeprefix("ready: ")
        time.sleep(0.02)
    raise ApiServerDidNotStart(log_file.read_text())


@contextlib.contextmanager
def kube_cluster(directory: Path, *, program: Program = KVSTORED) -> Iterator[KubeClient]:
    """Run a store of one member and an API server in front of it."""
    with ClusterProcess(program, 1) as store:
        endpoints = ",".join(member.endpoint for member in store.members)
        with api_server(endpoints, directory / "apiserver.log") as url:
            yield KubeClient(url)
