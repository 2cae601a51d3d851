"""An informer that trusts nobody: it notes whatever a list or a watch may not do."""

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

LOST = (OSError, http.client.HTTPException)
RETRY_PAUSE_S = 0.05
EVENTS_PER_PICTURE = 10
_INITIAL_END = "k8s.io/initial-events-end"


@dataclass(slots=True)
class Chain:
    """What one list and the watches that follow it said: everything after `start`, up to `end`."""

    start: int
    end: int
    told: set[tuple[str, int]] = field(default_factory=set)
    """Name and revision of each event."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole cache at one revision."""

    revision: int
    objects: Mapping[str, int]


class WatchEnded(Exception):
    """The server has forgotten the revision that the watch was to go on from."""


class Informer(threading.Thread):
    """Lists and watches `path` of the server at `url`, again and again, until `finish`.

    `streams` takes the list as events of the watch, as client-go 1.35 does. `complaints` holds
    every breach of the contract; `pictures` is for whoever can look into the store's past.
    """

    def __init__(self, url: str, path: str, *, streams: bool) -> None:
        super().__init__(name=f"informer-{'streams' if streams else 'lists'}", daemon=True)
        self._address = urlsplit(url).netloc
        self._path = path
        self._streams = streams
        self._finishing = threading.Event()
        self._objects: dict[str, int] = {}
        self.chains: list[Chain] = []
        self.complaints: list[str] = []
        self.pictures: list[Picture] = []
        self.reconnects = 0

    @property
    def revision(self) -> int:
        """Up to where the cache is known to be complete."""
        return self.chains[-1].end if self.chains else 0

    @property
    def picture(self) -> Picture:
        """The cache as it is; only once the thread has ended."""
        return Picture(self.revision, dict(self._objects))

    def finish(self) -> None:
        """End the thread; its last watch is left at its next event."""
        self._finishing.set()

    def run(self) -> None:
        """Follow the collection, whatever happens to the server."""
        is_listed = False
        while not self._finishing.is_set():
            try:
                if not is_listed:
                    self._list()
                    is_listed = True
                self._watch()
                self.reconnects += 1
            except WatchEnded:
                is_listed = False
            except LOST:
                self.reconnects += 1
                self._finishing.wait(RETRY_PAUSE_S)

    def _list(self) -> None:
        if self._streams:
            self._begin(*self._streamed())
            return
        listed = self._answer({})
        items = {name_of(item): version_of(item) for item in listed["items"]}
        self._begin(items, version_of(listed))

    def _streamed(self) -> tuple[dict[str, int], int]:
        found: dict[str, int] = {}
        query = {
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            "allowWatchBookmarks": "true",
        }
        for event in self._events(query):
            obj = event["object"]
            if event["type"] == "BOOKMARK":
                if (obj["metadata"].get("annotations") or {}).get(_INITIAL_END) == "true":
                    return found, version_of(obj)
            elif event["type"] != "ADDED" or name_of(obj) in found:
                self._complain(f"{event['type']} of {name_of(obj)} in a streamed list")
            else:
                found[name_of(obj)] = version_of(obj)
        raise ConnectionResetError("the list ended before its end was said")

    def _begin(self, objects: dict[str, int], revision: int) -> None:
        if revision < self.revision:
            self._complain(f"a list of {revision} after events of {self.revision}")
        if newer := {name: at for name, at in objects.items() if at > revision}:
            self._complain(f"a list of {revision} holds {newer}")
        self._objects = objects
        self.chains.append(Chain(revision, revision))
        self.pictures.append(self.picture)

    def _watch(self) -> None:
        query = {"resourceVersion": str(self.revision), "allowWatchBookmarks": "true"}
        for event in self._events(query):
            self._take(event["type"], event["object"])
            if self._finishing.is_set():
                return

    def _take(self, kind: str, obj: Any) -> None:
        chain, revision = self.chains[-1], version_of(obj)
        if kind == "BOOKMARK":
            if revision < chain.end:
                self._complain(f"a bookmark of {revision} after {chain.end}")
            chain.end = revision
            return
        name = name_of(obj)
        if revision <= chain.end:
            self._complain(f"{kind} of {name} at {revision} after {chain.end}")
        if (kind == "ADDED") == (name in self._objects):
            self._complain(f"{kind} of {name}, which was {self._objects.get(name, 'not there')}")
        if kind == "DELETED":
            self._objects.pop(name, None)
        else:
            self._objects[name] = revision
        chain.told.add((name, revision))
        chain.end = revision
        if len(chain.told) % EVENTS_PER_PICTURE == 0:
            self.pictures.append(self.picture)

    def _answer(self, query: dict[str, str]) -> Any:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            connection.request("GET", f"{self._path}?{urlencode(query)}")
            response = connection.getresponse()
            answered = json.loads(response.read())
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise ConnectionResetError(f"{response.status}: {answered}")
        return answered

    def _events(self, query: dict[str, str]) -> Iterator[Any]:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            connection.request("GET", f"{self._path}?{urlencode({'watch': 'true', **query})}")
            response = connection.getresponse()
            if response.status == HTTPStatus.GONE:
                raise WatchEnded(response.read())
            if response.status != HTTPStatus.OK:
                raise ConnectionResetError(f"{response.status}: {response.read()!r}")
            while (line := response.readline()).endswith(b"\n"):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    if event["object"]["code"] != HTTPStatus.GONE:
                        raise ConnectionResetError(event["object"]["message"])
                    raise WatchEnded(event["object"]["message"])
                yield event
        finally:
            connection.close()

    def _complain(self, what: str) -> None:
        self.complaints.append(f"{self.name}: {what}")


def name_of(obj: Any) -> str:
    """Return an object's name."""
    return str(obj["metadata"]["name"])


def version_of(obj: Any) -> int:
    """Return the revision that an object or a list is of."""
    return int(obj["metadata"]["resourceVersion"])
