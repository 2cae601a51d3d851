"""The one pysyncobj whose private parts `pysyncobj_engine` knows; any other is refused."""

import hashlib

_VERSION = "0.3.17"
_SHA256 = "e8bdf06797085d734df86e24ab4802fe87893dff77268565ec036f7ad4a1cfe4"
_PRIVATE_METHODS = (
    "onMessageReceived",
    "sendNextNodeIdx",
    "sendAppendEntries",
    "connectedToAnyone",
    "doApplyCommand",
    "applyLogEntries",
    "tryLogCompaction",
    "loadDumpFile",
    "changeCluster",
    "doChangeCluster",
    "setCurrentTerm",
    "setState",
    "generateRaftTimeout",
    "onBecomeLeader",
)


class UnsupportedLibrary(RuntimeError):
    """Another pysyncobj than the one whose private parts this module knows."""


def check_library(version: str, source: bytes, sync_obj: type) -> None:
    """Raise `UnsupportedLibrary` unless this is the library that the overrides were written for."""
    if version != _VERSION:
        raise UnsupportedLibrary(f"pysyncobj {version} is installed, {_VERSION} is needed")
    if hashlib.sha256(source).hexdigest() != _SHA256:
        raise UnsupportedLibrary("the source of pysyncobj.syncobj is not the one that was audited")
    for name in _PRIVATE_METHODS:
        if not hasattr(sync_obj, f"_SyncObj__{name}"):
            raise UnsupportedLibrary(f"pysyncobj.SyncObj has no {name}")
