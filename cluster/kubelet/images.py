"""Which program stands behind an image name. There is no registry: images are found on the node.

The rule, in order; the first that fits is taken:

1. A directory `IMAGES/REPOSITORY/TAG` with an `image.json`, whose members are those of an OCI image
   configuration: `Entrypoint`, `Cmd`, `Env` (a list of `NAME=value`), `WorkingDir`. Programs are
   looked up in the directory's own `bin` first.
2. A name that ends in `python` or `python:X` is the interpreter that runs the kubelet.
3. `busybox`, `alpine`, `debian` and `ubuntu` stand for this machine: its shell, its programs.
4. `pause` does nothing until it is told to end.
5. Anything else is not there: ErrImagePull, and later ImagePullBackOff.

`REPOSITORY` is the name without registry, tag and digest; `TAG` is `latest` if none is given.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster.kube_api.objects import list_at, string_at
from cluster.kubelet.runtime import CannotStart

_MACHINE = ("busybox", "alpine", "debian", "ubuntu")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Image:
    """What a container runs if its pod does not say otherwise."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/"


def split_image(name: str) -> tuple[str, str]:
    """Return repository and tag: `("web/server", "1.2")` for `example.org:5000/web/server:1.2`."""
    name = name.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    tail, _, tag = tail.partition(":")
    first, more, rest = head.partition("/")
    if "." in first or ":" in first or first == "localhost":
        head = rest if more else ""
        slash = "/" if head else ""
    return f"{head}{slash}{tail}", tag or "latest"


class Images:
    """The images of a node; `directory` may be missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, name: str) -> Image:
        """Return what `name` stands for.

        Raises:
            CannotStart: nothing; the reason is ErrImagePull, or InvalidImageName.
        """
        repository, tag = split_image(name)
        if not repository or ".." in repository.split("/") or tag in (".", ".."):
            raise CannotStart("InvalidImageName", f'couldn\'t parse image name "{name}"')
        own = self._directory / repository / tag
        if (own / "image.json").is_file():
            return _read(own)
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH') or _PATH}"
        last = repository.rpartition("/")[2]
        if last == "python":
            return Image(command=[sys.executable], env={"PATH": path})
        if last in _MACHINE:
            return Image(command=["sh"], env={"PATH": path})
        if last == "pause":
            return Image(entrypoint=["sleep", "infinity"], env={"PATH": path})
        text = f'Failed to pull image "{name}": this node has no such image'
        raise CannotStart("ErrImagePull", text)


def _read(directory: Path) -> Image:
    try:
        config = json.loads((directory / "image.json").read_text())
    except ValueError as error:
        text = f"{directory.name}: image.json is no JSON: {error}"
        raise CannotStart("ErrImagePull", text) from error
    env = dict(str(one).partition("=")[::2] for one in list_at(config, "Env"))
    path = env.get("PATH") or os.environ.get("PATH") or _PATH
    return Image(
        [str(one) for one in list_at(config, "Entrypoint")],
        [str(one) for one in list_at(config, "Cmd")],
        {**env, "PATH": f"{directory / 'bin'}:{path}"},
        string_at(config, "WorkingDir") or str(directory),
    )
