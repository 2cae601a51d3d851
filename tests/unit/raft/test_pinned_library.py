"""kvstore.raft.pinned_library: the library that the engine is written for, and no other."""

from pathlib import Path

import pysyncobj.syncobj as library
import pytest

from kvstore.raft.pinned_library import UnsupportedLibrary, check_library

SOURCE = Path(library.__file__).read_bytes()


def test_the_installed_library_is_the_audited_one() -> None:
    check_library(library.VERSION, SOURCE, library.SyncObj)


def test_another_version_is_refused() -> None:
    with pytest.raises(UnsupportedLibrary, match=r"0\.3\.18 is installed"):
        check_library("0.3.18", SOURCE, library.SyncObj)


def test_another_source_is_refused() -> None:
    with pytest.raises(UnsupportedLibrary, match="audited"):
        check_library(library.VERSION, SOURCE + b"\n", library.SyncObj)


def test_a_missing_private_name_is_refused() -> None:
    with pytest.raises(UnsupportedLibrary, match="has no onMessageReceived"):
        check_library(library.VERSION, SOURCE, object)
