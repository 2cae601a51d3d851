"""Write cluster/kube_api/data/go_fields.txt: how Go's types of Kubernetes become JSON and protobuf.

OpenAPI says what a field holds, not its protobuf number, nor whether Go prints it when it is empty.
Both are tags in the types of k8s.io/api and its sisters, which this reads from the Go module cache
(`go mod download` brings them). To be run after choosing another release.

A line is one type, a word one field in the order of numbers: `name`, then `:N` unless its number is
one more than the last, `*` if it is a pointer, `!` if it is printed even when empty. `^Type` is an
embedded struct: its fields belong to the object around it, and form a message of their own on the
wire.
"""

import json
import re
import subprocess
from pathlib import Path

RELEASE = "v0.33.13"
TARGET = Path(__file__).resolve().parent.parent / "cluster" / "kube_api" / "data" / "go_fields.txt"
MODULES = {
    "k8s.io/api": "io.k8s.api",
    "k8s.io/apimachinery": "io.k8s.apimachinery.pkg.apis",
    "k8s.io/apiextensions-apiserver": "io.k8s.apiextensions-apiserver.pkg.apis",
    "k8s.io/kube-aggregator": "io.k8s.kube-aggregator.pkg.apis",
}
PACKAGES = {"k8s.io/api": "."}
VERSIONS = ("v1", "v2")
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^\s*(?:(\w+)\s+)?([*\[\]\w.]+)\s+`(.*)`", re.MULTILINE)
JSON_TAG = re.compile(r'json:"([^"]*)"')
PROTOBUF_TAG = re.compile(r'protobuf:"\w+,(\d+),')


def main() -> None:
    """Write the table."""
    lines: list[str] = []
    for module, name in MODULES.items():
        packages = module_directory(module) / PACKAGES.get(module, "pkg/apis")
        for directory in sorted(packages.glob("*/*")):
            if directory.name in VERSIONS and (directory / "generated.proto").exists():
                prefix = f"{name}.{directory.parent.name}.{directory.name}"
                lines += package_lines(directory, prefix)
    head = (
        f"# Made by tools/generate_go_fields.py from Kubernetes {RELEASE}; it says how to read.\n"
    )
    TARGET.write_text(head + "".join(f"{line}\n" for line in lines))


def module_directory(module: str) -> Path:
    """Return where the Go module cache has `module`."""
    command = ["go", "mod", "download", "-json", f"{module}@{RELEASE}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Path(json.loads(done.stdout)["Dir"])


def package_lines(directory: Path, prefix: str) -> list[str]:
    """Return the lines of one package, its types in order of name."""
    structs: dict[str, str] = {}
    for source in directory.glob("*.go"):
        if not source.name.startswith(("zz_", "generated")) and "_test" not in source.name:
            structs |= dict(STRUCT.findall(source.read_text()))
    lines = []
    for name, body in sorted(structs.items()):
        words = field_words(body)
        if words:
            lines.append(f"{prefix}.{name}: {' '.join(words)}")
    return lines


def field_words(body: str) -> list[str]:
    """Return the words of one struct."""
    fields: dict[int, str] = {}
    for _, go_type, tags in FIELD.findall(body):
        number, tag = PROTOBUF_TAG.search(tags), JSON_TAG.search(tags)
        if number is None or tag is None:
            continue
        name, _, options = tag[1].partition(",")
        if "inline" in options:
            fields[int(number[1])] = f"^{go_type.rpartition('.')[2]}"
            continue
        pointer = "*" if go_type.startswith("*") else ""
        always = "" if "omitempty" in options else "!"
        fields[int(number[1])] = f"{name}|{pointer}{always}"
    words, expected = [], 1
    for number, word in sorted(fields.items()):
        name, _, flags = word.partition("|")
        words.append(f"{name}{'' if number == expected else f':{number}'}{flags}")
        expected = number + 1
    return words


if __name__ == "__main__":
    main()
