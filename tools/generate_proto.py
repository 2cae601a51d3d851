"""Generate kvstore/wire/pb from proto/.

    python tools/generate_proto.py           write the generated files
    python tools/generate_proto.py --check   exit 1, with a diff, if they are not what is generated

The compiler lives in an environment of its own (`.venv-proto`, made on first use): its pins must
not hold back the protobuf runtime that kvstore itself runs on.

What protoc would write is changed in one respect: descriptors go to `pb.pool.POOL` and imports are
relative to the package. So a `*_pb2.py` is made here from the descriptor itself, and the stubs
(`*_pb2_grpc.py`, `*_pb2.pyi`) are protoc's, with their imports rewritten.
"""

import argparse
import difflib
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GENERATED = ROOT / "kvstore" / "wire" / "pb"
ENVIRONMENT = ROOT / ".venv-proto"
REQUIREMENTS = ("grpcio-tools==1.81.1", "mypy-protobuf==5.1.0")
LINE_WIDTH = 100


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate kvstore/wire/pb from proto/.")
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 on a difference")
    check: bool = parser.parse_args().check
    wanted = generated_files(compiler())
    present = {path.name: path.read_text() for path in GENERATED.glob("*_pb2*")}
    if check:
        difference = "".join(differences(present, wanted))
        sys.stdout.write(difference)
        return 1 if difference else 0
    for name in present.keys() - wanted.keys():
        (GENERATED / name).unlink()
    for name, text in wanted.items():
        if present.get(name) != text:
            (GENERATED / name).write_text(text)
    return 0


def compiler() -> Path:
    """Return the python of the compiler's environment, which holds exactly REQUIREMENTS."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "requirements"
    if not stamp.exists() or stamp.read_text().split() != list(REQUIREMENTS):
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS)
        stamp.write_text("\n".join(REQUIREMENTS) + "\n")
    return python


def generated_files(python: Path) -> dict[str, str]:
    """Return the text of every generated file by its name."""
    sources = sorted(PROTO.glob("*/*.proto"))
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory)
        descriptors = output / "descriptors"
        run(
            python,
            "-m",
            "grpc_tools.protoc",
            *(f"--proto_path={folder}" for folder in sorted({path.parent for path in sources})),
            f"--plugin=protoc-gen-mypy={python.parent / 'protoc-gen-mypy'}",
            f"--descriptor_set_out={descriptors}",
            f"--grpc_python_out={output}",
            f"--mypy_out=quiet:{output}",
            *(path.name for path in sources),
        )
        files = FileDescriptorSet.FromString(descriptors.read_bytes()).file
        stubs = {path.name: path.read_text() for path in output.glob("*_pb2*")}
    origin = {path.name: path.relative_to(ROOT) for path in sources}
    generated: dict[str, str] = {}
    for file in files:
        module = module_name(file.name)
        generated[f"{module}.py"] = message_module(file, origin[file.name])
        generated[f"{module}.pyi"] = relative_imports(stubs[f"{module}.pyi"])
        if file.service:
            generated[f"{module}_grpc.py"] = stub_module(stubs[f"{module}_grpc.py"])
    return generated


def module_name(proto: str) -> str:
    return proto.removesuffix(".proto") + "_pb2"


def message_module(file: FileDescriptorProto, origin: Path) -> str:
    """Return the module that defines the messages of `file` in our pool."""
    imports = "".join(
        f"from . import {module_name(name)} as _{module_name(name)}  # must be defined first\n"
        for name in file.dependency
    )
    literal = "\n".join(f"    {line}" for line in bytes_literals(file.SerializeToString()))
    return (
        f"# Generated from {origin.as_posix()} by tools/generate_proto.py; do not edit.\n"
        f"{imports}from .pool import define as _define\n\n"
        f"DESCRIPTOR = _define(\n{literal},\n    globals(),\n)\n"
    )


def bytes_literals(data: bytes) -> Iterator[str]:
    """Yield adjacent literals, each at most a line wide, that together spell `data`."""
    width = LINE_WIDTH - len("    b''")
    line = ""
    for byte in data:
        # One byte at a time never makes an escape that runs into the next byte's digit.
        spelled = repr(bytes([byte]))[2:-1] if byte != ord("'") else r"\'"
        if len(line) + len(spelled) > width:
            yield f"b'{line}'"
            line = ""
        line += spelled
    yield f"b'{line}'"


def relative_imports(text: str) -> str:
    return re.sub(r"^import (\w+_pb2) as ", r"from . import \1 as ", text, flags=re.MULTILINE)


def stub_module(text: str) -> str:
    """Return the gRPC stubs without their demand for the very latest grpcio.

    They ask for the compiler's own version; what they use is in every grpcio that we support.
    """
    text, replaced = re.subn(
        r"\nGRPC_GENERATED_VERSION = .*?\n    \)\n", "", text, count=1, flags=re.DOTALL
    )
    assert replaced == 1, "grpcio-tools has changed the form of its version check"
    return relative_imports(text.replace("import warnings\n", ""))


def differences(present: dict[str, str], wanted: dict[str, str]) -> Iterator[str]:
    """Yield the lines of a unified diff from the files present to those wanted."""
    for name in sorted(present.keys() | wanted.keys()):
        yield from difflib.unified_diff(
            present.get(name, "").splitlines(keepends=True),
            wanted.get(name, "").splitlines(keepends=True),
            f"{name} (committed)",
            f"{name} (generated)",
        )


def run(*command: Path | str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
