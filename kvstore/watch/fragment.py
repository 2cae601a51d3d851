"""Responses too large for some clients, cut between events (rpc.proto WatchResponse.fragment)."""

from collections.abc import Sequence

from kvstore.watch.encoding import FRAGMENT


def fragments(head: bytes, events: Sequence[bytes], bytes_max: int) -> list[bytes]:
    """Return the messages that together carry `events` behind `head` (header and watch id).

    One message if it is below `bytes_max` or has one event. Otherwise as few as fit, each below
    `bytes_max` unless it is of one event; all but the last say that more follows. They must leave
    without any other message of the stream between them: clients join what they receive.
    """
    size = len(head) + sum(map(len, events))
    if size < bytes_max or len(events) == 1:
        return [head + b"".join(events)]
    messages = []
    start = 0
    size = len(head) + len(FRAGMENT)
    for position, event in enumerate(events):
        size += len(event)
        if size >= bytes_max and position > start:
            messages.append(head + FRAGMENT + b"".join(events[start:position]))
            start = position
            size = len(head) + len(FRAGMENT) + len(event)
    messages.append(head + b"".join(events[start:]))
    return messages
