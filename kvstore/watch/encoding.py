"""WatchResponse by hand: one encoding of an event for all watchers (rpc.proto, kv.proto).

A response is `header | watch_id | flags | events` in the order of the field numbers. Only the watch
id differs between the watchers of one range, so that a response is three concatenated byte strings.
"""

from collections.abc import Sequence

from kvstore.watch.ports import Change
from kvstore.wire.protobuf import encode_varint, message_field, varint_field

CREATED = varint_field(3, 1)
CANCELED = varint_field(4, 1)
FRAGMENT = varint_field(7, 1)
NO_WATCHER = -1
"""The watch id of a response that speaks of no particular watcher."""

_EVENT_TAG = b"\x5a"
_KV_TAG = b"\x12"
_PREV_KV_TAG = b"\x1a"
_DELETE_TYPE = b"\x08\x01"

WITH_PREVIOUS = 1
NO_PUT = 2
NO_DELETE = 4


class EncodedEvent:
    """An event as the field `events` of a response, encoded once in each form asked for."""

    __slots__ = ("_change", "_plain", "_with_previous", "is_delete", "revision")

    def __init__(self, revision: int, change: Change) -> None:
        self.revision = revision
        self.is_delete = change.is_delete
        self._change = change
        self._plain: bytes | None = None
        self._with_previous: bytes | None = None

    def plain(self) -> bytes:
        """Return the field without `prev_kv`."""
        encoded = self._plain
        if encoded is None:
            encoded = self._plain = event_field(self._change, b"")
        return encoded

    def with_previous(self) -> bytes:
        """Return the field with `prev_kv`, if there was a previous version."""
        encoded = self._with_previous
        if encoded is None:
            previous = self._change.previous
            encoded = self._with_previous = (
                self.plain() if previous is None else event_field(self._change, previous)
            )
        return encoded


def event_field(change: Change, previous: bytes) -> bytes:
    """Return the field `events` of a response; empty `previous` leaves `prev_kv` out."""
    key_value = change.key_value
    body = _KV_TAG + encode_varint(len(key_value)) + key_value
    if change.is_delete:
        body = _DELETE_TYPE + body
    if previous:
        body += _PREV_KV_TAG + encode_varint(len(previous)) + previous
    return _EVENT_TAG + encode_varint(len(body)) + body


def wanted(events: Sequence[EncodedEvent], style: int) -> Sequence[EncodedEvent]:
    """Return the events that the filters of `style` let through."""
    if style & NO_PUT:
        events = [event for event in events if event.is_delete]
    if style & NO_DELETE:
        events = [event for event in events if not event.is_delete]
    return events


def event_fields(events: Sequence[EncodedEvent], style: int) -> list[bytes]:
    """Return the events in the form that `style` asks for."""
    if style & WITH_PREVIOUS:
        return [event.with_previous() for event in events]
    return [event.plain() for event in events]


def watch_id_field(watch_id: int) -> bytes:
    """Return the field `watch_id`; nothing for 0."""
    return varint_field(2, watch_id)


def compacted_fields(compact_revision: int) -> bytes:
    """Return what a cancel because of compaction says behind the watch id."""
    return CANCELED + varint_field(5, compact_revision)


def refusal_fields(reason: str) -> bytes:
    """Return what a refused create says behind the watch id."""
    return CREATED + CANCELED + message_field(6, reason.encode())
