"""A seed decides everything: the same trace in every process, on every version of Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_VERSIONS = ("3.11", "3.12", "3.13", "3.14")
_ENGINES = "tests.simulation.cluster"
_MEMBERS = "tests.simulation.members.cluster"
_PROGRAM = """
import sys
from hashlib import sha256
from importlib import import_module
run_seed = import_module(sys.argv[1]).run_seed
for seed in (3, 11):
    trace = run_seed(seed, is_traced=True).trace
    print(len(trace), sha256("\\n".join(trace).encode()).hexdigest())
"""


def traces(simulation: str, python: Path, hash_seed: str) -> str:
    """Return what stands for the traces of some seeds, in a process of their own."""
    return subprocess.run(
        [str(python), "-c", _PROGRAM, simulation],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def another_python() -> Path | None:
    """Return an interpreter of another version than this one, if the machine has one."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in reversed(_VERSIONS):
        installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        on_path = shutil.which(f"python{version}", path=os.environ.get("PATH"))
        candidates = [*map(str, installed), *([on_path] if on_path else [])]
        for candidate in candidates:
            if version != here and _is_version(candidate, version):
                return Path(candidate)
    return None


def _is_version(python: str, version: str) -> bool:
    program = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    asked = subprocess.run([python, "-c", program], check=False, capture_output=True, text=True)
    return asked.stdout.strip() == version


@pytest.mark.slow
@pytest.mark.parametrize("simulation", [_ENGINES, _MEMBERS])
def test_a_seed_gives_the_same_trace_whatever_the_hash_seed(simulation: str) -> None:
    here = Path(sys.executable)
    assert traces(simulation, here, "0") == traces(simulation, here, "4711")


@pytest.mark.slow
@pytest.mark.skipif("KVSTORE_FULL" not in os.environ, reason="makes an environment; KVSTORE_FULL=1")
def test_a_seed_gives_the_same_trace_on_another_version_of_python(tmp_path: Path) -> None:
    other = another_python()
    if other is None:
        pytest.skip(f"no other Python of {', '.join(_VERSIONS)} is installed")
    subprocess.run([str(other), "-m", "venv", str(tmp_path)], check=True)
    python = tmp_path / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--editable", str(ROOT)], check=True
    )
    for simulation in (_ENGINES, _MEMBERS):
        assert traces(simulation, python, "0") == traces(simulation, Path(sys.executable), "0")
