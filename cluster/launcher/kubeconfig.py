"""The files by which clients find a cluster and say who they are: made, read, merged."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.launcher.pki import Pair

Document = dict[str, Any]
_LISTS = ("clusters", "users", "contexts")


class BadKubeconfig(Exception):
    """A file is no kubeconfig; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One cluster, and one user of it."""

    name: str
    """Of the cluster, its context and, with `-admin`, its user."""
    server: str
    ca: bytes | None = None
    client: Pair | None = None
    namespace: str = "default"

    def document(self) -> Document:
        """Return a kubeconfig with this access as its current context."""
        cluster: Document = {"server": self.server}
        if self.ca is not None:
            cluster["certificate-authority-data"] = _encoded(self.ca)
        user: Document = {}
        if self.client is not None:
            user["client-certificate-data"] = _encoded(self.client.certificate)
            user["client-key-data"] = _encoded(self.client.key)
        user_name = f"{self.name}-admin"
        context = {"cluster": self.name, "user": user_name, "namespace": self.namespace}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.name, "cluster": cluster}],
            "users": [{"name": user_name, "user": user}],
            "contexts": [{"name": self.name, "context": context}],
            "current-context": self.name,
        }


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def default_path() -> Path:
    """Return the file that kubectl writes to: the first of KUBECONFIG, or `~/.kube/config`."""
    named = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(named[0]) if named else Path.home() / ".kube" / "config"


def read(path: Path) -> Document:
    """Return what a file holds; an empty kubeconfig if it is not there.

    Raises:
        BadKubeconfig: it is none.
    """
    try:
        found = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    except FileNotFoundError:
        found = None
    except yaml.YAMLError as error:
        raise BadKubeconfig(f"{path}: {error}") from error
    if found is None:
        return {"apiVersion": "v1", "kind": "Config"}
    if not isinstance(found, dict) or found.get("kind", "Config") != "Config":
        raise BadKubeconfig(f"{path} is no kubeconfig")
    for name in _LISTS:
        entries = found.get(name) or []
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise BadKubeconfig(f"{path}: {name} is no list of entries")
    return found


def merged(into: Document, added: Document, *, makes_current: bool = True) -> Document:
    """Return `into` with the entries of `added`; an entry of the same name is replaced."""
    result = dict(into)
    for name in _LISTS:
        fresh = {entry["name"]: entry for entry in added.get(name) or []}
        kept = [entry for entry in into.get(name) or [] if entry.get("name") not in fresh]
        result[name] = [*kept, *fresh.values()]
    if makes_current or not into.get("current-context"):
        result["current-context"] = added["current-context"]
    return result


def without(document: Document, name: str) -> Document:
    """Return a kubeconfig without a context, and without its cluster and user if nobody else's."""
    contexts = document.get("contexts") or []
    gone = [entry for entry in contexts if entry.get("name") == name]
    kept = [entry for entry in contexts if entry.get("name") != name]
    result = document | {"contexts": kept}
    for plural, key in (("clusters", "cluster"), ("users", "user")):
        used = {(entry.get("context") or {}).get(key) for entry in kept}
        unused = {(entry.get("context") or {}).get(key) for entry in gone} - used
        entries = document.get(plural) or []
        result[plural] = [entry for entry in entries if entry.get("name") not in unused]
    if document.get("current-context") == name:
        result["current-context"] = ""
    return result


def write(path: Path, document: Document) -> None:
    """Write a kubeconfig that only its owner reads; whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False))
    fresh.replace(path)
