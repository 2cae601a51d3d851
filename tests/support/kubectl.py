"""The real kubectl, where there is one."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml


class CommandFailed(Exception):
    """Holds what kubectl said."""


class Command(NamedTuple):
    """How a program is started."""

    argv: list[str]
    environment: dict[str, str]


class Kubectl:
    """kubectl with a kubeconfig of its own, and nothing of the user's."""

    def __init__(
        self,
        program: str,
        config: Path,
        *flags: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._program = program
        self._config = config
        self._flags = flags
        self._environment = environment or {}

    def command(self, *arguments: str) -> Command:
        """Return how a command is started."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._config.parent),
            "KUBECONFIG": str(self._config),
            "TERM": "xterm",
            **self._environment,
        }
        return Command([self._program, *self._flags, *arguments], environment)

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command, whatever comes of it."""
        command = self.command(*arguments)
        return subprocess.run(
            command.argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=command.environment,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Return what a command prints; fails if it fails."""
        done = self.run(*arguments, stdin=stdin)
        if done.returncode:
            raise CommandFailed(f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def with_token(self, token: str) -> "Kubectl":
        """Return kubectl as the user whose token this is."""
        document = yaml.safe_load(self._config.read_text())
        document["users"][0]["user"] = {"token": token}
        path = self._config.with_name("kubeconfig-of-a-token")
        path.write_text(yaml.safe_dump(document))
        return Kubectl(self._program, path)


def kubectl_program() -> str | None:
    """Return kubectl; `KVSTORE_KUBECTL` names another one than that on PATH."""
    return os.environ.get("KVSTORE_KUBECTL") or shutil.which("kubectl")


def kubectl_or_skip(config: Path) -> Kubectl:
    """Return kubectl; skips where there is none."""
    program = kubectl_program()
    if program is None:
        pytest.skip("no kubectl on PATH; KVSTORE_KUBECTL may name one")
    return Kubectl(program, config)
