"""What an API server is started with."""

from dataclasses import dataclass
from pathlib import Path

MAJOR, MINOR = "1", "33"
VERSION = "v1.33.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files of the server."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """Whose certificates make users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One frozen tree; see `kvstore kube apiserver --help` for the meaning."""

    host: str = "127.0.0.1"
    port: int = 6443
    endpoints: str = "127.0.0.1:2379"
    root: str = "/registry/"
    tls: TlsFiles | None = None
    store_ca: Path | None = None
    store_certificate: Path | None = None
    store_key: Path | None = None
    service_account_key: Path | None = None
    kubelet: TlsFiles | None = None
    """Who the server is to kubelets; their certificates have to be of `client_ca`."""
    issuer: str = "https://kubernetes.default.svc.cluster.local"
    service_range: str = "10.96.0.0/12"
    compact_every_s: float = 300.0
    is_open: bool = False
    """Whether everybody may do everything: for tests without certificates."""

    def problems(self) -> list[str]:
        """Return everything that is wrong, as the user should read it."""
        found = []
        if not self.root.startswith("/") or not self.root.endswith("/"):
            found.append(f"the key prefix must begin and end with a slash: {self.root!r}")
        if self.tls is None and not self.is_open:
            found.append("without TLS nobody can be told apart: give certificates, or --insecure")
        if (self.store_certificate is None) != (self.store_key is None):
            found.append("the store's client certificate and its key go together")
        if self.kubelet is not None and self.kubelet.client_ca is None:
            found.append("the certificate for kubelets needs the authority of theirs beside it")
        return found
