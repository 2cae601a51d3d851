"""What is masked beyond `etcdctl_script`, and the differences that are left."""

import re
from collections.abc import Sequence

Line = tuple[str, int, str]
"""A command, its exit code, its output."""

_MASKS = (
    # Ids that servers chose; their times to live run down.
    (re.compile(r'("(?:id|lease|Lease|LeaseID|leader|Leader)" ?: ?)\d{10,}'), r"\1ID"),
    (re.compile(r'("(?:ttl|TTL)" ?: ?)\d{2,}'), r"\1TTL"),
    (re.compile(r'("took" ?: ?)"[^"]*"', re.IGNORECASE), r"\1TIME"),
)


def masked_transcript(lines: Sequence[Line]) -> list[Line]:
    """The lines with those masks applied."""
    return [(command, code, _masked(output)) for command, code, output in lines]


def _masked(output: str) -> str:
    for pattern, replacement in _MASKS:
        output = pattern.sub(replacement, output)
    return output


def differing(reference: Sequence[Line], candidate: Sequence[Line]) -> list[str]:
    """Every command whose two answers are not equal, with both."""
    return [
        f"{command}\n  expected {expected}\n  got      {got}"
        for (command, *expected), (_, *got) in zip(reference, candidate, strict=True)
        if expected != got
    ]
