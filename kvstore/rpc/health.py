"""The gRPC health service: SERVING for the empty service name, as etcd answers."""

from google.protobuf.message import DecodeError

from kvstore.base.errors import Code
from kvstore.rpc.call import Method, StreamCall, StreamMethod, UnaryCall, UnaryMethod
from kvstore.wire.pb import health_pb2

_SERVING = health_pb2.HealthCheckResponse(
    status=health_pb2.HealthCheckResponse.SERVING
).SerializeToString()
_UNKNOWN = health_pb2.HealthCheckResponse(
    status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
).SerializeToString()


def methods() -> dict[str, Method]:
    """Return the routes of this service."""
    return {
        "/grpc.health.v1.Health/Check": UnaryMethod(_check),
        "/grpc.health.v1.Health/Watch": StreamMethod(_HealthWatch),
    }


def _check(call: UnaryCall, raw: bytes) -> None:
    try:
        request = health_pb2.HealthCheckRequest.FromString(raw)
    except DecodeError as error:
        call.fail(Code.INTERNAL, f"grpc: error unmarshalling request: {error}")
        return
    if request.service:
        call.fail(Code.NOT_FOUND, "unknown service")
    else:
        call.reply(_SERVING)


class _HealthWatch:
    """One stream of the health of one service; it never changes while the member serves."""

    def __init__(self, call: StreamCall) -> None:
        self._call = call

    def message_received(self, message: bytes) -> None:
        try:
            request = health_pb2.HealthCheckRequest.FromString(message)
        except DecodeError as error:
            self._call.finish(Code.INTERNAL, f"grpc: error unmarshalling request: {error}")
            return
        self._call.send(_UNKNOWN if request.service else _SERVING)

    def half_closed(self) -> None:
        """The client has asked; the stream stays open."""

    def drained(self) -> None:
        """Nothing waits to be sent."""

    def closed(self) -> None:
        """Nothing is held for the stream."""
