"""What callers may name: one key, or a range of keys."""

from kvstore.base.key_range import ALL_KEYS_FROM, KeyRange, prefix_end

Text = str | bytes
"""Input only: a `str` is sent as UTF-8. What the store returns is always `bytes`."""

Keys = str | bytes | KeyRange
"""One key, or a range made by `prefix`, `between`, `from_key` or `EVERYTHING`."""

EVERYTHING = KeyRange(b"", None)


def encoded(text: Text) -> bytes:
    """Return the bytes that stand for `text` on the wire."""
    return text.encode() if isinstance(text, str) else bytes(text)


def prefix(text: Text) -> KeyRange:
    """Return the range of the keys that begin with `text`."""
    start = encoded(text)
    end = prefix_end(start)
    return KeyRange(start, None if end == ALL_KEYS_FROM else end)


def from_key(text: Text) -> KeyRange:
    """Return the range of the keys at or after `text`, in byte order."""
    return KeyRange(encoded(text), None)


def between(start: Text, end: Text) -> KeyRange:
    """Return the range of the keys in [start, end)."""
    return KeyRange(encoded(start), encoded(end))


def on_the_wire(keys: Keys) -> tuple[bytes, bytes]:
    """Return `key` and `range_end` of a request for `keys`; `rpc.proto` RangeRequest.range_end.

    The empty key exists nowhere, and servers refuse it: a range that starts with it is sent as
    one that starts with the first key possible.
    """
    if not isinstance(keys, KeyRange):
        return encoded(keys), b""
    if keys.is_single:
        return keys.start, b""
    return keys.start or b"\x00", ALL_KEYS_FROM if keys.end is None else keys.end
