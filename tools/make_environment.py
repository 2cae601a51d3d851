"""Make or refresh the virtual environment of this project: `make_environment.py .venv`.

Runs on a bare Python 3.11. Uses uv where it is installed, else venv and pip; pip learned to read
dependency groups only in version 25.1, so the group is read from pyproject.toml here.
"""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUP = "dev"


def dependency_group(name: str) -> list[str]:
    """Return the requirements of a dependency group (PEP 735), with the groups it includes."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    requirements: list[str] = []
    for item in groups[name]:
        if isinstance(item, str):
            requirements.append(item)
        else:
            requirements += dependency_group(item["include-group"])
    return requirements


def main(directory: Path) -> None:
    """Install this project, editable, and the development group into `directory`."""
    python = directory / "bin" / "python"
    wanted = ["--editable", str(ROOT), *dependency_group(GROUP)]
    uv = shutil.which("uv")
    if uv is not None:
        if not _runs(str(python), "-c", ""):
            _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(directory))
        _run(uv, "pip", "install", "--quiet", "--python", str(python), *wanted)
        return
    if not _runs(str(python), "-m", "pip", "--version"):  # uv makes environments without pip
        _run(sys.executable, "-m", "venv", "--clear", str(directory))
    _run(
        str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--root-user-action", "ignore", *wanted,
    )  # fmt: skip


def _run(*command: str) -> None:
    print("+", " ".join(command[:6]), "..." if len(command) > 6 else "", flush=True)
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _runs(*command: str) -> bool:
    try:
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    except OSError:
        return False  # not there, or a link to an interpreter that has gone
    return done.returncode == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
