"""Huffman-coded strings (RFC 7541 §5.2), a byte a step.

The `hpack` library steps by half bytes. Two of its steps are joined here on first use and kept: a
`grpc-timeout`, which differs in every call, takes 1 µs in place of 3.5.
"""

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import (
    HUFFMAN_COMPLETE,
    HUFFMAN_EMIT_SYMBOL,
    HUFFMAN_FAIL,
    HUFFMAN_TABLE,
)

_STEPS_MAX = 8192
"""All 65,536 could be provoked, and would take 10 MB; real text uses a few thousand."""

_steps: dict[int, tuple[int, bytes, int]] = {}


def decoded(raw: bytes) -> bytes:
    """Return the text that `raw` encodes.

    Raises:
        HPACKDecodingError: a code that does not exist, or wrong padding.
    """
    steps = _steps
    text = bytearray()
    state = 0
    flags = HUFFMAN_COMPLETE
    for byte in raw:
        step = steps.get(state | byte)
        if step is None:
            step = _step(state | byte)
        state, symbols, flags = step
        text += symbols
    if not flags & HUFFMAN_COMPLETE:
        raise HPACKDecodingError("incomplete Huffman string")
    return bytes(text)


def _step(state_and_byte: int) -> tuple[int, bytes, int]:
    """Return (next state << 8, symbols, flags) for `state << 8 | byte`."""
    byte = state_and_byte & 0xFF
    state = state_and_byte >> 8
    flags = 0
    symbols = b""
    for nibble in (byte >> 4, byte & 0x0F):
        state, flags, symbol = HUFFMAN_TABLE[state * 16 + nibble]
        if flags & HUFFMAN_FAIL:
            raise HPACKDecodingError("invalid Huffman string")
        if flags & HUFFMAN_EMIT_SYMBOL:
            symbols += bytes((symbol,))
    step = (state << 8, symbols, flags)
    if len(_steps) < _STEPS_MAX:
        _steps[state_and_byte] = step
    return step
