"""The names of all tests, for documents that name some."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]


@cache
def known_tests() -> frozenset[str]:
    """Return the names of all test functions."""
    return frozenset(_names())


def _names() -> Iterator[str]:
    for source in _TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and node.name.startswith("test_"):
                yield node.name
