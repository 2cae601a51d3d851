"""One metric each, with its value: what the collectors are written in."""

from collections.abc import Iterable, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UntypedMetricFamily,
)

from kvstore.base.histogram import Histogram

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of the labels, and the value."""


def gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=float(value))


def counter(name: str, help_text: str, value: float) -> Metric:
    """Return a counter; two of etcd's do not end in `_total`, as the library wants it."""
    if name.endswith("_total"):
        return CounterMetricFamily(name, help_text, value=float(value))
    return UntypedMetricFamily(name, help_text, value=float(value))


def labelled(name: str, help_text: str, labels: Mapping[str, str], value: float) -> Metric:
    return gauges(name, help_text, tuple(labels), [(tuple(labels.values()), value)])


def gauges(name: str, help_text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family


def counters(name: str, help_text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family


def histogram(name: str, help_text: str, found: Histogram) -> Metric:
    return histograms(name, help_text, (), [((), found)])


def histograms(
    name: str,
    help_text: str,
    labels: tuple[str, ...],
    samples: Iterable[tuple[tuple[str, ...], Histogram]],
) -> Metric:
    family = HistogramMetricFamily(name, help_text, labels=labels)
    for values, found in samples:
        family.add_metric(values, buckets=found.cumulated(), sum_value=found.sum)
    return family
