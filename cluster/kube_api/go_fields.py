"""How the fields of Go's types become JSON and protobuf: read from `data/go_fields.txt`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SOURCE = Path(__file__).parent / "data" / "go_fields.txt"


@dataclass(frozen=True, slots=True)
class GoField:
    """One field. `numbers` leads to it on the wire: one number, or one more an embedded struct."""

    name: str
    numbers: tuple[int, ...]
    is_pointer: bool
    is_always_printed: bool


@cache
def go_fields(definition: str) -> Mapping[str, GoField]:
    """Return the fields of a type by their JSON names, embedded structs' included.

    A type that is not listed has none known, and is printed as it came.
    """
    fields: dict[str, GoField] = {}
    package = definition.rpartition(".")[0]
    number = 0
    for word in _lines().get(definition, ()):
        name, _, flags = word.partition(":")
        digits = flags.rstrip("*!")
        number = int(digits) if digits else number + 1
        flags = word.removeprefix(name.rstrip("*!"))
        if name.startswith("^"):
            embedded = go_fields(f"{package}.{name[1:]}").values()
            fields |= {
                one.name: GoField(
                    one.name, (number, *one.numbers), one.is_pointer, one.is_always_printed
                )
                for one in embedded
            }
        else:
            plain = name.rstrip("*!")
            fields[plain] = GoField(plain, (number,), "*" in flags, "!" in flags)
    return fields


@cache
def _lines() -> Mapping[str, tuple[str, ...]]:
    lines = {}
    for line in _SOURCE.read_text().splitlines():
        name, colon, words = line.partition(": ")
        if colon and not line.startswith("#"):
            lines[name] = tuple(words.split())
    return lines
