"""Objects, lists and events as a client asked for them: whole, as a table, or metadata alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cluster.apiserver.negotiation import Form, Shape
from cluster.apiserver.registry import rules
from cluster.apiserver.watch_cache import Change, Entry
from cluster.apiserver.wire_form import encode, item_bytes, list_bytes, object_bytes, object_of
from cluster.kube_api.objects import JsonObject
from cluster.kube_api.resource import Resource
from cluster.kube_api.tables import partial_object, table
from kvstore.base.clock import Clock

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMeta:
    """What a list says of itself."""

    revision: int
    continue_token: str = ""
    remaining: int | None = None

    def to_json(self) -> JsonObject:
        """Return the ListMeta."""
        metadata: JsonObject = {"resourceVersion": str(self.revision)}
        if self.continue_token:
            metadata["continue"] = self.continue_token
        if self.remaining:
            metadata["remainingItemCount"] = self.remaining
        return metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Presenter:
    """One resource in one form."""

    resource: Resource
    form: Form
    clock: Clock
    """Tells ages."""
    include_object: str = "Metadata"
    """Of a row: Metadata, Object or None."""

    @property
    def meta_api_version(self) -> str:
        """The version of tables and partial objects."""
        return f"meta.k8s.io/{self.form.meta_version}"

    def object_bytes(self, entry: Entry) -> bytes:
        """Return one object."""
        if self.form.shape is Shape.OBJECT and rules.is_stored_form(self.resource):
            return object_bytes(entry.value, entry.revision)
        return encode(self.shown(self.served(entry)))

    def shown(self, obj: JsonObject) -> JsonObject:
        """Return an object, which is in its served form, in the shape that is wanted."""
        match self.form.shape:
            case Shape.OBJECT:
                return obj
            case Shape.PARTIAL:
                return self._partial(obj)
            case Shape.TABLE:
                metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
                return self._table([obj], metadata)

    def list_bytes(self, entries: Sequence[Entry], meta: ListMeta) -> bytes:
        """Return a list of objects."""
        if self.form.shape is Shape.TABLE:
            return encode(self._table([self.served(entry) for entry in entries], meta.to_json()))
        if self.form.shape is Shape.PARTIAL:
            items = [encode(self._partial(self.served(entry))) for entry in entries]
            kind = "PartialObjectMetadataList"
            return list_bytes(kind, self.meta_api_version, meta.to_json(), items)
        return list_bytes(
            self.resource.list_kind,
            self.resource.api_version,
            meta.to_json(),
            [self._item(entry) for entry in entries],
        )

    def event_line(self, event: str, entry: Entry, *, is_first: bool) -> bytes:
        """Return a line of a watch. Only the first table names its columns."""
        if self.form.shape is Shape.TABLE:
            metadata = {"resourceVersion": str(entry.revision)}
            shown = self._table([self.served(entry)], metadata, with_columns=is_first)
            return _line(event, encode(shown))
        return _line(event, self.object_bytes(entry))

    def change_line(self, event: str, change: Change, entry: Entry, *, is_first: bool) -> bytes:
        """Return a line of a watch; watchers in the same form share the work."""
        if is_first or self.form.shape is Shape.TABLE:
            return self.event_line(event, entry, is_first=is_first)
        form = (event, self.resource.api_version, self.form)
        line = change.lines.get(form)
        if line is None:
            line = change.lines[form] = self.event_line(event, entry, is_first=False)
        return line

    def bookmark_line(self, revision: int, *, ends_initial_events: bool = False) -> bytes:
        """Return the line that says: all changes up to `revision` have been told."""
        metadata: JsonObject = {"resourceVersion": str(revision), "creationTimestamp": None}
        if ends_initial_events:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        if self.form.shape is Shape.TABLE:
            kept = {"resourceVersion": str(revision)}
            shown = self._table([], kept, with_columns=False)
            if ends_initial_events:
                # Where clients look for it: in the object of a row.
                partial = {"kind": "PartialObjectMetadata", "apiVersion": self.meta_api_version}
                shown["rows"] = [{"cells": [], "object": partial | {"metadata": metadata}}]
            return _line("BOOKMARK", encode(shown))
        if self.form.shape is Shape.PARTIAL:
            obj = {"kind": "PartialObjectMetadata", "apiVersion": self.meta_api_version}
        else:
            obj = {"kind": self.resource.kind, "apiVersion": self.resource.api_version}
        return _line("BOOKMARK", encode(obj | {"metadata": metadata}))

    def served(self, entry: Entry) -> JsonObject:
        """Return an object of the caller's own, in the version that is asked for."""
        return rules.served_form(self.resource, object_of(entry.value, entry.revision))

    def _item(self, entry: Entry) -> bytes:
        if self.resource.is_custom:
            return self.object_bytes(entry)
        if rules.is_stored_form(self.resource):
            return item_bytes(entry.value, entry.revision)
        obj = self.served(entry)
        return encode({k: v for k, v in obj.items() if k not in {"apiVersion", "kind"}})

    def _partial(self, obj: JsonObject) -> JsonObject:
        return partial_object(obj) | {"apiVersion": self.meta_api_version}

    def _table(
        self, objects: Sequence[JsonObject], metadata: JsonObject, *, with_columns: bool = True
    ) -> JsonObject:
        made = table(
            rules.printer(self.resource),
            objects,
            datetime.fromtimestamp(self.clock.unix(), UTC),
            include=self.include_object,
            with_columns=with_columns,
        )
        return made | {"apiVersion": self.meta_api_version, "metadata": metadata}


def _line(event: str, obj: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (event.encode(), obj.rstrip())


def error_line(status: JsonObject) -> bytes:
    """Return the line that ends a watch which cannot go on."""
    return _line("ERROR", encode(status))
