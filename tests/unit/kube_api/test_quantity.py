"""Quantities."""

import pytest

from cluster.kube_api.quantity import QuantityError, canonical


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1e3", "1e3"),
        ("1000000", "1M"),
        ("0.1n", "1n"),
        ("512", "512"),
        (0.25, "250m"),
        (2, "2"),
        ("0", "0"),
    ],
)
def test_a_quantity_has_one_text(written: object, stored: str) -> None:
    assert canonical(written) == stored


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1GiB", "--1", "1e", ".", "1k2", None, True, []])
def test_what_is_no_quantity_is_refused(text: object) -> None:
    with pytest.raises(QuantityError):
        canonical(text)
