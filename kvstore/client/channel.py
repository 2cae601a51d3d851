"""How both kinds of client talk to grpcio: options, credentials, and statuses read alike."""

from dataclasses import dataclass

import grpc

from kvstore.base.errors import Code
from kvstore.client.endpoints import Tls

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient a client is. Seconds."""

    timeout_s: float = 10.0
    """For one call, with all its attempts."""
    connect_timeout_s: float = 2.0
    """For one connection attempt; after it the next endpoint is tried."""
    keepalive_time_s: float = 10.0
    """Silence after which a connection with open calls is probed; etcd allows 5 s and more."""
    keepalive_timeout_s: float = 5.0


def channel_options(timing: Timing, tls: Tls) -> list[tuple[str, int | str]]:
    """Return grpcio's channel arguments."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", int(timing.keepalive_time_s * 1000)),
        ("grpc.keepalive_timeout_ms", int(timing.keepalive_timeout_s * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # The least backoff is also how long grpc-core lets one connection attempt take.
        ("grpc.min_reconnect_backoff_ms", int(timing.connect_timeout_s * 1000)),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # Endpoints are often on this host; no proxy of the environment leads to them.
        ("grpc.enable_http_proxy", 0),
    ]
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


def channel_credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)


class StreamEnded(Exception):
    """The server ended a stream, politely, when an answer was due."""


def status_of(failure: grpc.RpcError | StreamEnded) -> tuple[Code, str]:
    """Return code and text of a failure; what grpcio raises always is a status too."""
    if isinstance(failure, StreamEnded):
        return Code.UNAVAILABLE, "the server ended the stream"
    assert isinstance(failure, grpc.Call | grpc.aio.AioRpcError)
    number, _ = failure.code().value
    return Code(number), failure.details() or ""
