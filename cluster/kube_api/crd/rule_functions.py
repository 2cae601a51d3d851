"""The functions that Kubernetes adds to CEL, as far as they can be had without types of their own.

A quantity is its text here, an IP address or a URL too: what is compared with them is converted.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from cluster.kube_api.quantity import Quantity, QuantityError, canonical, parse_quantity

_PATTERN_CHARS_MAX = 1024


def _is_sorted(items: list[Any]) -> bool:
    return all(left <= right for left, right in pairwise(items))


def _index_of(items: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(items, str):
        return items.find(wanted, start)
    return items.index(wanted) if wanted in items else -1


def _last_index_of(items: Any, wanted: Any) -> int:
    if isinstance(items, str):
        return items.rfind(wanted)
    return max((at for at, one in enumerate(items) if one == wanted), default=-1)


def _find(text: str, pattern: str) -> str:
    found = re.search(_bounded(pattern), text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [one[0] for one in re.finditer(_bounded(pattern), text)]
    return found if limit < 0 else found[:limit]


def _bounded(pattern: str) -> str:
    if len(pattern) > _PATTERN_CHARS_MAX:
        raise ValueError(f"a pattern may have {_PATTERN_CHARS_MAX} characters")
    return pattern


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    return text.split(separator) if limit < 0 else text.split(separator, max(limit - 1, 0))


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    return text.replace(old, new, limit)


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError(f"index out of range: {start}")
    return text[start:stop]


def _char_at(text: str, at: int) -> str:
    if not 0 <= at <= len(text):
        raise ValueError(f"index out of range: {at}")
    return text[at : at + 1]


def _holds(function: Callable[[Any], object], value: Any) -> bool:
    try:
        function(value)
    except (ValueError, QuantityError):
        return False
    return True


def _quantity(value: Any) -> Quantity:
    return parse_quantity(str(value))


def _compare(left: Any, right: Any) -> int:
    first, second = _quantity(left).nano, _quantity(right).nano
    return (first > second) - (first < second)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if not text.startswith("/") and not parts.scheme:
        raise ValueError(f"URL parse error: {text!r}")
    return text


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "isSorted": _is_sorted,
    "sum": sum,
    "min": min,
    "max": max,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "find": _find,
    "findAll": _find_all,
    "lowerAscii": lambda text: text.lower() if text.isascii() else text,
    "upperAscii": lambda text: text.upper() if text.isascii() else text,
    "trim": lambda text: text.strip(),
    "split": _split,
    "join": lambda items, separator="": separator.join(items),
    "replace": _replace,
    "substring": _substring,
    "charAt": _char_at,
    "quantity": canonical,
    "isQuantity": lambda text: _holds(parse_quantity, text),
    "isGreaterThan": lambda left, right: _compare(left, right) > 0,
    "isLessThan": lambda left, right: _compare(left, right) < 0,
    "compareTo": _compare,
    "isInteger": lambda value: _quantity(value).nano % 10**9 == 0,
    "asInteger": lambda value: _quantity(value).units,
    "ip": lambda text: str(ipaddress.ip_address(text)),
    "isIP": lambda text: _holds(ipaddress.ip_address, text),
    "family": lambda text: ipaddress.ip_address(text).version,
    "cidr": lambda text: str(ipaddress.ip_network(text, strict=False)),
    "isCIDR": lambda text: _holds(lambda one: ipaddress.ip_network(one, strict=False), text),
    "url": _url,
    "isURL": lambda text: _holds(_url, text),
    "getScheme": lambda text: urlsplit(text).scheme,
    "getHost": lambda text: urlsplit(text).netloc,
    "getHostname": lambda text: urlsplit(text).hostname or "",
    "getPort": lambda text: str(urlsplit(text).port or ""),
    "getEscapedPath": lambda text: urlsplit(text).path,
}
