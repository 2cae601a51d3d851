"""Where an API server is and who we are to it: from a kubeconfig, or from inside a pod."""

import base64
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at

_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class BadKubeconfig(Exception):
    """A kubeconfig does not say what is needed; the text says what."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client needs. `token_file` is read again for every request: tokens are renewed."""

    server: str
    tls: ssl.SSLContext | None = None
    token: str = ""
    token_file: Path | None = None
    namespace: str = "default"
    certificate_authority: str = ""
    """Whom the server's certificate is believed to be from, in PEM; empty: whom this machine is."""

    def authorization(self) -> str:
        """Return the Authorization header, or an empty text."""
        token = self.token_file.read_text().strip() if self.token_file else self.token
        return f"Bearer {token}" if token else ""


def from_kubeconfig(path: Path, *, context: str = "") -> Connection:
    """Read a kubeconfig; `context` defaults to its current one.

    Raises:
        BadKubeconfig: it is none, or names what it does not define.
        OSError: it, or a file that it names, cannot be read.
    """
    try:
        config = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise BadKubeconfig(f"{path} is no YAML: {error}") from error
    if not isinstance(config, Mapping):
        raise BadKubeconfig(f"{path} is no kubeconfig")
    name = context or string_at(config, "current-context")
    chosen = _named(config, "contexts", name, "context", path)
    cluster = _named(config, "clusters", string_at(chosen, "cluster"), "cluster", path)
    user = _named(config, "users", string_at(chosen, "user"), "user", path)
    server = string_at(cluster, "server").rstrip("/")
    if not server:
        raise BadKubeconfig(f"{path} names no server in context {name!r}")
    token_file = string_at(user, "tokenFile")
    return Connection(
        server,
        _tls(cluster, user, path.parent) if server.startswith("https:") else None,
        token=string_at(user, "token"),
        token_file=path.parent / token_file if token_file else None,
        namespace=string_at(chosen, "namespace") or "default",
        certificate_authority=_material(cluster, "certificate-authority", path.parent).decode(),
    )


def from_pod() -> Connection:
    """Use the service account of the pod that this process runs in.

    Raises:
        BadKubeconfig: this is no pod, or it has no service account.
    """
    host, port = (
        os.environ.get("KUBERNETES_SERVICE_HOST"),
        os.environ.get("KUBERNETES_SERVICE_PORT"),
    )
    token = _IN_POD / "token"
    if not host or not port or not token.exists():
        raise BadKubeconfig("not in a pod with a service account")
    return Connection(
        f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ssl.create_default_context(cafile=_IN_POD / "ca.crt"),
        token_file=token,
        namespace=(_IN_POD / "namespace").read_text().strip(),
        certificate_authority=(_IN_POD / "ca.crt").read_text(),
    )


def _named(config: Mapping[str, Any], section: str, name: str, part: str, path: Path) -> JsonObject:
    for entry in list_at(config, section):
        if string_at(entry, "name") == name:
            return object_at(entry, part)
    raise BadKubeconfig(f"{path} has no {part} named {name!r}")


def _tls(cluster: JsonObject, user: JsonObject, folder: Path) -> ssl.SSLContext:
    """Return a context that trusts the cluster's authority and shows the user's certificate."""
    context = ssl.create_default_context()
    if member(cluster, "insecure-skip-tls-verify") is True:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority := _material(cluster, "certificate-authority", folder):
        context = ssl.create_default_context(cadata=authority.decode())
    certificate = _material(user, "client-certificate", folder)
    key = _material(user, "client-key", folder)
    if certificate and key:
        with TemporaryDirectory() as directory:  # the ssl module reads keys from files only
            chain = Path(directory) / "chain.pem"
            chain.touch(mode=0o600)
            chain.write_bytes(certificate + b"\n" + key)
            context.load_cert_chain(chain)
    return context


def _material(part: JsonObject, name: str, folder: Path) -> bytes:
    """Return what stands in `name`-data, or in the file that `name` names."""
    if data := string_at(part, f"{name}-data"):
        return base64.b64decode(data)
    file = string_at(part, name)
    return (folder / file).read_bytes() if file else b""
