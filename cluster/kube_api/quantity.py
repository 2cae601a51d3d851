"""Quantities of resources: `500m`, `1Gi`, `2e3`. Exact numbers, and one canonical text for each.

Kubernetes' `resource.Quantity`: nothing smaller than a nano-unit (more is rounded away from zero),
and nothing beyond 2^63-1 (more is cut off there). The text keeps the family of its suffix: binary
stays binary as long as it is a whole number.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, total_ordering
from typing import Self

_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(.*)", re.DOTALL)
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)")

FORMAT_TEXT = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
SUFFIX_TEXT = "unable to parse quantity's suffix"

NANO = 10**9
_NANO_MAX = ((1 << 63) - 1) * NANO
_CHARS_MAX = 256
_EXPONENT_MAX = 400  # beyond it everything is cut off, or rounded up to one nano-unit


class QuantityError(ValueError):
    """The text is no quantity."""


class Family(Enum):
    """How a quantity was written, and will be."""

    BINARY = "BinarySI"
    DECIMAL = "DecimalSI"
    EXPONENT = "DecimalExponent"


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """An amount in nano-units. Ordered and equal by amount."""

    nano: int
    family: Family

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __lt__(self, other: "Quantity") -> bool:
        return self.nano < other.nano

    def __add__(self, other: "Quantity") -> "Quantity":
        family = self.family if self.nano else other.family
        return Quantity(self.nano + other.nano, family)

    def __sub__(self, other: "Quantity") -> "Quantity":
        family = self.family if self.nano else other.family
        return Quantity(self.nano - other.nano, family)

    @classmethod
    def of(cls, units: int) -> Self:
        """Return a count, written in decimal."""
        return cls(units * NANO, Family.DECIMAL)

    @property
    def units(self) -> int:
        """The amount in whole units, rounded up."""
        return -(-self.nano // NANO)

    @property
    def milli(self) -> int:
        """The amount in thousandths, rounded up: what cpu is counted in."""
        return -(-self.nano // (NANO // 1000))

    def __str__(self) -> str:
        is_small = abs(self.nano) < 1024 * NANO
        if self.family is Family.BINARY and not is_small and self.nano % NANO == 0:
            return _binary_text(self.nano // NANO)
        mantissa, exponent = _reduced(self.nano)
        if self.family is Family.EXPONENT:
            return f"{mantissa}e{exponent}" if exponent else str(mantissa)
        while exponent not in _DECIMAL_SUFFIX:
            mantissa, exponent = mantissa * 1000, exponent - 3
        return f"{mantissa}{_DECIMAL_SUFFIX[exponent]}"


def _binary_text(units: int) -> str:
    best = ""
    for suffix, bits in _BINARY.items():
        if units % (1 << bits):
            break
        best = suffix
    return f"{units >> _BINARY[best]}{best}" if best else str(units)


def _reduced(nano: int) -> tuple[int, int]:
    """Return a mantissa and an exponent of ten: the largest multiple of three that is exact."""
    if nano == 0:
        return 0, 0
    mantissa, exponent = nano, -9
    while mantissa % 1000 == 0:
        mantissa, exponent = mantissa // 1000, exponent + 3
    return mantissa, exponent


@lru_cache(maxsize=4096)
def parse_quantity(text: str) -> Quantity:
    """Read a quantity.

    Raises:
        QuantityError: `text` is none.
    """
    found = _NUMBER.fullmatch(text) if 0 < len(text) <= _CHARS_MAX else None
    if found is None:
        raise QuantityError(FORMAT_TEXT)
    sign, whole, fraction, suffix = found[1], found[2], found[3] or "", found[4]
    if not whole and not fraction:
        raise QuantityError(FORMAT_TEXT)
    digits = int(whole + fraction)
    scaled, family = _scaled(digits, len(fraction), suffix)
    nano = min(scaled, _NANO_MAX)
    return Quantity(-nano if sign == "-" else nano, family)


def _scaled(digits: int, decimals: int, suffix: str) -> tuple[int, Family]:
    if suffix in _BINARY:
        return _ceiling(digits * NANO << _BINARY[suffix], 10**decimals), Family.BINARY
    if suffix in _DECIMAL:
        exponent, family = _DECIMAL[suffix], Family.DECIMAL
    else:
        found = _EXPONENT.fullmatch(suffix)
        if found is None:
            bad = re.fullmatch(r"[eEinumkKMGTP]*[-+]?[0-9]*", suffix) is None
            raise QuantityError(FORMAT_TEXT if bad else SUFFIX_TEXT)
        exponent = max(-_EXPONENT_MAX, min(_EXPONENT_MAX, int(found[1])))
        family = Family.EXPONENT
    shift = exponent + 9 - decimals
    if shift >= 0:
        return digits * 10**shift, family
    return _ceiling(digits, 10**-shift), family


def _ceiling(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def canonical(value: object) -> str:
    """Return the canonical text of a JSON value that stands for a quantity: a string or a number.

    Raises:
        QuantityError: it stands for none.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise QuantityError(FORMAT_TEXT)
    return str(parse_quantity(value if isinstance(value, str) else repr(value)))
