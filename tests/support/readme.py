"""The examples of README.md, in order."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One fenced block: its language and its lines."""

    language: str
    text: str


def blocks(document: Path = ROOT / "README.md") -> list[Block]:
    """Return the fenced blocks of a document."""
    return [Block(*match) for match in _BLOCK.findall(document.read_text())]
