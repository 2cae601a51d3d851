"""What a pod's volumes hold, as directories of this machine.

Files that come from objects (ConfigMaps, Secrets, the pod itself, tokens) are replaced all at once:
they lie in a directory of their own behind the link `..data`, as every kubelet does it, so that a
reader sees either the old state or the new one.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.kube_api.objects import JsonObject, integer_at, list_at, object_at, string_at
from cluster.kubelet.container_config import PodFacts, Sources, field_value, resource_value
from cluster.kubelet.runtime import CannotStart

_MODE = 0o644
_DATA = "..data"


@dataclass(frozen=True, slots=True)
class File:
    """A file to be."""

    content: bytes
    mode: int = _MODE


Token = Callable[[JsonObject], str]
"""Returns a service account's token for a projection: audience and expirationSeconds."""


class FailedMount(CannotStart):
    """A volume cannot be had yet."""

    def __init__(self, message: str) -> None:
        super().__init__("ContainerCreating", message)


def prepare(
    pod: JsonObject, directory: Path, facts: PodFacts, sources: Sources, token: Token
) -> dict[str, str]:
    """Make every volume of a pod below `directory`; return where each is, by name.

    May be called again: what comes from objects is brought up to date.

    Raises:
        FailedMount: one of them cannot be had; those before it can.
    """
    found: dict[str, str] = {}
    for volume in list_at(pod, "spec", "volumes"):
        name = string_at(volume, "name")
        if "hostPath" in volume:
            found[name] = _host_path(object_at(volume, "hostPath"), name)
            continue
        place = directory / "volumes" / name
        place.mkdir(parents=True, exist_ok=True)
        if "emptyDir" in volume:
            place.chmod(0o777)
        else:
            write_all(place, contents(volume, facts, sources, token))
        found[name] = str(place)
    return found


def contents(
    volume: JsonObject, facts: PodFacts, sources: Sources, token: Token
) -> dict[str, File]:
    """Return the files of a volume that is made from objects."""
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            source = object_at(volume, kind)
            mode = integer_at(source, "defaultMode", default=_MODE)
            return _files(kind, source, mode, facts, sources)
    if "projected" not in volume:
        kinds = ", ".join(sorted(set(volume) - {"name"}))
        text = f'volume "{string_at(volume, "name")}": this node has no volumes of kind {kinds}'
        raise FailedMount(text)
    projected = object_at(volume, "projected")
    mode = integer_at(projected, "defaultMode", default=_MODE)
    found: dict[str, File] = {}
    for source in list_at(projected, "sources"):
        for kind in source:
            if kind == "serviceAccountToken":
                wanted = object_at(source, kind)
                found[string_at(wanted, "path")] = File(token(wanted).encode(), 0o600)
            else:
                found |= _files(kind, object_at(source, kind), mode, facts, sources)
    return found


def _files(
    kind: str, source: JsonObject, mode: int, facts: PodFacts, sources: Sources
) -> dict[str, File]:
    if kind == "downwardAPI":
        return {
            string_at(item, "path"): File(
                _downward(item, facts), integer_at(item, "mode", default=mode)
            )
            for item in list_at(source, "items")
        }
    name = string_at(source, "name") or string_at(source, "secretName")
    data: Mapping[str, bytes] | None
    if kind == "configMap":
        texts = sources.config_map(name)
        data = None if texts is None else {key: text.encode() for key, text in texts.items()}
    else:
        data = sources.secret(name)
    if data is None:
        if source.get("optional") is True:
            return {}
        raise FailedMount(f'{kind.lower()} "{name}" not found')
    items = list_at(source, "items")
    if not items:
        return {key: File(value, mode) for key, value in data.items()}
    found: dict[str, File] = {}
    for item in items:
        key = string_at(item, "key")
        if key in data:
            found[string_at(item, "path")] = File(data[key], integer_at(item, "mode", default=mode))
        elif source.get("optional") is not True:
            raise FailedMount(f"references non-existent {kind.lower()} key: {key}")
    return found


def _downward(item: JsonObject, facts: PodFacts) -> bytes:
    if reference := object_at(item, "fieldRef"):
        return field_value(string_at(reference, "fieldPath"), facts).encode()
    reference = object_at(item, "resourceFieldRef")
    name = string_at(reference, "containerName")
    for container in list_at(facts.pod, "spec", "containers"):
        if string_at(container, "name") == name:
            return resource_value(reference, container, facts).encode()
    raise FailedMount(f'no container named "{name}"')


def _host_path(source: JsonObject, name: str) -> str:
    path, kind = Path(string_at(source, "path")), string_at(source, "type")
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    is_wrong = (
        (kind == "Directory" and not path.is_dir())
        or (kind == "File" and not path.is_file())
        or not path.exists()
    )
    if is_wrong:
        raise FailedMount(f'volume "{name}": hostPath type check failed: {path} is not a {kind}')
    return str(path)


def write_all(place: Path, files: Mapping[str, File]) -> None:
    """Replace the files of a directory, all at once, if any differs.

    Raises:
        FailedMount: a path leads out of the directory.
    """
    if any(".." in Path(name).parts or Path(name).is_absolute() for name in files):
        raise FailedMount("a path leads out of its volume")
    link = place / _DATA
    if link.exists() and _present(link) == dict(files):
        return
    generation = sum(1 for _ in place.glob("..generation-*"))
    fresh = place / f"..generation-{generation}"
    while fresh.exists():
        generation += 1
        fresh = place / f"..generation-{generation}"
    for name, file in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)
    fresh.mkdir(exist_ok=True)
    draft = place / "..data-next"
    draft.symlink_to(fresh.name)
    draft.rename(link)
    _show(place, {Path(name).parts[0] for name in files})
    for old in place.glob("..generation-*"):
        if old != fresh:
            shutil.rmtree(old)


def _show(place: Path, names: set[str]) -> None:
    """Link every first part of a path into the present generation, and drop what is gone."""
    for path in place.iterdir():
        if path.is_symlink() and path.name != _DATA and path.name not in names:
            path.unlink()
    for name in names:
        if not (place / name).is_symlink():
            (place / name).symlink_to(f"{_DATA}/{name}")


def _present(link: Path) -> dict[str, File]:
    found: dict[str, File] = {}
    for folder, _, names in os.walk(link.resolve()):
        for name in names:
            path = Path(folder) / name
            relative = str(path.relative_to(link.resolve()))
            found[relative] = File(path.read_bytes(), path.stat().st_mode & 0o7777)
    return found
