"""Bytes from outside are never run: nothing here could, and the library is kept from it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pysyncobj
import pytest

import kvstore
from kvstore.base.ids import MemberId
from kvstore.raft.consensus import Membership
from tests.support.raft_lab import Lab

_SOURCE = Path(kvstore.__file__).parent
_MODULES = {"pickle", "_pickle", "cPickle", "dill", "marshal", "shelve"}
_BUILTINS = {"eval", "exec", "compile"}


def uses(source: Path) -> Iterator[str]:
    """Yield what in a file could turn bytes into running code."""
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Import(names=names):
                found = [name.name for name in names if name.name.split(".")[0] in _MODULES]
            case ast.ImportFrom(module=str(module)):
                found = [module] if module.split(".")[0] in _MODULES else []
            case ast.Call(func=ast.Name(id=name)):
                found = [name] if name in _BUILTINS else []
            case _:
                found = []
        for name in found:
            yield f"{source.name}: {name}"


def test_no_module_of_the_product_can_unpickle_or_evaluate() -> None:
    sources = sorted(_SOURCE.rglob("*.py"))
    assert len(sources) > 100
    assert [use for source in sources for use in uses(source)] == []


def test_the_library_neither_pickles_nor_unpickles(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("pickled")

    for module in (pysyncobj.syncobj, pysyncobj.pickle):
        for name in ("loads", "dumps", "pickle_loads", "pickle_dumps"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, refuse)
    for name in ("loads", "dumps", "load", "dump"):
        monkeypatch.setattr(f"pickle.{name}", refuse)
    lab = Lab(3)
    lab.elect(1)
    lab.settle()
    lab.put(1, "command")
    lab.join(4)
    grown = Membership(voters=lab.first.voters | {MemberId(4)})
    lab[1].engine.propose_membership(grown)
    lab.settle()
    assert lab[4].commands == [b"command"]
    lab.elect(2)
    lab.settle()
    assert lab[3].engine.membership == grown
