"""Tables of objects, and which printer a resource has."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from cluster.kube_api.objects import JsonObject, integer_at, object_at, string_at
from cluster.kube_api.resource import Resource
from cluster.kube_api.tables import network, pods, policy, storage, workloads
from cluster.kube_api.tables.cells import Cells, Column, Printer, columns, name_of
from cluster.kube_api.tables.json_path import cell, parse_path


def _plain(obj: JsonObject, _: datetime) -> Cells:
    return [name_of(obj), object_at(obj, "metadata").get("creationTimestamp")]


_PLAIN = Printer(columns("Name, Created At date"), _plain)
_PRINTERS: Mapping[tuple[str, str], Printer] = {
    ("", "Pod"): pods.PODS,
    **workloads.PRINTERS,
    **network.PRINTERS,
    **storage.PRINTERS,
    **policy.PRINTERS,
}


def printer_of(resource: Resource) -> Printer:
    """Return how a built-in kind is printed."""
    return _PRINTERS.get((resource.group, resource.kind), _PLAIN)


def custom_printer(definitions: Sequence[JsonObject]) -> Printer:
    """Return how a custom kind is printed, by its `additionalPrinterColumns`.

    Dates go out as they are: kubectl makes ages of them.
    """
    if not definitions:
        return Printer(columns("Name, Age date"), _plain)
    shown = [
        Column(
            string_at(one, "name"),
            string_at(one, "type"),
            string_at(one, "format"),
            string_at(one, "description"),
            integer_at(one, "priority"),
        )
        for one in definitions
    ]
    paths = [parse_path(string_at(one, "jsonPath")) for one in definitions]

    def cells(obj: JsonObject, _: datetime) -> Cells:
        found = zip(shown, paths, strict=True)
        return [name_of(obj), *(cell(obj, path, column.type) for column, path in found)]

    return Printer((*columns("Name"), *shown), cells)


def table(
    printer: Printer,
    objects: Iterable[JsonObject],
    now: datetime,
    *,
    include: str = "Metadata",
    with_columns: bool = True,
) -> JsonObject:
    """Return the Table of `objects`, without metadata of its own.

    `include` is the query's includeObject: `Metadata`, `None` or `Object`. Of the tables of a watch
    only the first has columns.
    """
    rows = []
    for obj in objects:
        row: JsonObject = {"cells": printer.cells(obj, now)}
        marks = printer.conditions(obj) if printer.conditions is not None else []
        if marks:
            row["conditions"] = marks
        if include != "None":
            row["object"] = obj if include == "Object" else partial_object(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": [one.to_json() for one in printer.columns] if with_columns else None,
        "rows": rows,
    }


def partial_object(obj: JsonObject) -> JsonObject:
    """Return the metadata of an object as an object of its own."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object_at(obj, "metadata"),
    }
