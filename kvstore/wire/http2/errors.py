"""How HTTP/2 goes wrong: an error ends one stream or the whole connection (RFC 9113 §5.4)."""

from enum import IntEnum

from kvstore.base.errors import ProtocolError


class ErrorCode(IntEnum):
    """RFC 9113 §7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ConnectionFailed(ProtocolError):
    """The peer broke the protocol for the whole connection: GOAWAY with `code`, then close."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code = code
        self.text = text


class MalformedRequest(ProtocolError):
    """A request that RFC 9113 §8.1.1 forbids: its stream is reset with PROTOCOL_ERROR."""


class HeaderListTooLarge(ProtocolError):
    """A header list over the limit; it was decoded to the end, so the tables still agree."""
