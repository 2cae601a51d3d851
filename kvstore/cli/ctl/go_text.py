"""Text as Go's standard library reads and writes it; etcdctl's output is made of it."""

import re

_ESCAPES = {
    0x07: r"\a",
    0x08: r"\b",
    0x09: r"\t",
    0x0A: r"\n",
    0x0B: r"\v",
    0x0C: r"\f",
    0x0D: r"\r",
    0x22: r"\"",
    0x5C: r"\\",
}
_UNESCAPES = {escape[1]: bytes([code]) for code, escape in _ESCAPES.items()} | {"'": b"'"}
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_FIRST_ESCAPED = 0xDC80
"""Bytes that are not UTF-8 decode to U+DC80…U+DCFF (PEP 383)."""


def quoted(text: bytes | str) -> str:
    """Return Go's `%q`."""
    characters = text if isinstance(text, str) else text.decode(errors="surrogateescape")
    return f'"{"".join(map(_quoted_character, characters))}"'


def _quoted_character(character: str) -> str:
    code = ord(character)
    if code in _ESCAPES:
        return _ESCAPES[code]
    if _FIRST_ESCAPED <= code <= _FIRST_ESCAPED + 0x7F:
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    if code < 0x20 or code == 0x7F:  # noqa: PLR2004  ASCII's control characters
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def unquoted(text: str) -> bytes:
    """Return what a double-quoted Go string literal stands for.

    Raises:
        ValueError: `text` is not one.
    """
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':  # noqa: PLR2004  two quotes
        raise ValueError("expected quoted string")
    pattern = re.compile(
        r"\\x([0-9a-fA-F]{2})|\\([0-7]{3})|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})"
        r"|\\([abfnrtv\\'\"])|([^\\\"]+)"
    )
    result = bytearray()
    position, end = 1, len(text) - 1
    while position < end:
        found = pattern.match(text, position, end)
        if found is None:
            raise ValueError("invalid syntax")
        hexadecimal, octal, short, long, letter, plain = found.groups()
        if hexadecimal or octal:
            result.append(int(hexadecimal, 16) if hexadecimal else int(octal, 8))
        elif short or long:
            result += chr(int(short or long, 16)).encode()
        else:
            result += _UNESCAPES[letter] if letter else plain.encode(errors="surrogateescape")
        position = found.end()
    return bytes(result)


def hexadecimal(text: bytes) -> str:
    r"""Return etcdctl's `--hex` form: every byte as `\xNN`."""
    return "".join(f"\\x{byte:02x}" for byte in text)


def duration_s(text: str) -> float:
    """Return the seconds of a Go duration such as `1m30s`.

    Raises:
        ValueError: `text` is not one.
    """
    if text == "0":
        return 0.0
    if not text or re.fullmatch(f"(?:{_DURATION.pattern})+", text) is None:
        raise ValueError(f'time: invalid duration "{text}"')
    return sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION.findall(text))


def duration(seconds: float) -> str:
    """Return a duration as Go prints it: `3.005974ms`, `5.000390417s`."""
    nanoseconds = round(seconds * 1e9)
    for unit, size in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if nanoseconds >= size:
            minutes, rest = divmod(nanoseconds, 60 * 10**9) if unit == "s" else (0, nanoseconds)
            number = f"{rest // size}.{rest % size:0{len(str(size)) - 1}d}".rstrip("0").rstrip(".")
            return f"{minutes}m{number}{unit}" if minutes else f"{number}{unit}"
    return f"{nanoseconds}ns" if nanoseconds else "0s"


def size(count: int) -> str:
    """Return a number of bytes as go-humanize does: `20 kB`, `1.5 MB`."""
    if count < 10:  # noqa: PLR2004  it knows no fractions of a byte
        return f"{count} B"
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB", "EB"):
        if value < 1000:  # noqa: PLR2004
            break
        value, unit = value / 1000, larger
    value = int(value * 10 + 0.5) / 10
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"  # noqa: PLR2004


def integer(text: str, base: int = 10) -> int:
    """Return an int64.

    Raises:
        ValueError: with the text of Go's `strconv.ParseInt`.
    """
    if re.fullmatch(r"[+-]?[0-9a-zA-Z]+", text) is not None:
        try:
            value = int(text, base)
        except ValueError:
            pass
        else:
            if -(1 << 63) <= value < 1 << 63:
                return value
            raise ValueError(f'strconv.ParseInt: parsing "{text}": value out of range')
    raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
