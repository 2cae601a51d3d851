"""Stored bytes to the bytes that clients get, mostly without parsing them.

A stored object is JSON that begins with `apiVersion`, `kind` and `metadata`, in either order of the
first two (ours, or a real kube-apiserver's), and has no resourceVersion. To serve it one is spliced
in. `"metadata":{` cannot occur earlier: before it stand two strings, in which a quote is escaped.
"""

from collections.abc import Iterable

import msgspec

from cluster.kube_api.objects import JsonObject

_METADATA = b'"metadata":{'
_HEAD_BYTES_MAX = 512
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder().decode


def encode(value: object) -> bytes:
    """Return compact JSON."""
    return _encode(value)


def decode(data: bytes) -> JsonObject:
    """Return a copy of one's own of a stored object, without resourceVersion."""
    found = _decode(data)
    assert isinstance(found, dict)
    return found


def stored_bytes(obj: JsonObject) -> bytes:
    """Return `obj` as it is stored: the type first, then metadata, without resourceVersion."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in _NEVER_STORED}
    head = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}
    return _encode(head | {k: v for k, v in obj.items() if k not in head})


_NEVER_STORED = frozenset({"resourceVersion", "selfLink"})


def object_bytes(stored: bytes, revision: int) -> bytes:
    """Return a whole object with its resourceVersion."""
    at = stored.find(_METADATA, 0, _HEAD_BYTES_MAX)
    if at < 0 or not stored.startswith((b'{"apiVersion":', b'{"kind":')):
        return _encode(object_of(stored, revision))
    return b"%b%b%b" % (
        stored[: at + len(_METADATA)],
        _version(stored, at, revision),
        stored[at + len(_METADATA) :],
    )


def item_bytes(stored: bytes, revision: int) -> bytes:
    """Return an object as an item of a list of a built-in kind: without apiVersion and kind."""
    at = stored.find(_METADATA, 0, _HEAD_BYTES_MAX)
    if at < 0 or not stored.startswith((b'{"apiVersion":', b'{"kind":')):
        obj = object_of(stored, revision)
        return _encode({k: v for k, v in obj.items() if k not in {"apiVersion", "kind"}})
    return b'{"metadata":{%b%b' % (_version(stored, at, revision), stored[at + len(_METADATA) :])


def object_of(stored: bytes, revision: int) -> JsonObject:
    """Return a copy of one's own, with its resourceVersion."""
    obj = decode(stored)
    return with_revision(obj, revision)


def with_revision(obj: JsonObject, revision: int) -> JsonObject:
    """Set the resourceVersion of an object of one's own; return it."""
    obj.setdefault("metadata", {})["resourceVersion"] = str(revision)
    return obj


def _version(stored: bytes, at: int, revision: int) -> bytes:
    end = at + len(_METADATA)
    return b'"resourceVersion":"%d"%b' % (revision, b"" if stored[end : end + 1] == b"}" else b",")


def list_bytes(kind: str, api_version: str, metadata: JsonObject, items: Iterable[bytes]) -> bytes:
    """Return a list of objects that are bytes already."""
    head = _encode({"kind": kind, "apiVersion": api_version, "metadata": metadata})
    return b'%b,"items":[%b]}\n' % (head[:-1], b",".join(items))
