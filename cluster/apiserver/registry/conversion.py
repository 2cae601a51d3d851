"""Kinds that are served in two versions from one store: events and autoscalers.

They are stored as core/v1 Event and autoscaling/v2 HorizontalPodAutoscaler. The other version is a
view: every field has its place in the stored one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at
from cluster.kube_api.resource import Resource

_EVENT_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "reportingController": "reportingComponent",
}
"""The names of events.k8s.io/v1, and those of core/v1; the others are the same."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """Between the version that is served and the one that is stored."""

    to_stored: Callable[[JsonObject], JsonObject]
    to_served: Callable[[JsonObject], JsonObject]


def conversion_of(resource: Resource) -> Conversion | None:
    """Return how a resource's objects are stored, if not as they are served."""
    return _CONVERSIONS.get((resource.group, resource.version, resource.plural))


def _renamed(obj: JsonObject, names: Mapping[str, str], api_version: str) -> JsonObject:
    renamed = {names.get(name, name): value for name, value in obj.items()}
    return renamed | {"apiVersion": api_version}


def _event_to_stored(event: JsonObject) -> JsonObject:
    return _renamed(event, _EVENT_FIELDS, "v1")


def _event_to_served(event: JsonObject) -> JsonObject:
    names = {stored: served for served, stored in _EVENT_FIELDS.items()}
    return _renamed(event, names, "events.k8s.io/v1")


def _autoscaler_to_stored(scaler: JsonObject) -> JsonObject:
    """Return the v2 form: the one percentage of v1 is a metric like others."""
    spec, status = dict(object_at(scaler, "spec")), dict(object_at(scaler, "status"))
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        spec["metrics"] = [_cpu({"target": {"type": "Utilization", "averageUtilization": percent}})]
    current = status.pop("currentCPUUtilizationPercentage", None)
    if current is not None:
        status["currentMetrics"] = [_cpu({"current": {"averageUtilization": current}})]
    return scaler | {"apiVersion": "autoscaling/v2", "spec": spec, "status": status}


def _cpu(told: JsonObject) -> JsonObject:
    return {"type": "Resource", "resource": {"name": "cpu"} | told}


def _autoscaler_to_served(scaler: JsonObject) -> JsonObject:
    """Return the v1 form; metrics that it has no place for are left out."""
    spec, status = dict(object_at(scaler, "spec")), dict(object_at(scaler, "status"))
    percent = _cpu_percent(spec.pop("metrics", None), "target")
    if percent is not None:
        spec["targetCPUUtilizationPercentage"] = percent
    current = _cpu_percent(status.pop("currentMetrics", None), "current")
    if current is not None:
        status["currentCPUUtilizationPercentage"] = current
    status.pop("conditions", None)
    spec.pop("behavior", None)
    return scaler | {"apiVersion": "autoscaling/v1", "spec": spec, "status": status}


def _cpu_percent(metrics: object, where: str) -> int | None:
    for metric in list_at({"metrics": metrics}, "metrics"):
        if string_at(metric, "resource", "name") == "cpu":
            found = member(metric, "resource", where, "averageUtilization")
            if isinstance(found, int):
                return found
    return None


_CONVERSIONS: Mapping[tuple[str, str, str], Conversion] = {
    ("events.k8s.io", "v1", "events"): Conversion(_event_to_stored, _event_to_served),
    ("autoscaling", "v1", "horizontalpodautoscalers"): Conversion(
        _autoscaler_to_stored, _autoscaler_to_served
    ),
}
