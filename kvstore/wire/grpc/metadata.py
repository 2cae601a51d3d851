"""What gRPC carries in headers: timeouts, metadata, status texts (gRPC over HTTP/2, "Requests")."""

import binascii
from base64 import b64decode
from collections.abc import Mapping

_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT_DIGITS_MAX = 8
_RESERVED = frozenset(
    ("content-type", "te", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "user-agent")
)


class BadMetadata(ValueError):
    """A header that gRPC forbids; the text is for the client."""


def timeout_s(text: str) -> float:
    """Return the seconds that a `grpc-timeout` asks for.

    Raises:
        BadMetadata: not 1 to 8 digits and a unit.
    """
    digits, unit = text[:-1], text[-1:]
    scale = _UNITS_S.get(unit)
    if (
        scale is None
        or not digits.isascii()
        or not digits.isdigit()
        or len(digits) > _TIMEOUT_DIGITS_MAX
    ):
        raise BadMetadata(f'malformed grpc-timeout: "{text}"')
    return int(digits) * scale


def metadata_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return a call's metadata: its headers less gRPC's own, `-bin` values decoded to latin-1.

    Raises:
        BadMetadata: a `-bin` value that is no base64.
    """
    metadata: dict[str, str] = {}
    for name, value in headers.items():
        if name.endswith("-bin"):
            # Repeated headers were joined with commas, each encoded on its own.
            metadata[name] = ",".join(_binary(name, part) for part in value.split(","))
        elif name not in _RESERVED:
            metadata[name] = value
    return metadata


def _binary(name: str, text: str) -> str:
    text = text.strip()
    try:
        # Senders may leave the padding out.
        return b64decode(text + "=" * (-len(text) % 4), validate=True).decode("latin-1")
    except (binascii.Error, ValueError) as error:
        raise BadMetadata(f'malformed binary metadata "{text}" in header "{name}"') from error


_PLAIN = frozenset(range(0x20, 0x7F)) - {0x25}


def percent_encoded(text: str) -> bytes:
    """Return `text` as a `grpc-message`: UTF-8, all but printable ASCII as %XX."""
    raw = text.encode("utf-8", "replace")
    if all(byte in _PLAIN for byte in raw):
        return raw
    return b"".join(b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in raw)
