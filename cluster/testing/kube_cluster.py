"""One store of one member, one API server in front of it, and the files that clients need."""

import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from cluster.launcher import kubeconfig, pki
from kvstore.testing import KVSTORED, Cluster, Program

HOST = "127.0.0.1"
CONTEXT = "kvstore-test"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
_POLL_S = 0.01
_numbers = count(1)


class ApiServerDidNotStart(Exception):
    """Holds what it printed."""


class KubeCluster:
    """A cluster without nodes and controllers, in a temporary directory; use as a context manager.

    Keys are made once and kept for the user's later clusters, since that takes longest: all of them
    are worth nothing but on this machine's loopback.
    """

    def __init__(self, *, program: Program = KVSTORED, flags: Sequence[str] = ()) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="kvstore-kube-"))
        self._store = Cluster(1, program=program)
        self._flags = tuple(flags)
        self._process: subprocess.Popen[bytes] | None = None
        self._files, self._authority = pki.ensure(_key_directory(), [HOST, "localhost"])
        self._admin = self._authority.user("kubernetes-admin", ["system:masters"])
        self.url = ""
        """Where the API server listens."""

    @property
    def endpoints(self) -> str:
        """The store behind it."""
        return ",".join(self._store.endpoints)

    def __enter__(self) -> Self:
        try:
            for member in self._store.members:
                member.start()
            self._start()  # it waits for the store by itself, while both are loading
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop both and remove what they wrote."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._store.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def restart(self) -> None:
        """Stop the API server and start it again, on the same port."""
        assert self._process is not None, "only what runs is restarted"
        self._process.terminate()
        self._process.wait(STOP_TIMEOUT_S)
        self._start(port=urlsplit(self.url).port or 0)

    def kubeconfig(
        self, *, user: str | None = None, groups: Sequence[str] = (), namespace: str = "default"
    ) -> Path:
        """Return a new kubeconfig: of the administrator, or of a user with these groups."""
        client = self._admin if user is None else self._authority.user(user, groups)
        access = kubeconfig.Access(
            name=CONTEXT,
            server=self.url,
            ca=self._authority.pair.certificate,
            client=client,
            namespace=namespace,
        )
        path = self.directory / f"kubeconfig-{next(_numbers)}"
        kubeconfig.write(path, access.document())
        return path

    def create_namespace(self, prefix: str = "test") -> str:
        """Create a namespace of a new name; return the name."""
        name = f"{prefix}-{next(_numbers)}-{os.getpid()}"
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request as the administrator; return what was answered.

        Raises:
            RuntimeError: it was refused.
        """
        url = urlsplit(self.url)
        context = ssl.create_default_context(cadata=self._authority.pair.certificate.decode())
        context.load_cert_chain(*self._admin_files())
        connection = http.client.HTTPSConnection(
            url.hostname or HOST, url.port, context=context, timeout=30
        )
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            answered = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise RuntimeError(f"{method} {path}: {answered.get('message')}")
        return answered

    def _admin_files(self) -> tuple[Path, Path]:
        certificate, key = self.directory / "admin.crt", self.directory / "admin.key"
        if not key.exists():
            certificate.write_bytes(self._admin.certificate)
            key.touch(mode=0o600)
            key.write_bytes(self._admin.key)
        return certificate, key

    def _start(self, *, port: int = 0) -> None:
        log_file = self.directory / "apiserver.log"
        command = (
            sys.executable,
            "-m",
            "kvstore.cli.umbrella",
            "kube",
            "apiserver",
            f"--endpoints={self.endpoints}",
            f"--host={HOST}",
            f"--port={port}",
            f"--tls-cert-file={self._files.server}",
            f"--tls-private-key-file={self._files.server_key}",
            f"--client-ca-file={self._files.ca}",
            f"--service-account-key-file={self._files.signing_key}",
            *self._flags,
        )
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.url = self._ready_url(log_file, self._process)

    def _ready_url(self, log_file: Path, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            for line in log_file.read_text().splitlines():
                if line.startswith("ready: "):
                    return line.removeprefix("ready: ")
            time.sleep(_POLL_S)
        raise ApiServerDidNotStart(log_file.read_text())


def _key_directory() -> Path:
    """Return where the keys of test clusters are kept: in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "kvstore" / "kube-test-keys"
